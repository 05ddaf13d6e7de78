"""Learned input gains and damping matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from integrators.kernels import KernelBuilder, Rows
from lie import LieGroup

from .._registry import register
from ._features import matrix_features
from ._mlp import MLP
from ._potential import GROUPS, group_name


def matrix_rows(group: LieGroup) -> int:
    """Number of generalised forces on a body: 3 torques on SO(3), 3 forces and 3 torques on SE(3).

    Args:
        group: ``lie.SO3`` or ``lie.SE3``.

    Returns:
        3 or 6.
    """
    return 6 if group_name(group) == "SE3" else 3


class _RescaledMatrix(nn.Module):
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
class LearnedMatrix(_RescaledMatrix):
    """A constant matrix with free entries, such as an input gain."""

    def __init__(self, initial: Tensor) -> None:
        """Start from a matrix.

        Args:
            initial: ``(rows, columns)``.
        """
        super().__init__()
        self.matrix = nn.Parameter(torch.as_tensor(initial).clone())

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
class LearnedDamping(_RescaledMatrix):
    """A constant damping matrix ``D = L L^T``, positive semidefinite."""

    def __init__(self, initial: Tensor) -> None:
        """Start from a factor.

        Args:
            initial: ``L`` ``(n, n)``.
        """
        super().__init__()
        self.factor = nn.Parameter(torch.as_tensor(initial).clone())

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


class _NeuralMatrix(_RescaledMatrix):
    """A perceptron of the configuration with matrix values."""

    def __init__(
        self,
        group: LieGroup,
        columns: int,
        hidden: Sequence[int],
        activation: str,
        dtype: torch.dtype,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.group, self.hidden = group, tuple(hidden)
        self.rows, self.columns = matrix_rows(group), columns
        inputs = 12 if group_name(group) == "SE3" else 9
        sizes = (inputs, *hidden, self.rows * columns)
        self.net = MLP(sizes, activation, dtype=dtype, generator=generator)

    def _matrix(self, q: tuple[Tensor, ...]) -> Tensor:
        return self.net(matrix_features(q)).unflatten(-1, (self.rows, self.columns))

    def _weights(self) -> list[Tensor]:
        return [self.net.layers[-1].weight, self.net.layers[-1].bias]

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights."""
        return {
            "type": type(self).__name__,
            "group": group_name(self.group),
            "columns": self.columns,
            "hidden": list(self.hidden),
            "activation": self.net.activation,
        }


@register("NeuralGain")
class NeuralGain(_NeuralMatrix):
    """Input gain ``g(q)`` from a perceptron."""

    def __init__(
        self,
        group: LieGroup,
        inputs: int,
        hidden: Sequence[int] = (10, 10),
        activation: str = "tanh",
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the weights.

        Args:
            group: ``lie.SO3`` or ``lie.SE3``.
            inputs: Number of control inputs.
            hidden: Widths of the hidden layers.
            activation: Activation of the network.
            dtype: Floating-point type.
            generator: Source of the random weights.
        """
        super().__init__(group, inputs, hidden, activation, dtype, generator)

    def forward(self, *q: Tensor) -> Tensor:
        """The gain ``(..., 3 or 6, inputs)`` at a configuration."""
        return self._matrix(q)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NeuralGain:
        """Build the module that ``config`` described, with fresh weights.

        Args:
            config: What ``config()`` returned.

        Returns:
            The module.
        """
        return cls(GROUPS[config["group"]], config["columns"], config["hidden"], config["activation"])

    def emit_field(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> Rows:
        """Add kernel code for the gain; returns its rows."""
        return self.net.emit(builder).emit_forward([*position, *rotation])


@register("NeuralDamping")
class NeuralDamping(_NeuralMatrix):
    """Damping matrix ``D(q) = L(q) L(q)^T`` from a perceptron, positive semidefinite."""

    def __init__(
        self,
        group: LieGroup,
        hidden: Sequence[int] = (10, 10),
        activation: str = "tanh",
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the weights.

        Args:
            group: ``lie.SO3`` or ``lie.SE3``.
            hidden: Widths of the hidden layers.
            activation: Activation of the network.
            dtype: Floating-point type.
            generator: Source of the random weights.
        """
        super().__init__(group, matrix_rows(group), hidden, activation, dtype, generator)

    def forward(self, *q: Tensor) -> Tensor:
        """The matrix ``(..., n, n)`` at a configuration."""
        factor = self._matrix(q)
        return factor @ factor.mT

    def rescale_(self, factor: float) -> None:
        """Multiply ``D`` by a positive number, in place.

        Args:
            factor: The number.
        """
        super().rescale_(factor**0.5)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NeuralDamping:
        """Build the module that ``config`` described, with fresh weights.

        Args:
            config: What ``config()`` returned.

        Returns:
            The module.
        """
        return cls(GROUPS[config["group"]], config["hidden"], config["activation"])

    def emit_field(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> Rows:
        """Add kernel code for the matrix; returns its rows."""
        n = self.rows
        factor = self.net.emit(builder).emit_forward([*position, *rotation])
        target = builder.rows(n * n)
        for i in range(n):
            lines = []
            for j in range(n):
                terms = [f"@{factor[i * n + k]} * @{factor[j * n + k]}" for k in range(n)]
                lines.append(f"@{target[i * n + j]} = {' + '.join(terms)}")
            builder.lanes(*lines)
        return target
