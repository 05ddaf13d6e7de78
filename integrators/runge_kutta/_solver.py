"""Solution of the stage equations ``L = F(L)`` to rounding in torch, and its derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._status import Status

MOST_SWEEPS = 100
GUARD = 2.0**19
RECORDED_SWEEPS = 2
Sweep = Callable[[Tensor], Tensor]


def solve_slopes(
    sweep: Sweep, guess: Tensor, size: Tensor, tolerance: float | None = None, inverse: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Iterate ``L <- F(L)``, or a simplified Newton step, until rounding stops it; nothing is recorded.

    A sample has settled when an iteration changes nothing, or not less than the one before and by less than
    ``GUARD`` units of rounding. A sample that has settled keeps its value.

    Source: Hairer, McLachlan, Razakarivony, BIT 48 (2008) 231, section 3.

    Args:
        sweep: The function ``F`` of weighted slopes ``(..., s, n)``.
        guess: Where to start.
        size: Sum of the absolute values of the state ``(...)``.
        tolerance: Stop when the sum of the absolute changes is at most this; None goes on to rounding.
        inverse: Inverse ``(..., s n, s n)`` of an approximation of ``1 - F'``, for Newton's method.

    Returns:
        The solution ``(..., s, n)`` and codes of ``Status`` ``(...)`` (int8).
    """
    eps = torch.finfo(guess.dtype).eps
    slopes = guess
    before = torch.full_like(size, torch.inf)
    settled = torch.zeros_like(size, dtype=torch.bool)
    broken = settled
    for _ in range(MOST_SWEEPS):
        step = sweep(slopes).detach() - slopes
        if inverse is not None:
            step = (inverse @ step.flatten(-2).unsqueeze(-1)).view_as(step)
        change = step.abs().sum((-2, -1))
        new = slopes + step
        if tolerance is None:
            small = change <= eps * (GUARD * new.abs().sum((-2, -1)) + 4 * size)
            done = (change == 0) | (small & (change >= before))
        else:
            done = change <= tolerance
        slopes = torch.where(settled[..., None, None], slopes, new)
        broken = broken | ~(settled | (change < torch.inf))
        settled = settled | done | broken
        before = change
        if everywhere(settled):
            break
    status = torch.where(settled, int(Status.OK), int(Status.NOT_CONVERGED))
    return slopes, torch.where(broken, int(Status.NON_FINITE), status).to(torch.int8)


def differentiable(sweep: Sweep, slopes: Tensor, inverse: Callable[[], Tensor]) -> Tensor:
    """Give the solution of ``L = F(L)`` the derivatives of the implicit function, without changing its value.

    Each recorded step ``L + (1 - F')^-1 (F(L) - L)`` with a constant matrix adds one order: first and second
    derivatives are exact.

    Args:
        sweep: The function ``F``, recorded by autograd.
        slopes: The solution ``(..., s, n)``, a constant.
        inverse: Computes the inverse of ``1 - F'`` at the solution ``(..., s n, s n)``.

    Returns:
        The solution, a function of all that ``F`` depends on.
    """
    step = sweep(slopes) - slopes
    if not (step.requires_grad or _transformed()):
        return slopes
    matrix = inverse()
    for k in range(RECORDED_SWEEPS):
        if k:
            step = sweep(slopes) - slopes
        step = step - step.detach()
        slopes = slopes + (matrix @ step.flatten(-2).unsqueeze(-1)).view_as(step)
    return slopes


def jacobian(field: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Derivative of a field that treats every state by itself.

    Args:
        field: ``(..., n)`` to ``(..., n)``.
        x: States ``(..., n)``.

    Returns:
        Shape ``(..., n, n)``, a constant.
    """
    x = x.detach()
    pull = torch.func.vjp(field, x)[1]
    units = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    rows = torch.func.vmap(lambda unit: pull(unit.expand_as(x))[0], out_dims=-2)(units)
    return rows.detach()


def everywhere(condition: Tensor) -> bool:
    """Whether a condition holds in all samples, also in those that ``vmap`` hides.

    Args:
        condition: Booleans.

    Returns:
        A Python truth value.
    """
    if not torch._C._are_functorch_transforms_active():
        return bool(condition.all())
    answer = _Answer()
    _Look.apply(condition, answer)
    return answer.value


def _transformed() -> bool:
    return torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0


class _Answer:
    value = True


class _Look(torch.autograd.Function):
    """Reads a condition below all transforms."""

    @staticmethod
    def forward(condition: Tensor, answer: _Answer) -> Tensor:
        answer.value = bool(condition.all())
        return condition.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], condition: Tensor, answer: _Answer) -> Any:
        return _Look.apply(condition, answer), in_dims[0]
