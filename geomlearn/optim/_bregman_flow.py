"""The methods as functions of states: pure, usable under torch.func, vmapped over sweeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from lie import LieGroup, RiemannianManifold

from ._bregman_core import Clock, advance, start_clock
from ._bregman_rule import BregmanRule
from ._motion import Motion
from ._motion_choice import motion_on
from ._scalars import Scalar


class BregmanState(NamedTuple):
    """A run between two steps.

    Attributes:
        position: Where the next gradient is taken, of any shape.
        velocity: Last displacement over h, of the same shape; on a Lie group its coordinates, (..., dim).
        clock: Clock, counters and the little else that is remembered.
    """

    position: Tensor
    velocity: Tensor
    clock: Clock


def bregman_start(position: Tensor, manifold: LieGroup | RiemannianManifold | None = None) -> BregmanState:
    """Begin a run at rest, with the clock at 1.

    Args:
        position: Where the first gradient is taken.
        manifold: Manifold of the positions, None for a vector space.

    Returns:
        The run before its first step.
    """
    velocity = torch.zeros_like(position) if manifold is None else motion_on(manifold).zero(position)
    return BregmanState(position, velocity, start_clock(position.device))


def bregman_step(
    rule: BregmanRule,
    state: BregmanState,
    gradient: Tensor,
    value: Tensor | None = None,
    *,
    manifold: LieGroup | RiemannianManifold | None = None,
    quick: bool = False,
) -> BregmanState:
    """Make one step; nothing is changed in place and nothing branches on values.

    The whole position shares one clock and one restart. For several runs at once use ``torch.func.vmap``;
    every part of the rule that is a tensor, and of the state, may then have a batch of its own.

    Args:
        rule: The method.
        state: The run so far.
        gradient: Gradient at ``state.position``; on a manifold the Euclidean one.
        value: Value there, for ``restart="function"``.
        manifold: Manifold of the positions, None for a vector space.
        quick: Whether spheres and frames are moved by the cheapest retraction, as of ``BregmanSLC``.

    Returns:
        The run a step later.

    Raises:
        ValueError: If the shapes differ, or the rule needs a value and there is none.
    """
    if gradient.shape != state.position.shape:
        raise ValueError(
            f"gradient: expected the shape of the position, {tuple(state.position.shape)},"
            f" got {tuple(gradient.shape)}"
        )
    if manifold is not None:
        return _step_on(motion_on(manifold, quick=quick), rule, state, gradient, value)
    g, v = _real(gradient), _real(state.velocity)
    wide = torch.promote_types(g.dtype, torch.float32)
    g_wide, v_wide = g.detach().to(wide).flatten(), v.detach().to(wide).flatten()
    clock, move = advance(
        rule,
        state.clock,
        torch.dot(g_wide, v_wide),
        torch.linalg.vector_norm(g_wide),
        torch.linalg.vector_norm(v_wide),
        value,
    )
    v = _times(move.momentum, v) - _times(move.kick, g)
    position = _real(state.position) + _times(move.h, v)
    if state.position.is_complex():
        position, v = torch.view_as_complex(position), torch.view_as_complex(v)
    return BregmanState(position, v, clock)


def _step_on(
    motion: Motion, rule: BregmanRule, state: BregmanState, gradient: Tensor, value: Tensor | None
) -> BregmanState:
    """Make one step on a manifold."""
    x, v, clock = state
    g = motion.gradient(x, gradient)
    y, a, b = x.detach(), g.detach(), v.detach()
    inner, gg, vv = (motion.inner(y, *pair).sum() for pair in ((a, b), (a, a), (b, b)))
    clock, move = advance(rule, clock, inner, gg.clamp_min(0).sqrt(), vv.clamp_min(0).sqrt(), value)
    v = _times(move.momentum, v) - _times(move.kick, g)
    return BregmanState(*motion.move(x, _times(move.h, v), v), clock)


def bregman_sweep(
    function: Callable[[Tensor], Tensor],
    start: Tensor,
    rule: BregmanRule,
    steps: int,
    *,
    C: Tensor | None = None,
    h: Tensor | None = None,
    manifold: LieGroup | RiemannianManifold | None = None,
    quick: bool = False,
) -> Tensor:
    """Run a method at many pairs (C, h) together and record the function.

    Tuning: fix η or p and β, and sweep C and h over logarithmic grids. Pairs that converge on a small
    analogue of a problem converge on the problem, nearly regardless of the dimension.

    Args:
        function: Function of one position; it must work under ``torch.func``.
        start: Position that every run starts from.
        rule: The method, with C and h where they are not swept.
        steps: Number of steps.
        C: Constants, of any shape that broadcasts with that of h.
        h: Steps of time.
        manifold: Manifold of the positions, None for a vector space.
        quick: Whether spheres and frames are moved by the cheapest retraction, as of ``BregmanSLC``.

    Returns:
        Values of the function, (steps + 1, ...), the trailing shape that of C and h broadcast; entry k is
        the value after k steps.

    Raises:
        ValueError: If steps is negative.
    """
    if steps < 0:
        raise ValueError(f"steps: expected a number of steps, at least 0, got {steps}")
    wide = torch.float64
    grid_C, grid_h = torch.broadcast_tensors(
        torch.as_tensor(rule.C if C is None else C, dtype=wide, device=start.device),
        torch.as_tensor(rule.h if h is None else h, dtype=wide, device=start.device),
    )
    shape = grid_C.shape
    runs = grid_C.numel()
    slope = torch.func.grad_and_value(function)

    def one(C: Tensor, h: Tensor, state: BregmanState) -> tuple[BregmanState, Tensor]:
        gradient, value = slope(state.position)
        swept = replace(rule, C=C, h=h)
        return bregman_step(swept, state, gradient, value, manifold=manifold, quick=quick), value

    step = torch.func.vmap(one)
    first = bregman_start(start.detach(), manifold)
    state = BregmanState(
        first.position.expand(runs, *start.shape),
        first.velocity.expand(runs, *first.velocity.shape),
        Clock(*(entry.expand(runs) for entry in first.clock if isinstance(entry, Tensor))),
    )
    values = []
    with torch.no_grad():
        for _ in range(steps):
            state, value = step(grid_C.reshape(-1), grid_h.reshape(-1), state)
            values.append(value)
        values.append(torch.func.vmap(function)(state.position))
    return torch.stack(values).reshape(steps + 1, *shape)


def iterations_to(values: Tensor, target: float, *, tolerance: float = 1e-8, hold: int = 10) -> Tensor:
    """Count the iterations until values stay near a target.

    Args:
        values: Values (steps + 1, ...), as ``bregman_sweep`` returns them.
        target: Least value of the function.
        tolerance: How near is near enough.
        hold: Number of values in a row that must be so near.

    Returns:
        First k with values[k] … values[k + hold − 1] at most target + tolerance, shape (...), int64; −1 where
        there is none.
    """
    near = (values - target <= tolerance).to(torch.int64)
    if len(values) < hold:
        return torch.full(values.shape[1:], -1, dtype=torch.int64, device=values.device)
    total = torch.cat([torch.zeros_like(near[:1]), near.cumsum(0)])
    held = total[hold:] - total[:-hold] == hold
    return torch.where(held.any(0), held.to(torch.int64).argmax(0), -1)


def _real(x: Tensor) -> Tensor:
    return torch.view_as_real(x) if x.is_complex() else x


def _times(factor: Scalar, x: Tensor) -> Tensor:
    return factor.to(x.dtype) * x if isinstance(factor, Tensor) else factor * x
