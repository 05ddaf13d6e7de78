"""Input gains and damping matrices that depend on the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from integrators.kernels import KernelBuilder, Rows
from lie import LieGroup

from .._registry import register
from ._features import matrix_features
from ._groups import GROUPS, force_count, group_name
from ._matrices import RescaledMatrix
from ._mlp import MLP


class _NeuralMatrix(RescaledMatrix):
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
        self.rows, self.columns = force_count(group), columns
        inputs = 12 if group_name(group) == "SE3" else 9
        sizes = (inputs, *hidden, self.rows * columns)
        self.net = MLP(sizes, activation, dtype=dtype, generator=generator)

    def _matrix(self, q: tuple[Tensor, ...]) -> Tensor:
        return self.net(matrix_features(q)).unflatten(-1, (self.rows, self.columns))

    def _weights(self) -> list[Tensor]:
        last = self.net.linear_layers[-1]
        return [last.weight, last.bias]

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
        """The gain at a configuration.

        Args:
            *q: ``R`` ``(..., 3, 3)``, or ``x`` ``(..., 3)`` and ``R``.

        Returns:
            Body forces (on SE(3)) and torques per input, ``(..., 3 or 6, inputs)``.
        """
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
        """Add kernel code for the gain.

        Args:
            builder: The kernel under construction.
            position: Rows of ``x``, none on SO(3).
            rotation: Rows of ``R``.

        Returns:
            Rows of the entries, row by row.
        """
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
        super().__init__(group, force_count(group), hidden, activation, dtype, generator)

    def forward(self, *q: Tensor) -> Tensor:
        """The damping matrix at a configuration.

        Args:
            *q: ``R`` ``(..., 3, 3)``, or ``x`` ``(..., 3)`` and ``R``.

        Returns:
            Matrices ``(..., n, n)``, positive semidefinite.
        """
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
        """Add kernel code for the matrix.

        Args:
            builder: The kernel under construction.
            position: Rows of ``x``, none on SO(3).
            rotation: Rows of ``R``.

        Returns:
            Rows of the entries, row by row.
        """
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
