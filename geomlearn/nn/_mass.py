"""A learned mass: positive by construction."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .._registry import register


@register("LearnedMass")
class LearnedMass(nn.Module):
    """A positive mass, stored as a logarithm."""

    def __init__(self, initial: float = 1.0, dtype: torch.dtype = torch.float64) -> None:
        """Start from a value.

        Args:
            initial: Mass in kg.
            dtype: Floating-point type.

        Raises:
            ValueError: If the mass is not positive and finite.
        """
        super().__init__()
        if not 0 < initial < float("inf"):
            raise ValueError(f"initial: expected a positive mass in kg, got {initial}")
        self.logarithm = nn.Parameter(torch.tensor(initial, dtype=dtype).log())

    def forward(self) -> Tensor:
        """The mass ``()`` in kg."""
        return self.logarithm.exp()

    def rescale_(self, factor: float) -> None:
        """Multiply the mass by a positive number, in place.

        Args:
            factor: The number.
        """
        with torch.no_grad():
            self.logarithm.add_(math.log(factor))

    def config(self) -> dict[str, Any]:
        """Plain description; the number is a weight."""
        return {"type": "LearnedMass"}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearnedMass:
        """Build the module that ``config`` described.

        Args:
            config: What ``config()`` returned.

        Returns:
            The module.
        """
        return cls()
