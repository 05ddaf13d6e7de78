"""The rigid body's integrator on poses alone: its Lagrangian form, residual and velocities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lie import SO3

from .._flow import FlowMap
from .._linear import apply
from .._state import StateSpace
from ._forced import Coefficients
from ._rotation import turn

if TYPE_CHECKING:
    from ._body import RigidBodyCarry
    from ._rigid_body import RigidBodyIntegrator


def position_residual(
    flow: RigidBodyIntegrator,
    q0: Tensor,
    q1: Tensor,
    q2: Tensor,
    u0: Tensor | None = None,
    u1: Tensor | None = None,
) -> Tensor:
    """Defect of the position-only step equation on three successive poses, as a velocity jump at the middle.

    The forced discrete Euler-Lagrange equation, multiplied by the inverse mass and inertia: zero along every
    trajectory of ``flow``. Without damping it does not depend on ``alpha``, nor, for constant inputs, on
    ``force_split``. It is not defined where two successive poses are half a turn apart.

    Source: Duruisseaux, Duong, Leok, Atanasov, L4DC 2023, eq. 6 with the discrete Lagrangian of eq. 9.

    Args:
        flow: The integrator.
        q0: Poses ``(..., 9)`` or ``(..., 12)`` in the layout of ``flow.configuration_space``.
        q1: Poses one step later.
        q2: Poses two steps later.
        u0: Inputs ``(..., m)`` of the first step.
        u1: Inputs ``(..., m)`` of the second step.

    Returns:
        ``(..., 3)`` in rad/s (body frame), on SE(3) ``(..., 6)`` preceded by m/s (world frame).
    """
    k = flow.constants()
    middle = _momenta(flow, q0, q1, u0, k)
    pi, momentum = flow._leave(middle, flow.prepare(u1, k), k)
    next_pose = _pose(flow, q2, "q2")
    z = _displacement(middle.rotation, next_pose["R"])
    turning = apply(k.inverse_inertia, flow.kinetic.impulse(z, k.inertia) / flow.h - pi)
    if middle.position is None or momentum is None or k.mass is None:
        return turning
    return torch.cat(((next_pose["x"] - middle.position) / flow.h - momentum / k.mass, turning), dim=-1)


def velocities_from_poses(
    flow: RigidBodyIntegrator, q0: Tensor, q1: Tensor, u0: Tensor | None = None
) -> Tensor:
    """Velocities at the second of two successive poses of a trajectory.

    Args:
        flow: The integrator.
        q0: Poses ``(..., 9)`` or ``(..., 12)`` in the layout of ``flow.configuration_space``.
        q1: Poses one step later.
        u0: Inputs ``(..., m)`` of the step.

    Returns:
        ``omega`` ``(..., 3)``, on SE(3) ``(v, omega)`` ``(..., 6)``; joined to ``q1`` they are the state of
        ``flow``.
    """
    k = flow.constants()
    return flow.finish(_momenta(flow, q0, q1, u0, k), k)[..., flow.configuration_space.size :]


class PositionForm(FlowMap):
    """The position-only (Lagrangian) form of a ``RigidBodyIntegrator``: from two poses to the next.

    States are pairs ``(q_prev, q)`` of successive poses, with parts ``R_prev, R`` on SO(3) and
    ``x_prev, R_prev, x, R`` on SE(3). The controls of a step are ``(u_prev, u)``: the inputs ``(..., 2 m)``
    that acted from ``q_prev`` to ``q`` and those that act from ``q`` on. The poses are those of the
    integrator itself.

    Source: Duruisseaux, Duong, Leok, Atanasov, L4DC 2023, eq. 6.
    """

    def __init__(self, flow: RigidBodyIntegrator) -> None:
        """Take over the slots of an integrator.

        Args:
            flow: The integrator, whose parameters are shared.
        """
        super().__init__()
        self.flow, self.h = flow, flow.h
        pose = flow.configuration_space
        previous = (replace(part, name=f"{part.name}_prev") for part in pose.parts)
        self.space = StateSpace(*previous, *pose.parts)
        self.control_size = 2 * flow.control_size

    @property
    def order(self) -> int:  # type: ignore[override]
        """Order of the integrator."""
        return self.flow.order

    def with_step(self, h: float) -> PositionForm:
        """The same system at another step.

        Args:
            h: Step in seconds.

        Returns:
            A map that shares the parameters.
        """
        return PositionForm(self.flow.with_step(h))

    def constants(self) -> Coefficients:
        """Those of the integrator."""
        return self.flow.constants()

    def advance(self, carry: Tensor, control: Tensor | None, constants: Coefficients) -> Tensor:
        """Move pairs of poses by one step.

        Args:
            carry: Pairs ``(..., 18)`` or ``(..., 24)``.
            control: Inputs ``(u_prev, u)`` ``(..., 2 m)``, or ``None``.
            constants: What ``constants`` returned.

        Returns:
            The pairs one step later.
        """
        q1, here, u = self._middle(carry, control, constants)
        return self._pair(q1, self.flow.advance(here, u, constants), constants)

    def try_advance(
        self, carry: Tensor, control: Tensor | None, constants: Coefficients
    ) -> tuple[Tensor, Tensor]:
        """Like ``advance``, with a status per trajectory in place of an error.

        Args:
            carry: Pairs ``(..., 18)`` or ``(..., 24)``.
            control: Inputs ``(u_prev, u)`` ``(..., 2 m)``, or ``None``.
            constants: What ``constants`` returned.

        Returns:
            The pairs one step later, and codes of ``Status`` ``(...)``.
        """
        q1, here, u = self._middle(carry, control, constants)
        arrived, status = self.flow.try_advance(here, u, constants)
        return self._pair(q1, arrived, constants), status

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step.

        Args:
            y: Pairs ``(..., 18)`` or ``(..., 24)``.
            control: The inputs ``(u_prev, u)`` of the step.

        Returns:
            The pairs from which ``forward`` leads to ``y``.
        """
        self.check_inputs(y, control)
        first, second = self._controls(control)
        size = self.flow.configuration_space.size
        q1, q2 = y[..., :size], y[..., size:]
        state = torch.cat((q2, velocities_from_poses(self.flow, q1, q2, second)), dim=-1)
        back = self.flow.inverse(self.flow.inverse(state, second), first)
        return torch.cat((back[..., :size], q1), dim=-1)

    def _middle(
        self, pair: Tensor, control: Tensor | None, k: Coefficients
    ) -> tuple[Tensor, RigidBodyCarry, Tensor | None]:
        first, second = self._controls(control)
        size = self.flow.configuration_space.size
        q0, q1 = pair[..., :size], pair[..., size:]
        return q1, _momenta(self.flow, q0, q1, first, k), self.flow.prepare(second, k)

    def _pair(self, q1: Tensor, arrived: Any, k: Coefficients) -> Tensor:
        q2 = self.flow.finish(arrived, k)[..., : self.flow.configuration_space.size]
        return torch.cat((q1.expand(q2.shape), q2), dim=-1)

    def _controls(self, control: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if control is None:
            return None, None
        return control[..., : self.flow.control_size], control[..., self.flow.control_size :]


def _momenta(
    flow: RigidBodyIntegrator, q0: Tensor, q1: Tensor, control: Tensor | None, k: Coefficients
) -> RigidBodyCarry:
    """Momenta at ``q1`` after the step from ``q0``."""
    before, now = _pose(flow, q0, "q0"), _pose(flow, q1, "q1")
    z = _displacement(before["R"], now["R"])
    pi = turn((flow.kinetic.impulse(z, k.inertia) / flow.h).unsqueeze(-2), z).squeeze(-2)
    rotation = now["R"].expand(*pi.shape[:-1], 3, 3)
    x = momentum = None
    if k.mass is not None:
        x = now["x"]
        momentum = (k.mass / flow.h) * (x - before["x"])
    return flow._arrive(flow._evaluate_forces(rotation, pi, x, momentum), flow.prepare(control, k), k)


def _pose(flow: RigidBodyIntegrator, q: Tensor, name: str) -> dict[str, Tensor]:
    space = flow.configuration_space
    if q.ndim == 0 or q.shape[-1] != space.size:
        raise ValueError(f"{name}: expected poses of shape (..., {space.size}), got {tuple(q.shape)}")
    return space.view(q)


def _displacement(before: Tensor, after: Tensor) -> Tensor:
    """Cayley coordinates ``z`` of the rotation between two attitudes."""
    return 0.5 * SO3.cayley_inverse(before.mT @ after, check=False)
