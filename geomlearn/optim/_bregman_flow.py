"""The methods as functions of states: pure, usable under torch.func, vmapped over sweeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ._bregman_core import Clock, advance, start_clock
from ._bregman_rule import BregmanRule
from ._scalars import Scalar


class BregmanState(NamedTuple):
    """A run between two steps.

    Attributes:
        position: Where the next gradient is taken, of any shape.
        velocity: Last displacement over h, of the same shape.
        clock: Clock, counters and the little else that is remembered.
    """

    position: Tensor
    velocity: Tensor
    clock: Clock


def bregman_start(position: Tensor) -> BregmanState:
    """Begin a run at rest, with the clock at 1."""
    return BregmanState(position, torch.zeros_like(position), start_clock(position.device))


def bregman_step(
    rule: BregmanRule, state: BregmanState, gradient: Tensor, value: Tensor | None = None
) -> BregmanState:
    """Make one step; nothing is changed in place and nothing branches on values.

    The whole position shares one clock and one restart. For several runs at once use ``torch.func.vmap``;
    every part of the rule that is a tensor, and of the state, may then have a batch of its own.

    Args:
        rule: The method.
        state: The run so far.
        gradient: Gradient at ``state.position``.
        value: Value there, for ``restart="function"``.

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


def bregman_sweep(
    function: Callable[[Tensor], Tensor],
    start: Tensor,
    rule: BregmanRule,
    steps: int,
    *,
    C: Tensor | None = None,
    h: Tensor | None = None,
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
        return bregman_step(replace(rule, C=C, h=h), state, gradient, value), value

    step = torch.func.vmap(one)
    first = bregman_start(start.detach())
    state = BregmanState(
        first.position.expand(runs, *start.shape),
        first.velocity.expand(runs, *start.shape),
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
