"""Learned potential energies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from integrators import LinearPotential, Potential
from integrators.kernels import KernelBuilder, Rows
from lie import SO3, LieGroup

from .._registry import register
from ._features import matrix_features, quaternion_features, slope_of_torque, torque_of_quaternion_slope
from ._groups import GROUPS, group_name
from ._mlp import MLP
from ._potential_kernel import emit_even_gradient, emit_even_value


@register("NeuralPotential")
class NeuralPotential(Potential):
    """``U(q) = <B, R> + c . x + net(q)``: a learned uniform field plus a perceptron.

    The linear part holds gravity on any body exactly, so that the network has to learn only what remains.
    With quaternion features the network is averaged over ``q`` and ``-q``, which makes it a function of the
    rotation.

    Attributes:
        features: ``"matrix"`` or ``"quaternion"``.

    Example:
        >>> from geomlearn import lie, nn
        >>> potential = nn.NeuralPotential(lie.SE3, hidden=(8,), features="quaternion")
        >>> x, R = torch.zeros(5, 3, dtype=torch.float64), lie.SO3.identity(5, dtype=torch.float64)
        >>> potential(x, R).shape
        torch.Size([5])
        >>> [slope.shape for slope in potential.gradient(x, R)]
        [torch.Size([5, 3]), torch.Size([5, 3, 3])]
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
            ValueError: If ``features`` or the group is unknown.
        """
        super().__init__()
        if features not in ("matrix", "quaternion"):
            raise ValueError(f"features: expected 'matrix' or 'quaternion', got {features!r}")
        self.group, self.features, self.hidden = group, features, tuple(hidden)
        inputs = (9 if features == "matrix" else 4) + (3 if group_name(group) == "SE3" else 0)
        self.net = MLP((inputs, *hidden, 1), activation, dtype=dtype, generator=generator)
        self.linear: LinearPotential | None = None
        if linear:
            field, force = torch.zeros(3, 3, dtype=dtype), torch.zeros(3, dtype=dtype)
            self.linear = LinearPotential(field, force, learnable=True)
            if group == SO3:
                self.linear.position.requires_grad_(False)

    def forward(self, *q: Tensor) -> Tensor:
        """Energy of configurations.

        Args:
            *q: ``R`` ``(..., 3, 3)``, or ``x`` ``(..., 3)`` and ``R``.

        Returns:
            Energies ``(...)`` in J.
        """
        if self.features == "matrix":
            energy = self.net(matrix_features(q)).squeeze(-1)
        else:
            both = [self.net(quaternion_features(q, sign)) for sign in (1.0, -1.0)]
            energy = 0.5 * (both[0] + both[1]).squeeze(-1)
        return energy if self.linear is None else energy + self.linear(*q)

    def gradient(self, *q: Tensor) -> tuple[Tensor, ...]:
        """Derivatives with respect to each argument.

        With quaternion features the network's part of ``dU/dR`` is tangent to the group; its extension off
        the group does not matter.

        Args:
            *q: ``R`` ``(..., 3, 3)``, or ``x`` ``(..., 3)`` and ``R``.

        Returns:
            ``(dU/dR,)`` or ``(dU/dx, dU/dR)``, in the shapes of the arguments.
        """
        if self.features == "matrix":
            flat = self.net.gradient(matrix_features(q))
            slope_x, flat_r = (flat, flat) if len(q) == 1 else (flat[..., :3], flat[..., 3:])
            slope_r = flat_r.unflatten(-1, (3, 3))
        else:
            slope_x, slope_r = self._quaternion_gradient(q)
        if self.linear is not None:
            slope_r = slope_r + self.linear.orientation
        if len(q) == 1:
            return (slope_r,)
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
        self.net.rescale_(factor)
        if self.linear is not None:
            with torch.no_grad():
                self.linear.orientation.mul_(factor)
                self.linear.position.mul_(factor)

    def emit_value(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> int:
        """Add kernel code for the energy.

        Args:
            builder: The kernel under construction.
            position: Rows of ``x``, none on SO(3).
            rotation: Rows of ``R``.

        Returns:
            Row of the energy.
        """
        net = self.net.emit(builder)
        if self.features == "matrix":
            total = net.emit_forward([*position, *rotation])[0]
        else:
            total = emit_even_value(builder, net, position, rotation)
        if self.linear is not None:
            builder.lanes(f"@{total} += @{self.linear.emit_value(builder, position, rotation)}")
        return total

    def emit_gradient(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> tuple[Rows, Rows]:
        """Add kernel code for the gradient.

        Args:
            builder: The kernel under construction.
            position: Rows of ``x``, none on SO(3).
            rotation: Rows of ``R``.

        Returns:
            Rows of ``dU/dx`` and ``dU/dR``.
        """
        net = self.net.emit(builder)
        if self.features == "matrix":
            net.emit_forward([*position, *rotation])
            slope = net.emit_backward()
            slope_x, slope_r = slope[: len(position)], slope[len(position) :]
        else:
            slope_x, slope_r = emit_even_gradient(builder, net, position, rotation)
        if self.linear is not None:
            constant_x, constant_r = self.linear.emit_gradient(builder, position, rotation)
            pairs = zip([*slope_x, *slope_r], [*constant_x, *constant_r], strict=True)
            builder.lanes(*[f"@{row} += @{constant}" for row, constant in pairs])
        return slope_x, slope_r

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
