"""Batched Newton iteration for the implicit equation of one rotation step."""

from __future__ import annotations

import torch
from torch import Tensor

from .._status import Status
from ._kinetic import RotationKinetic, TraceKinetic, dot, solve

PLAIN_ITERATIONS = 8
DAMPED_ITERATIONS = 60
COMFORTABLE_ANGLE = 0.8
CONVERGED = 8.0
STAGNATED = 1e4


def solve_step(
    kinetic: RotationKinetic, a: Tensor, inertia: Tensor, isotropic: bool = False
) -> tuple[Tensor, Tensor]:
    """Find the rotation that a scaled impulse causes; no derivatives are recorded.

    Newton's method from ``z = J^-1 a / 2``, stopped when the residual reaches rounding level in every sample. Samples
    that plain iterations do not settle are solved again with a damped step.

    Args:
        kinetic: The discrete kinetic term.
        a: Scaled impulses ``(..., 3)``.
        inertia: ``J``, ``(3, 3)`` or ``(..., 3, 3)``.
        isotropic: Whether ``J`` is a multiple of the identity, for which the trace term has a closed form.

    Returns:
        ``z`` ``(..., 3)`` and codes of ``Status`` ``(...)`` (int8).
    """
    with torch.no_grad():
        if isotropic and isinstance(kinetic, TraceKinetic):
            start = isotropic_solution(a, inertia[..., 0, 0].unsqueeze(-1))
        else:
            start = 0.5 * solve(inertia, a)
        scale = a.abs().amax(-1)
        z, error = _plain(kinetic, start, a, inertia, scale)
        tolerance = STAGNATED * torch.finfo(a.dtype).eps * scale
        if not _all_admissible(kinetic, z, error, tolerance):
            z, error = _damped(kinetic, start, a, inertia, scale)
        return z, _classify(kinetic, 0.5 * solve(inertia, a), z, error, tolerance)


def isotropic_solution(a: Tensor, moment: Tensor) -> Tensor:
    """Solution of the trace term's equation for ``J = j I``: ``z = a / (j + sqrt(j^2 - |a|^2))``.

    Args:
        a: Scaled impulses ``(..., 3)``; there is no solution where ``|a| > j``, and NaN is returned there.
        moment: ``j``, broadcastable to ``(..., 1)``.

    Returns:
        ``z`` ``(..., 3)``.
    """
    return a / (moment + (moment * moment - dot(a, a)).sqrt())


def _plain(
    kinetic: RotationKinetic, z: Tensor, a: Tensor, inertia: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    goal = CONVERGED * torch.finfo(a.dtype).eps * scale
    residual = kinetic.residual(z, a, inertia)
    error = residual.abs().amax(-1)
    for _ in range(PLAIN_ITERATIONS):
        if bool((error <= goal).all()):
            break
        z = z - solve(kinetic.jacobian(z, a, inertia), residual)
        residual = kinetic.residual(z, a, inertia)
        error = residual.abs().amax(-1)
    return z, error


def _damped(
    kinetic: RotationKinetic, z: Tensor, a: Tensor, inertia: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Newton's method that only accepts steps which lower the residual, and halves the others."""
    goal = CONVERGED * torch.finfo(a.dtype).eps * scale
    residual = kinetic.residual(z, a, inertia)
    error = residual.abs().amax(-1)
    length = torch.ones_like(error)
    for _ in range(DAMPED_ITERATIONS):
        if bool((error <= goal).all()):
            break
        step = solve(kinetic.jacobian(z, a, inertia), residual)
        trial = z - length.unsqueeze(-1) * step
        trial_residual = kinetic.residual(trial, a, inertia)
        trial_error = trial_residual.abs().amax(-1)
        better = trial_error < error
        z = torch.where(better.unsqueeze(-1), trial, z)
        residual = torch.where(better.unsqueeze(-1), trial_residual, residual)
        error = torch.where(better, trial_error, error)
        length = torch.where(better, (2 * length).clamp(max=1.0), 0.5 * length)
    return z, error


def _all_admissible(kinetic: RotationKinetic, z: Tensor, error: Tensor, tolerance: Tensor) -> bool:
    size = torch.linalg.vector_norm(z, dim=-1)
    return bool(((error <= tolerance) & (size <= kinetic.admits)).all())


def _classify(kinetic: RotationKinetic, start: Tensor, z: Tensor, error: Tensor, tolerance: Tensor) -> Tensor:
    size = torch.linalg.vector_norm(z, dim=-1)
    turn = 2 * torch.linalg.vector_norm(start, dim=-1)
    status = torch.zeros_like(size, dtype=torch.int8)
    if kinetic.admits < float("inf"):
        status = status.masked_fill(turn > COMFORTABLE_ANGLE, int(Status.LARGE_STEP))
    unsettled = ~(error <= tolerance)
    beyond = int(Status.UNSOLVABLE if kinetic.admits < float("inf") else Status.NOT_CONVERGED)
    status = status.masked_fill(unsettled, beyond)
    status = status.masked_fill(size > kinetic.admits, int(Status.UNSOLVABLE))
    finite = torch.isfinite(start).all(-1)
    return status.masked_fill(~finite, int(Status.NON_FINITE))
