"""Learned constant matrices: input gains and damping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._registry import register

ArrayLike = Tensor | np.ndarray | Sequence[Any]


def as_float_matrix(value: ArrayLike, name: str) -> Tensor:
    """Copy numbers into a finite float matrix.

    Args:
        value: Matrix of any kind.
        name: Name of the argument, for the message.

    Returns:
        The matrix, detached; float64 unless ``value`` is a float tensor.

    Raises:
        ValueError: If it has not two dimensions, is empty or not finite.
    """
    given = isinstance(value, Tensor) and value.is_floating_point()
    matrix = torch.as_tensor(value, dtype=None if given else torch.float64).detach().clone()
    if matrix.ndim != 2 or matrix.numel() == 0 or not bool(torch.isfinite(matrix).all()):
        raise ValueError(f"{name}: expected a finite matrix (rows, columns), got {matrix.tolist()}")
    return matrix


class RescaledMatrix(nn.Module):
    """A learned matrix that knows how to be multiplied by a number."""

    def _weights(self) -> list[Tensor]:
        raise NotImplementedError

    def rescale_(self, factor: float) -> None:
        """Multiply the matrix by a positive number, in place.

        Args:
            factor: The number.
        """
        with torch.no_grad():
            for weight in self._weights():
                weight.mul_(factor)


@register("LearnedMatrix")
class LearnedMatrix(RescaledMatrix):
    """A constant matrix with free entries, such as an input gain."""

    def __init__(self, initial: ArrayLike) -> None:
        """Start from a matrix.

        Args:
            initial: ``(rows, columns)``; a float tensor keeps its dtype, other numbers become float64.
        """
        super().__init__()
        self.matrix = nn.Parameter(as_float_matrix(initial, "initial"))

    def forward(self) -> Tensor:
        """The matrix ``(rows, columns)``."""
        return self.matrix

    def _weights(self) -> list[Tensor]:
        return [self.matrix]

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights."""
        return {"type": "LearnedMatrix", "shape": list(self.matrix.shape)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearnedMatrix:
        """Build the module that ``config`` described.

        Args:
            config: What ``config()`` returned.

        Returns:
            The module.
        """
        return cls(torch.zeros(*config["shape"], dtype=torch.float64))


@register("LearnedDamping")
class LearnedDamping(RescaledMatrix):
    """A constant damping matrix ``D = L L^T``, positive semidefinite."""

    def __init__(self, initial: ArrayLike) -> None:
        """Start from a factor.

        Args:
            initial: ``L`` ``(n, n)``; not zero, where the derivative of ``D`` vanishes.

        Raises:
            ValueError: If the matrix is not square.
        """
        super().__init__()
        factor = as_float_matrix(initial, "initial")
        if factor.shape[0] != factor.shape[1]:
            raise ValueError(f"initial: expected a square matrix, got shape {tuple(factor.shape)}")
        self.factor = nn.Parameter(factor)

    def forward(self) -> Tensor:
        """The matrix ``D`` ``(n, n)``."""
        return self.factor @ self.factor.mT

    def rescale_(self, factor: float) -> None:
        """Multiply ``D`` by a positive number, in place.

        Args:
            factor: The number.
        """
        super().rescale_(factor**0.5)

    def _weights(self) -> list[Tensor]:
        return [self.factor]

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights."""
        return {"type": "LearnedDamping", "size": self.factor.shape[0]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearnedDamping:
        """Build the module that ``config`` described.

        Args:
            config: What ``config()`` returned.

        Returns:
            The module.
        """
        return cls(torch.eye(config["size"], dtype=torch.float64))
