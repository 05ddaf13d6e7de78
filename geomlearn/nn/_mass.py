"""Learned masses: positive by construction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._registry import register


@register("LearnedMass")
class LearnedMass(nn.Module):
    """A positive mass, or several, each of one particle with as many coordinates; stored as logarithms.

    Examples:
        >>> from geomlearn.nn import LearnedMass
        >>> LearnedMass((1.0, 2.0), coordinates=2)()  # the masses of x1, y1, x2, y2
        tensor([1., 1., 2., 2.], dtype=torch.float64, grad_fn=<...>)
    """

    def __init__(
        self,
        initial: float | Sequence[float] = 1.0,
        coordinates: int = 1,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Start from values.

        Args:
            initial: Mass in kg, or one for each particle.
            coordinates: How many coordinates each of several particles has.
            dtype: Floating-point type.

        Raises:
            ValueError: If a mass is not positive and finite, or there are no particles or coordinates.
        """
        super().__init__()
        value = torch.as_tensor(initial, dtype=dtype).detach()
        if value.ndim > 1 or not value.numel() or not bool(((value > 0) & torch.isfinite(value)).all()):
            raise ValueError(f"initial: expected a positive mass in kg, or several, got {initial}")
        if coordinates < 1 or (coordinates > 1 and not value.ndim):
            raise ValueError(
                f"coordinates: expected 1, or how many each of several particles has, got {coordinates}"
            )
        self.coordinates = coordinates
        self.logarithm = nn.Parameter(value.log())

    def forward(self) -> Tensor:
        """The mass ``()`` in kg, or those of all coordinates ``(particles * coordinates,)``."""
        mass = self.logarithm.exp()
        return mass.repeat_interleave(self.coordinates) if self.coordinates > 1 else mass

    def rescale_(self, factor: float) -> None:
        """Multiply the mass by a positive number, in place.

        Args:
            factor: The number.
        """
        with torch.no_grad():
            self.logarithm.add_(math.log(factor))

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights."""
        particles = self.logarithm.numel() if self.logarithm.ndim else None
        return {"type": "LearnedMass", "particles": particles, "coordinates": self.coordinates}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearnedMass:
        """Build the module that ``config`` described.

        Args:
            config: What ``config()`` returned.

        Returns:
            The module.
        """
        particles = config.get("particles")
        return cls(1.0 if particles is None else [1.0] * particles, config.get("coordinates", 1))
