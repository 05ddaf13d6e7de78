"""The solution of the implicit step equation as a differentiable function of impulse and inertia."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from .._status import LargeStepWarning, Status, StepError, describe_failures
from ._kinetic import KINETIC_TERMS, RotationKinetic, solve
from ._newton import PLAIN_ITERATIONS, solve_step

Choice = tuple[str, bool, bool]


def solve_rotation(
    kinetic: RotationKinetic, a: Tensor, inertia: Tensor, strict: bool = True, isotropic: bool = False
) -> tuple[Tensor, Tensor]:
    """Solve for the rotation of one step, with derivatives by the implicit function theorem.

    Differentiable any number of times in reverse and forward mode and under ``vmap``. Source of the derivative:
    with ``K = I - S(z) + z z^T`` the trace term obeys ``grad(phi) dz = -K da + 2 dJ z``.

    Args:
        kinetic: The discrete kinetic term.
        a: Scaled impulses ``(..., 3)``.
        inertia: ``J``, ``(3, 3)`` or broadcastable to ``(..., 3, 3)``.
        strict: Whether a failed sample raises; otherwise it is reported in the status.
        isotropic: Whether ``J`` is a multiple of the identity.

    Returns:
        Cayley coordinates ``z`` ``(..., 3)`` and codes of ``Status`` ``(...)``.

    Raises:
        StepError: If ``strict`` and a sample has no admissible solution.
    """
    if torch.compiler.is_compiling():
        return _traced_solution(kinetic, a, inertia)
    z, status = _ImplicitRotation.apply((kinetic.name, strict, isotropic), a, inertia)
    return z, status


def _traced_solution(kinetic: RotationKinetic, a: Tensor, inertia: Tensor) -> tuple[Tensor, Tensor]:
    """A fixed number of Newton steps, the last two recorded: exact first and second derivatives, no branches."""
    constant_a, constant_inertia = a.detach(), inertia.detach()
    z = 0.5 * solve(constant_inertia, constant_a)
    for k in range(PLAIN_ITERATIONS + 2):
        impulse, body = (a, inertia) if k >= PLAIN_ITERATIONS else (constant_a, constant_inertia)
        z = z - solve(kinetic.jacobian(z, impulse, body), kinetic.residual(z, impulse, body))
    return z, torch.zeros(a.shape[:-1], dtype=torch.int8, device=a.device)


class _ImplicitRotation(torch.autograd.Function):
    """``(a, J) -> z`` with the derivative of the implicit function."""

    @staticmethod
    def forward(choice: Choice, a: Tensor, inertia: Tensor) -> tuple[Tensor, Tensor]:
        name, strict, isotropic = choice
        z, status = solve_step(KINETIC_TERMS[name], a, inertia, isotropic)
        worst = int(status.max()) if status.numel() else 0
        if strict and worst >= Status.NOT_CONVERGED:
            raise StepError(f"step: {describe_failures(status)}")
        if strict and worst == Status.LARGE_STEP:
            warnings.warn(Status.LARGE_STEP.explanation, LargeStepWarning, stacklevel=2)
        return z, status

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        choice, a, inertia = inputs
        z, status = output
        ctx.name = choice[0]
        ctx.mark_non_differentiable(status)
        ctx.save_for_backward(z, a, inertia)
        ctx.save_for_forward(z, a, inertia)

    @staticmethod
    def backward(ctx: Any, z_bar: Tensor, _: Tensor) -> tuple[None, Tensor, Tensor]:
        z, a, inertia = ctx.saved_tensors
        kinetic = KINETIC_TERMS[ctx.name]
        multiplier = -solve(kinetic.jacobian(z, a, inertia).mT, z_bar)
        a_bar, inertia_bar = kinetic.pull_back(z, multiplier)
        return None, a_bar, inertia_bar.sum_to_size(inertia.shape)

    @staticmethod
    def jvp(ctx: Any, _: None, a_tangent: Tensor | None, inertia_tangent: Tensor | None) -> Any:
        z, a, inertia = ctx.saved_tensors
        kinetic = KINETIC_TERMS[ctx.name]
        if a_tangent is None:
            a_tangent = torch.zeros_like(a)
        change = kinetic.push_forward(z, a_tangent, inertia_tangent)
        return -solve(kinetic.jacobian(z, a, inertia), change), None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], choice: Choice, a: Tensor, inertia: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        _, a_dim, inertia_dim = in_dims
        a = a.movedim(a_dim, 0) if a_dim is not None else a.expand(info.batch_size, *a.shape)
        if inertia_dim is not None:
            inertia = inertia.movedim(inertia_dim, 0)
            missing = a.ndim + 1 - inertia.ndim
            inertia = inertia.reshape(inertia.shape[0], *(1,) * missing, *inertia.shape[1:])
        return _ImplicitRotation.apply(choice, a, inertia), (0, 0)
