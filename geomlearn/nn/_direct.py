"""The unstructured baseline: a network that predicts the change of the state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from integrators import FlowMap, Part, StateSpace, Status, rigid_body_space
from integrators.kernels import KernelBuilder, KernelProgram
from lie import LieGroup

from .._registry import register
from ._groups import GROUPS, group_name
from ._mlp import MLP


@register("DirectFlow")
class DirectFlow(FlowMap):
    """``x' = x + net(x, u)``: no geometry, no energy; what structure is to be compared with.

    A rotation is predicted entry by entry like everything else and does not stay one.

    Example:
        >>> import torch
        >>> from integrators import StateSpace, vector
        >>> space = StateSpace(vector("q", 2), vector("p", 2))
        >>> flow = DirectFlow(space, 0.05, hidden=(20, 20), generator=torch.Generator().manual_seed(0))
        >>> sum(p.numel() for p in flow.parameters())
        604

    Attributes:
        group: The group of the body, ``None`` where a space was given.
    """

    def __init__(
        self,
        space: StateSpace | LieGroup,
        h: float,
        hidden: Sequence[int] = (100, 100),
        controls: int = 0,
        activation: str = "tanh",
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the weights.

        Args:
            space: Layout of the states, or ``lie.SO3`` or ``lie.SE3`` for those of a rigid body.
            h: Step in seconds.
            hidden: Widths of the hidden layers.
            controls: Number of control inputs.
            activation: Activation of the network.
            dtype: Floating-point type.
            generator: Source of the random weights.

        Raises:
            ValueError: If the step is not positive or a number of units or inputs is negative.
        """
        super().__init__()
        if not 0 < h < float("inf"):
            raise ValueError(f"h: expected a positive step in seconds, got {h}")
        if controls < 0:
            raise ValueError(f"controls: expected a number of inputs, got {controls}")
        self.group = None if isinstance(space, StateSpace) else space
        self.space = space if isinstance(space, StateSpace) else rigid_body_space(space)
        self.h, self.control_size = float(h), controls
        self.hidden = tuple(hidden)
        sizes = (self.space.size + controls, *hidden, self.space.size)
        self.net = MLP(sizes, activation, gain=0.01, dtype=dtype, generator=generator)

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        """Predict the next states; absent controls count as zero.

        Args:
            carry: States ``(..., n)``.
            control: Inputs ``(..., m)``, or ``None``.
            constants: Not used.

        Returns:
            States ``(..., n)``.
        """
        if control is None:
            control = carry.new_zeros(*carry.shape[:-1], self.control_size)
        batch = torch.broadcast_shapes(carry.shape[:-1], control.shape[:-1])
        seen = torch.cat((carry.expand(*batch, -1), control.expand(*batch, -1)), dim=-1)
        return carry + self.net(seen)

    def kernel_program(self, observables: list[str]) -> KernelProgram:
        """Code of the compiled rollout.

        Args:
            observables: Must be empty: a network without structure knows no quantity of its own.

        Returns:
            The program.

        Raises:
            ValueError: If an observable is named.
        """
        if observables:
            raise ValueError(
                f"observe: DirectFlow has no observables of its own, got {observables}; give functions"
            )
        b = KernelBuilder()
        n = self.space.size
        carry, verdict = b.rows(n), b.rows(1)[0]
        control = b.rows(max(self.control_size, 1))
        b.section("start")
        b.section("step")
        change = self.net.emit(b).emit_forward([*carry, *control[: self.control_size]])
        size = " + ".join(f"abs(@{row} + @{d})" for row, d in zip(carry, change, strict=True))
        stop = float(Status.NOT_CONVERGED)
        b.lanes(
            "v = float(code[l])",
            f"v = v if {size} < 1e300 else max(v, {float(Status.NON_FINITE)})",
            f"@{verdict} = v",
            *[f"@{r} = @{r} + @{d} if v < {stop} else @{r}" for r, d in zip(carry, change, strict=True)],
        )
        b.emit_codes(verdict)
        b.section("finish")
        return KernelProgram(b, n, carry[0], n, control[0], 0, 0)

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights."""
        where: dict[str, Any] = (
            {"space": [_describe(part) for part in self.space.parts]}
            if self.group is None
            else {"group": group_name(self.group)}
        )
        return {
            "type": "DirectFlow",
            **where,
            "h": self.h,
            "hidden": list(self.hidden),
            "controls": self.control_size,
            "activation": self.net.activation,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DirectFlow:
        """Build the model that ``config`` described, with fresh weights.

        Args:
            config: What ``config()`` returned.

        Returns:
            The model.
        """
        options = {key: config[key] for key in ("h", "hidden", "controls", "activation")}
        if "group" in config:
            return cls(GROUPS[config["group"]], **options)
        return cls(StateSpace(*[_part(**part) for part in config["space"]]), **options)


def _describe(part: Part) -> dict[str, Any]:
    own = {"name": part.name, "unit": part.unit, "frame": part.frame}
    return own | (
        {"shape": list(part.shape)} if part.manifold is None else {"manifold": group_name(part.manifold)}
    )


def _part(name: str, unit: str, frame: str, shape: Sequence[int] = (), manifold: str | None = None) -> Part:
    return Part(name, None if manifold is None else GROUPS[manifold], tuple(shape), unit, frame)
