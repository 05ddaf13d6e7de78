"""Learned potential energies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from integrators import LinearPotential, Potential
from integrators.kernels import KernelBuilder, Rows
from lie import SE3, SO3, LieGroup

from ._features import (
    emit_quaternion,
    matrix_features,
    quaternion_features,
    slope_of_torque,
    torque_of_quaternion_slope,
)
from ._mlp import MLP
from .._registry import register

GROUPS: dict[str, LieGroup] = {"SO3": SO3, "SE3": SE3}


def group_name(group: LieGroup) -> str:
    """Name of a rigid body's group in configurations.

    Args:
        group: ``lie.SO3`` or ``lie.SE3``.

    Returns:
        ``"SO3"`` or ``"SE3"``.

    Raises:
        ValueError: If it is another group.
    """
    for name, known in GROUPS.items():
        if group is known:
            return name
    raise ValueError(f"group: expected lie.SO3 or lie.SE3, got {group}")


@register("NeuralPotential")
class NeuralPotential(Potential):
    """``U(q) = <B, R> + c . x + net(q)``: a learned uniform field plus a perceptron.

    The linear part holds gravity on any body exactly, so that the network has to learn only what remains. With
    quaternion features the network is averaged over ``q`` and ``-q``, which makes it a function of the rotation.

    Attributes:
        features: ``"matrix"`` or ``"quaternion"``.
    """

    def __init__(
        self,
        group: LieGroup,
        hidden: Sequence[int] = (10, 10),
        features: str = "matrix",
        linear: bool = True,
        activation: str = "tanh",
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the weights.

        Args:
            group: ``lie.SO3`` or ``lie.SE3``.
            hidden: Widths of the hidden layers.
            features: What the network sees of ``R``: its nine entries, or its quaternion up to sign.
            linear: Whether the linear part is present.
            activation: Activation of the network.
            dtype: Floating-point type.
            generator: Source of the random weights.

        Raises:
            ValueError: If ``features`` is unknown.
        """
        super().__init__()
        if features not in ("matrix", "quaternion"):
            raise ValueError(f"features: expected 'matrix' or 'quaternion', got {features!r}")
        self.group, self.features, self.hidden = group, features, tuple(hidden)
        inputs = (9 if features == "matrix" else 4) + (3 if group_name(group) == "SE3" else 0)
        self.net = MLP((inputs, *hidden, 1), activation, dtype=dtype, generator=generator)
        self.linear = None
        if linear:
            self.linear = LinearPotential(torch.zeros(3, 3, dtype=dtype), torch.zeros(3, dtype=dtype), learnable=True)
            if group is SO3:
                self.linear.position.requires_grad_(False)

    def forward(self, *q: Tensor) -> Tensor:
        """Energy ``(...)`` of configurations ``R`` or ``x, R``."""
        if self.features == "matrix":
            energy = self.net(matrix_features(q)).squeeze(-1)
        else:
            both = [self.net(quaternion_features(q, sign)) for sign in (1.0, -1.0)]
            energy = 0.5 * (both[0] + both[1]).squeeze(-1)
        return energy if self.linear is None else energy + self.linear(*q)

    def gradient(self, *q: Tensor) -> tuple[Tensor, ...]:
        """Derivatives with respect to each argument.

        With quaternion features ``dU/dR`` is the gradient tangent to the group; its extension off the group does
        not matter.
        """
        rotation = q[-1]
        if self.features == "matrix":
            flat = self.net.gradient(matrix_features(q))
            slope_x, slope_r = flat[..., :-9], flat[..., -9:].unflatten(-1, (3, 3))
        else:
            slope_x, slope_r = self._quaternion_gradient(q)
        if self.linear is not None:
            slope_r = slope_r + self.linear.orientation
        if len(q) == 1:
            return (slope_r.expand(rotation.shape),)
        return slope_x if self.linear is None else slope_x + self.linear.position, slope_r

    def _quaternion_gradient(self, q: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        features = quaternion_features(q, 1.0)
        flipped = torch.cat((features[..., :-4], -features[..., -4:]), dim=-1)
        plus, minus = self.net.gradient(features), self.net.gradient(flipped)
        slope = 0.5 * (plus[..., -4:] - minus[..., -4:])
        torque = torque_of_quaternion_slope(features[..., -4:], slope)
        return 0.5 * (plus[..., :-4] + minus[..., :-4]), slope_of_torque(q[-1], torque)

    def rescale_(self, factor: float) -> None:
        """Multiply the energy by a number, in place.

        Args:
            factor: The number.
        """
        with torch.no_grad():
            self.net.layers[-1].weight.mul_(factor)
            self.net.layers[-1].bias.mul_(factor)
            if self.linear is not None:
                self.linear.orientation.mul_(factor)
                self.linear.position.mul_(factor)

    def emit_value(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> int:
        """Add kernel code for the energy; returns its row."""
        total = builder.rows(1)[0]
        if self.features == "matrix":
            output = self.net.emit(builder).emit_forward([*position, *rotation])[0]
            builder.lanes(f"@{total} = @{output}")
        else:
            plus, minus = self._quaternion_inputs(builder, position, rotation)
            net = self.net.emit(builder)
            builder.lanes(f"@{total} = 0.5 * @{net.emit_forward(plus)[0]}")
            builder.lanes(f"@{total} += 0.5 * @{net.emit_forward(minus)[0]}")
        if self.linear is not None:
            builder.lanes(f"@{total} += @{self.linear.emit_value(builder, position, rotation)}")
        return total

    def emit_gradient(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> tuple[Rows, Rows]:
        """Add kernel code for the gradient; returns the rows of ``dU/dx`` and ``dU/dR``."""
        n = len(position)
        if self.features == "matrix":
            net = self.net.emit(builder)
            net.emit_forward([*position, *rotation])
            slope = net.emit_backward()
            slope_x, slope_r = slope[:n], slope[n:]
        else:
            slope_x, slope_r = self._emit_quaternion_gradient(builder, position, rotation)
        if self.linear is not None:
            constant_x, constant_r = self.linear.emit_gradient(builder, position, rotation)
            pairs = zip([*slope_x, *slope_r], [*constant_x, *constant_r], strict=True)
            builder.lanes(*[f"@{row} += @{constant}" for row, constant in pairs])
        return slope_x, slope_r

    def _emit_quaternion_gradient(
        self, builder: KernelBuilder, position: Rows, rotation: Rows
    ) -> tuple[Rows, Rows]:
        n = len(position)
        plus, minus = self._quaternion_inputs(builder, position, rotation)
        net, mean = self.net.emit(builder), builder.rows(n + 4)
        for inputs, first in ((plus, True), (minus, False)):
            net.emit_forward(inputs)
            slope = net.emit_backward()
            signs = ["" if first or k < n else "-" for k in range(n + 4)]
            operator = "=" if first else "+="
            builder.lanes(
                *[f"@{row} {operator} 0.5 * ({s}@{k})" for row, s, k in zip(mean, signs, slope, strict=True)]
            )
        (a, b, c, d), (x, y, z, w) = [[f"@{row}" for row in rows] for rows in (mean[n:], plus[n:])]
        slope_r = builder.rows(9)
        builder.lanes(
            f"t0 = -0.5 * ({w} * {a} + {b} * {z} - {c} * {y} - {d} * {x})",
            f"t1 = -0.5 * ({w} * {b} + {c} * {x} - {a} * {z} - {d} * {y})",
            f"t2 = -0.5 * ({w} * {c} + {a} * {y} - {b} * {x} - {d} * {z})",
            *[
                f"@{slope_r[3 * i + j]} = 0.5 * (t{(j + 1) % 3} * @{rotation[3 * i + (j + 2) % 3]}"
                f" - t{(j + 2) % 3} * @{rotation[3 * i + (j + 1) % 3]})"
                for i in range(3)
                for j in range(3)
            ],
        )
        return mean[:n], slope_r

    @staticmethod
    def _quaternion_inputs(builder: KernelBuilder, position: Rows, rotation: Rows) -> tuple[Rows, Rows]:
        n = len(position)
        plus, minus = builder.rows(n + 4), builder.rows(n + 4)
        for rows in (plus, minus):
            if n:
                builder.lanes(*[f"@{a} = @{b}" for a, b in zip(rows[:n], position, strict=True)])
        emit_quaternion(builder, rotation, (plus[n:], minus[n:]))
        return plus, minus

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights."""
        return {
            "type": "NeuralPotential",
            "group": group_name(self.group),
            "hidden": list(self.hidden),
            "features": self.features,
            "linear": self.linear is not None,
            "activation": self.net.activation,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NeuralPotential:
        """Build the module that ``config`` described, with fresh weights.

        Args:
            config: What ``config()`` returned.

        Returns:
            The module.
        """
        options = {key: config[key] for key in ("hidden", "features", "linear", "activation")}
        return cls(GROUPS[config["group"]], **options)
