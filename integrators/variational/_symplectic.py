"""Structure of a rigid body's step: derivative in phase space, residual and rates of the momenta."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lie import SO3

from .._linear import apply
from ._kinetic import cross, skew

if TYPE_CHECKING:
    from ._body import RigidBody
    from ._rigid_body import RigidBodyIntegrator


def phase_derivative(
    flow: RigidBody, x: Tensor, control: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivative of one step on ``T*SO(3)`` or ``T*SE(3)``, and the symplectic form at both of its ends.

    Coordinates are ``(eta, dpi)`` for ``R exp(eta), pi + dpi`` with the body momentum ``pi = J omega``; on
    SE(3) ``(dx, eta, dp, dpi)`` with ``p = m v``. In them the canonical form is ``[[-S(pi), I], [-I, 0]]`` on
    SO(3), and the step is symplectic where ``D^T after D = before``.

    Args:
        flow: The integrator.
        x: States ``(..., n)``.
        control: Inputs ``(..., m)`` held over the step.

    Returns:
        ``D``, ``before`` and ``after``, each ``(..., d, d)`` with ``d = 6``, on SE(3) 12.
    """
    with torch.enable_grad():
        d = 2 * flow.rows
        states = x.detach()
        delta = torch.zeros(*states.shape[:-1], d, dtype=x.dtype, device=x.device, requires_grad=True)
        held = None if control is None else control.expand(*states.shape[:-1], control.shape[-1])
        arrived = flow(_displace(flow, states, delta), held)
        local = _local(flow, arrived.detach(), arrived)
        flat = local.reshape(-1, d)
        rows = [torch.autograd.grad(flat[:, i].sum(), delta, retain_graph=i + 1 < d)[0] for i in range(d)]
    derivative = torch.stack(rows, dim=-2)
    with torch.no_grad():
        return derivative, _form(flow, states), _form(flow, arrived.detach())


def _displace(flow: RigidBody, x: Tensor, delta: Tensor) -> Tensor:
    """State at phase-space coordinates ``delta`` around ``x``."""
    k, part, n = flow.constants(), flow.space.view(x), flow.rows
    moving = n - 3
    turned = part["R"] @ SO3.exp(delta[..., moving:n])
    omega = part["omega"] + apply(k.inverse_inertia, delta[..., n + moving :])
    if k.mass is None:
        return flow.space.pack(R=turned, omega=omega)
    v = part["v"] + delta[..., n : n + 3] / k.mass
    return flow.space.pack(x=part["x"] + delta[..., :3], R=turned, v=v, omega=omega)


def _local(flow: RigidBody, origin: Tensor, y: Tensor) -> Tensor:
    """Phase-space coordinates of ``y`` around ``origin``."""
    k, base, part = flow.constants(), flow.space.view(origin), flow.space.view(y)
    eta = SO3.log(base["R"].mT @ part["R"], check=False)
    pi = apply(k.inertia, part["omega"] - base["omega"])
    if k.mass is None:
        return torch.cat((eta, pi), dim=-1)
    return torch.cat((part["x"] - base["x"], eta, k.mass * (part["v"] - base["v"]), pi), dim=-1)


def _form(flow: RigidBody, x: Tensor) -> Tensor:
    n = flow.rows
    pi = apply(flow.constants().inertia, flow.space.view(x)["omega"])
    form = torch.zeros(*x.shape[:-1], 2 * n, 2 * n, dtype=x.dtype, device=x.device)
    identity = torch.eye(n, dtype=x.dtype, device=x.device)
    form[..., :n, n:] = identity
    form[..., n:, :n] = -identity
    form[..., n - 3 : n, n - 3 : n] = -skew(pi)
    return form


def step_residual(flow: RigidBodyIntegrator, x: Tensor, control: Tensor | None = None) -> Tensor:
    """Relative residual of the implicit equation of one step, from the rotation that was made alone.

    Args:
        flow: The integrator.
        x: States ``(..., n)``.
        control: Inputs ``(..., m)`` held over the step.

    Returns:
        ``(...)``: the largest entry of ``a(z) - a`` over the largest entry of ``a``.
    """
    with torch.no_grad():
        k = flow.constants()
        carry = flow.start(x, k)
        pi = flow._leave(carry, flow.prepare(control, k), k)[0]
        before, after = flow.space.view(x)["R"], flow.space.view(flow(x, control))["R"]
        turn = before.mT @ after
        trace = turn.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
        odd = torch.stack(
            (
                turn[..., 2, 1] - turn[..., 1, 2],
                turn[..., 0, 2] - turn[..., 2, 0],
                turn[..., 1, 0] - turn[..., 0, 1],
            ),
            dim=-1,
        )
        a = flow.h * pi
        error = (flow.kinetic.impulse(odd / (1 + trace), k.inertia) - a).abs().amax(-1)
        return error / a.abs().amax(-1).clamp(min=torch.finfo(x.dtype).tiny)


def momentum_rate(flow: RigidBody, x: Tensor) -> Tensor:
    """Rate of change of ``flow.momentum`` that the potential causes; zero in the direction of its symmetries.

    Args:
        flow: The integrator.
        x: States ``(..., n)``.

    Returns:
        Spatial torque ``(..., 3)``, on SE(3) ``(..., 6)`` preceded by the force.
    """
    with torch.no_grad():
        carry = flow.start(x, flow.constants())
        torque = apply(carry.rotation, carry.torque)
        if carry.position is None or carry.force is None:
            return torque
        return torch.cat((carry.force, torque + cross(carry.position, carry.force)), dim=-1)
