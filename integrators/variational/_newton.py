"""Batched Newton iteration for the implicit equation of one step."""

from __future__ import annotations

import torch
from torch import Tensor

from .._linear import solve
from .._status import Status
from ._kinetic import DiscreteKinetic, TraceKinetic, dot

PLAIN_ITERATIONS = 8
DAMPED_ITERATIONS = 60
COMFORTABLE_ANGLE = 0.8
CONVERGED = 8.0
STAGNATED = 1e4


def solve_step(
    kinetic: DiscreteKinetic, a: Tensor, inertia: Tensor, isotropic: bool = False
) -> tuple[Tensor, Tensor]:
    """Find the displacement that a scaled impulse causes; no derivatives are recorded.

    Newton's method from ``z = J^-1 a / 2``, stopped when the residual reaches rounding level in every sample.
    Samples that plain iterations do not settle are solved again with a damped step.

    Args:
        kinetic: The discrete kinetic term.
        a: Scaled impulses ``(..., n)``.
        inertia: ``J``, ``(n, n)`` or ``(..., n, n)``.
        isotropic: Whether ``J`` is a multiple of the identity, for which the trace term has a closed form.

    Returns:
        ``z`` ``(..., n)`` and codes of ``Status`` ``(...)`` (int8).
    """
    with torch.no_grad():
        guess = 0.5 * solve(inertia, a)
        start = guess
        if isotropic and isinstance(kinetic, TraceKinetic):
            start = isotropic_solution(a, inertia[..., 0, 0].unsqueeze(-1))
        z = _plain(kinetic, start, a, inertia)
        status = classify(kinetic, guess, z, a, inertia)
        if status.numel() and int(status.max()) >= Status.NOT_CONVERGED:
            z = _damped(kinetic, guess, a, inertia)
            status = classify(kinetic, guess, z, a, inertia)
        return z, status


def isotropic_solution(a: Tensor, moment: Tensor) -> Tensor:
    """Solution of the trace term's equation for ``J = j I``: ``z = a / (j + sqrt(j^2 - |a|^2))``.

    Args:
        a: Scaled impulses ``(..., 3)``; there is no solution where ``|a| > j``, and NaN is returned there.
        moment: ``j``, broadcastable to ``(..., 1)``.

    Returns:
        ``z`` ``(..., 3)``.
    """
    return a / (moment + (moment * moment - dot(a, a)).sqrt())


def _plain(kinetic: DiscreteKinetic, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
    goal = CONVERGED * _rounding(a)
    residual = kinetic.residual(z, a, inertia)
    for _ in range(PLAIN_ITERATIONS):
        if bool((residual.abs().amax(-1) <= goal).all()):
            break
        z = z - solve(kinetic.jacobian(z, a, inertia), residual)
        residual = kinetic.residual(z, a, inertia)
    return z


def _damped(kinetic: DiscreteKinetic, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
    """Newton's method that only accepts steps which lower the residual, and halves the others."""
    goal = CONVERGED * _rounding(a)
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
    return z


def _rounding(a: Tensor) -> Tensor:
    return torch.finfo(a.dtype).eps * a.abs().amax(-1)


def classify(kinetic: DiscreteKinetic, start: Tensor, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
    """Judge candidates for the solution of the step equation.

    Args:
        kinetic: The discrete kinetic term.
        start: ``J^-1 a / 2`` ``(..., n)``.
        z: The candidates ``(..., n)``.
        a: Scaled impulses ``(..., n)``.
        inertia: ``J``, ``(n, n)`` or ``(..., n, n)``.

    Returns:
        Codes of ``Status`` ``(...)`` (int8).
    """
    settled = kinetic.residual(z, a, inertia).abs().amax(-1) <= STAGNATED * _rounding(a)
    status = torch.zeros_like(settled, dtype=torch.int8)
    bounded = kinetic.admits < float("inf")
    if bounded:
        turn = 2 * torch.linalg.vector_norm(start, dim=-1)
        status = status.masked_fill(turn > COMFORTABLE_ANGLE, int(Status.LARGE_STEP))
    status = status.masked_fill(~settled, int(Status.UNSOLVABLE if bounded else Status.NOT_CONVERGED))
    status = status.masked_fill(~kinetic.admissible(z, a, inertia), int(Status.UNSOLVABLE))
    finite = torch.isfinite(start).all(-1)
    return status.masked_fill(~finite, int(Status.NON_FINITE))
