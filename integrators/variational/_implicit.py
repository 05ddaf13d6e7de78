"""The solution of the implicit step equation as a differentiable function of impulse and inertia."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._linear import solve
from .._status import Status
from ._kinetic import DiscreteKinetic
from ._newton import PLAIN_ITERATIONS, classify, solve_step


def solve_implicitly(
    kinetic: DiscreteKinetic, a: Tensor, inertia: Tensor, isotropic: bool = False
) -> tuple[Tensor, Tensor]:
    """Solve for the displacement of one step, with derivatives by the implicit function theorem.

    Differentiable any number of times in reverse and forward mode and under ``vmap``. Source of the
    derivative: with ``K = I - S(z) + z z^T`` the trace term obeys ``grad(phi) dz = -K da + 2 dJ z``.

    Args:
        kinetic: The discrete kinetic term.
        a: Scaled impulses ``(..., n)``.
        inertia: ``J``, ``(n, n)`` or broadcastable to ``(..., n, n)``.
        isotropic: Whether ``J`` is a multiple of the identity.

    Returns:
        Coordinates ``z`` ``(..., n)`` and codes of ``Status`` ``(...)``; where the status is a failure, ``z``
        is not a solution.
    """
    if torch.compiler.is_compiling():
        return _traced_solution(kinetic, a, inertia)
    z, status = _ImplicitDisplacement.apply(kinetic, isotropic, a, inertia)
    return z, status


def _traced_solution(kinetic: DiscreteKinetic, a: Tensor, inertia: Tensor) -> tuple[Tensor, Tensor]:
    """A fixed number of Newton steps, the last two recorded: exact first and second derivatives, no branches.

    Samples that are not solved become NaN, since a compiled graph cannot raise.

    Args:
        kinetic: The discrete kinetic term.
        a: Scaled impulses ``(..., n)``.
        inertia: ``J``.

    Returns:
        Coordinates ``z`` ``(..., n)`` and codes of ``Status`` ``(...)``.
    """
    constant_a, constant_inertia = a.detach(), inertia.detach()
    z = start = 0.5 * solve(constant_inertia, constant_a)
    for k in range(PLAIN_ITERATIONS + 2):
        impulse, body = (a, inertia) if k >= PLAIN_ITERATIONS else (constant_a, constant_inertia)
        z = z - solve(kinetic.jacobian(z, impulse, body), kinetic.residual(z, impulse, body))
    status = classify(kinetic, start, z.detach(), constant_a, constant_inertia)
    return torch.where((status >= int(Status.NOT_CONVERGED)).unsqueeze(-1), torch.nan, z), status


class _ImplicitDisplacement(torch.autograd.Function):
    """``(a, J) -> z`` with the derivative of the implicit function."""

    @staticmethod
    def forward(
        kinetic: DiscreteKinetic, isotropic: bool, a: Tensor, inertia: Tensor
    ) -> tuple[Tensor, Tensor]:
        return solve_step(kinetic, a, inertia, isotropic)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        kinetic, _, a, inertia = inputs
        z, status = output
        ctx.kinetic = kinetic
        ctx.mark_non_differentiable(status)
        ctx.save_for_backward(z, a, inertia)
        ctx.save_for_forward(z, a, inertia)

    @staticmethod
    def backward(ctx: Any, z_bar: Tensor, _: Tensor) -> tuple[None, None, Tensor, Tensor]:
        z, a, inertia = ctx.saved_tensors
        multiplier = -solve(ctx.kinetic.jacobian(z, a, inertia).mT, z_bar)
        a_bar, inertia_bar = ctx.kinetic.pull_back(z, multiplier)
        return None, None, a_bar, inertia_bar.sum_to_size(inertia.shape)

    @staticmethod
    def jvp(ctx: Any, _: None, __: None, a_tangent: Tensor | None, inertia_tangent: Tensor | None) -> Any:
        z, a, inertia = ctx.saved_tensors
        if a_tangent is None:
            a_tangent = torch.zeros_like(a)
        change = ctx.kinetic.push_forward(z, a_tangent, inertia_tangent)
        return -solve(ctx.kinetic.jacobian(z, a, inertia), change), None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        kinetic: DiscreteKinetic,
        isotropic: bool,
        a: Tensor,
        inertia: Tensor,
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        *_, a_dim, inertia_dim = in_dims
        a = a.movedim(a_dim, 0) if a_dim is not None else a.expand(info.batch_size, *a.shape)
        if inertia_dim is not None:
            inertia = inertia.movedim(inertia_dim, 0)
            missing = a.ndim + 1 - inertia.ndim
            inertia = inertia.reshape(inertia.shape[0], *(1,) * missing, *inertia.shape[1:])
        return _ImplicitDisplacement.apply(kinetic, isotropic, a, inertia), (0, 0)
