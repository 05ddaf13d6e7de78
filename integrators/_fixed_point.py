"""Iterations to stagnation for implicit steps, in torch and in kernels, and derivatives of what they find.

An iteration that stops early leaves an error with a sign, which adds up to a drift. These go on until
rounding stops them. Source: Hairer, McLachlan, Razakarivony, Achieving Brouwer's law with implicit
Runge-Kutta methods, BIT 48 (2008).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._status import Status
from .kernels import KernelBuilder, Rows

ITERATIONS = 100
Function = Callable[[Tensor], Tensor]


def noise_level(dtype: torch.dtype) -> float:
    """Relative change of a state below which an iteration that no longer contracts has stagnated."""
    return 0.01 * math.sqrt(torch.finfo(dtype).eps)


def iterate(
    function: Function,
    start: Tensor,
    scale: Tensor,
    weight: float | Tensor = 1.0,
    limit: int = ITERATIONS,
    tolerance: float | None = None,
    reach: Tensor | None = None,
    repeats: int = 1,
) -> tuple[Tensor, Tensor]:
    """Apply a contraction until rounding stops it, each trajectory on its own; no derivatives are recorded.

    A trajectory has stagnated when nothing changes any more, or when the change is at rounding level and not
    smaller than the one before.

    Args:
        function: The contraction, ``(..., k)`` to ``(..., k)``.
        start: First guess ``(..., k)``.
        scale: Size of the states ``(...)`` to which changes are compared, together with that of the unknown.
        weight: Factor of the unknown in states, such as the step for slopes; one, or one for each ``(...)``.
        limit: Largest number of applications.
        tolerance: Stop when the largest change is at most this; None goes on until rounding stops it.
        reach: For Newton steps, the length ``(...)`` over which they converge: a change that is small in it
            is the last.
        repeats: How often one of these has to be so.

    Returns:
        The solution ``(..., k)``, detached, and codes of ``Status`` ``(...)`` (int8).
    """
    with torch.no_grad():
        x = start.detach()
        level = noise_level(x.dtype)
        weight = weight.abs() if isinstance(weight, Tensor) else abs(weight)
        last = torch.full_like(scale.detach(), math.inf)
        settled = torch.zeros_like(last, dtype=torch.bool)
        broken, count = settled, torch.zeros_like(last, dtype=torch.int8)
        for _ in range(limit):
            y = function(x).detach()
            change = weight * (y - x).abs().amax(-1)
            calm = change <= level * (scale + weight * y.abs().amax(-1))
            x = torch.where(settled.unsqueeze(-1), x, y)
            finite = torch.isfinite(change)
            done = (change == 0) | ((change >= last) & calm & finite)
            done = done if reach is None else done | (change <= level * reach)
            count = count + (done if tolerance is None else change <= tolerance)
            settled = count >= repeats
            broken = ~settled & ~finite
            last = change
            if not any_true(~settled & ~broken):
                break
        codes = torch.where(broken, int(Status.NON_FINITE), int(Status.NOT_CONVERGED))
        return x.detach(), torch.where(settled, int(Status.OK), codes).to(torch.int8)


def solve_fixed_point(
    function: Function, start: Tensor, scale: Tensor, weight: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Solve ``x = function(x)`` by iteration, with first and second derivatives by the implicit function.

    Args:
        function: A contraction, ``(..., k)`` to ``(..., k)``, each trajectory on its own.
        start: First guess ``(..., k)``.
        scale: Size of the states ``(...)`` to which changes are compared, together with that of the unknown.
        weight: Factor of the unknown in states, such as the step for slopes.

    Returns:
        The solution ``(..., k)`` and codes of ``Status`` ``(...)``.
    """
    x, status = iterate(function, start, scale, weight)
    if not is_differentiated(function(x)):
        return x, status
    slope = jacobian(function, x).detach()
    inverse = torch.linalg.inv_ex(torch.eye(x.shape[-1], dtype=x.dtype, device=x.device) - slope)[0]

    def step(x: Tensor) -> Tensor:
        return x + (inverse @ (function(x) - x).unsqueeze(-1)).squeeze(-1)

    return attach(step, x), status


def attach(step: Function, solution: Tensor) -> Tensor:
    """Give a solution found without derivatives those of the implicit function, up to the second.

    Args:
        step: A Newton step with its matrix held constant; it leaves the solution where it is. Two of them
            have the derivatives of the solution up to the second.
        solution: The solution ``(..., k)``, detached.

    Returns:
        The same values, with derivatives.
    """
    moved = step(step(solution))
    return solution + (moved - moved.detach())


def jacobian(function: Function, x: Tensor) -> Tensor:
    """Derivative of a function that treats each trajectory on its own.

    Args:
        function: ``(..., k)`` to ``(..., m)``.
        x: Where, ``(..., k)``.

    Returns:
        ``(..., m, k)``.
    """
    pulled = torch.func.vjp(function, x)
    y, pull = pulled[0], pulled[1]
    m = y.shape[-1]
    basis = torch.eye(m, dtype=y.dtype, device=y.device).reshape(m, *(1,) * (y.ndim - 1), m)
    rows = torch.func.vmap(lambda row: pull(row)[0])(basis.expand(m, *y.shape))
    return rows.movedim(0, -2)


def is_differentiated(x: Tensor) -> bool:
    """Whether somebody will ask for derivatives of this tensor: autograd, forward mode, ``torch.func``."""
    if torch._C._are_functorch_transforms_active() or x.requires_grad:
        return True
    return torch.autograd.forward_ad.unpack_dual(x).tangent is not None


def any_true(flags: Tensor) -> bool:
    """Whether an entry is set, looking through ``vmap`` too."""
    if not torch._C._are_functorch_transforms_active():
        return bool(flags.any())
    seen = _Seen()
    _Look.apply(flags, seen)
    return seen.any


class _Seen:
    """What a look found; opaque to ``torch.func``, which would copy a list."""

    any: bool


class _Look(torch.autograd.Function):
    """Reads the values of flags, also under ``vmap``."""

    @staticmethod
    def forward(flags: Tensor, seen: _Seen) -> Tensor:
        seen.any = bool(flags.any())
        return flags.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], flags: Tensor, seen: _Seen
    ) -> tuple[Tensor, int | None]:
        return _Look.apply(flags, seen), in_dims[0]


def emit_fixed_point(
    builder: KernelBuilder,
    body: Callable[[], None],
    unknown: Rows,
    candidate: Rows,
    scale: int,
    verdict: int,
    weight: str = "1.0",
    reach: int | None = None,
    limit: int = ITERATIONS,
) -> None:
    """Write the iteration of ``iterate``; lanes that have stagnated stay as they are.

    Args:
        builder: The kernel.
        body: Writes the computation of the candidate from the unknown.
        unknown: Rows of the first guess, and of the solution in the end.
        candidate: Rows that ``body`` fills.
        scale: Row of the size of the states to which changes are compared, together with that of the unknown.
        verdict: Row that takes the larger of what it holds and the ``Status``.
        weight: Factor of the unknown in states, the name of a variable or ``@`` and a row.
        reach: For Newton steps, the row of the length over which they converge.
        limit: Largest number of applications.
    """
    b = builder
    last, settled = b.rows(2)
    b.lanes(f"@{last} = 1e308", f"@{settled} = 0.0")
    with b.loop(f"for iteration in range({limit}):"):
        body()
        changes = [f"change = max(change, abs(@{n} - @{o}))" for n, o in zip(candidate, unknown, strict=True)]
        sizes = [f"size = max(size, abs(@{n}))" for n in candidate]
        keeps = [f"@{o} = @{o} if done > 0.5 else @{n}" for n, o in zip(candidate, unknown, strict=True)]
        total = " + ".join(f"abs(@{n})" for n in candidate)
        level = noise_level(torch.float64)
        b.line("left = 0")
        b.lanes(
            "change = 0.0\nsize = 0.0",
            *changes,
            *sizes,
            f"change = change * abs({weight})",
            f"size = @{scale} + size * abs({weight})",
            f"done = @{settled}",
            *keeps,
            f"calm = 1.0 if change <= {level!r} * size else 0.0",
            f"calm = calm if change >= @{last} else 0.0",
            "" if reach is None else f"calm = 1.0 if change <= {level!r} * @{reach} else calm",
            "calm = 1.0 if change == 0.0 else calm",
            f"finite = 1.0 if {total} < 1e300 else 0.0",
            "done = max(done, calm * finite)",
            f"@{settled} = done",
            f"@{last} = change if finite > 0.5 else 1e308",
            "left += 1 if done + 1.0 - finite < 0.5 else 0",
        )
        b.line("if left == 0:")
        b.line("    break")
    failed, broken = float(Status.NOT_CONVERGED), float(Status.NON_FINITE)
    b.lanes(
        f"code = {failed} if @{last} < 1e308 else {broken}",
        f"code = code if @{settled} < 0.5 else 0.0",
        f"@{verdict} = max(@{verdict}, code)",
    )
