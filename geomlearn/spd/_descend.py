"""The loop of every fit: steps, taken back where they make things worse, until the gradient is small."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

State = TypeVar("State")
Slope = TypeVar("Slope")

GROWTH, CUT, LEAST, MEMORY, ENOUGH = 1.25, 0.5, 1e-9, 10, 1e-4


class Limits(NamedTuple):
    """How a run goes on and ends.

    Attributes:
        backtrack: Whether steps are taken back that bring the loss above all of its last ten values.
        max_iterations: Largest number of steps, those taken back included.
        tolerance: Length of the gradient that ends the run.
        rounding: Relative rounding error of the loss.
    """

    backtrack: bool
    max_iterations: int
    tolerance: float
    rounding: float = 1e-14

    def check(self) -> None:
        """Refuse limits that are none."""
        whole = isinstance(self.max_iterations, int) and not isinstance(self.max_iterations, bool)
        if not whole or self.max_iterations < 0:
            raise ValueError(f"max_iterations: expected a whole number >= 0, got {self.max_iterations!r}")
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance: expected a number >= 0, got {self.tolerance!r}")


class Seen(NamedTuple, Generic[Slope]):
    """What is known of a state.

    Attributes:
        value: The loss.
        norm: Length of its gradient.
        slope: What a step needs.
        verdict: A status that ends the run there, or None.
        error: Standard error of the loss, if it is an average over draws.
    """

    value: float
    norm: float
    slope: Slope
    verdict: str | None = None
    error: float = 0.0


@dataclass(frozen=True)
class Run(Generic[State]):
    """A run that has ended.

    Attributes:
        state: The state with the least loss, or at which the gradient was small.
        value: The loss there.
        values: The loss at the start and after each iteration.
        norm: Length of the gradient at the state.
        status: ``"gradient"``, ``"iterations"``, ``"stalled"`` (no step, however short, lowers the loss),
            ``"diverged"``, or a verdict.
    """

    state: State
    value: float
    values: Tensor
    norm: float
    status: str

    @property
    def iterations(self) -> int:
        """Number of steps tried."""
        return len(self.values) - 1


def descend(
    state: State,
    see: Callable[[State], Seen[Slope]],
    step: Callable[[float, State, Slope], State],
    rest: Callable[[State], State],
    limits: Limits,
) -> Run[State]:
    """Make steps until the gradient is small.

    Args:
        state: First state.
        see: Computes loss and slope of a state.
        step: Makes a step of a share of the rate.
        rest: Drops the momentum of a state.
        limits: When to stop, and whether a step is taken back after which the loss is above all of its last
            ten values. The momentum is then dropped and the rate halved; it grows back by a quarter with
            every good step.

    Returns:
        The run.
    """
    seen, share, status = see(state), 1.0, "iterations"
    best, values = (state, seen), [seen.value]
    for _ in range(limits.max_iterations):
        if seen.norm <= limits.tolerance:
            break
        trial = step(share, state, seen.slope)
        found = see(trial)
        finite = math.isfinite(found.value) and math.isfinite(found.norm)
        if found.verdict is not None or not (finite or limits.backtrack):
            status = found.verdict or "diverged"
            break
        if limits.backtrack and not (finite and _good(found, seen, max(values[-MEMORY:]), share, limits)):
            values.append(seen.value)
            state, share = rest(state), CUT * share
            if share < LEAST:
                status = "stalled"
                break
            continue
        state, seen, share = trial, found, min(1.0, GROWTH * share)
        values.append(seen.value)
        if seen.value <= best[1].value:
            best = state, seen
    if seen.norm <= limits.tolerance:
        best, status = (state, seen), "gradient"
    path = torch.tensor(values, dtype=torch.float64)
    return Run(best[0], best[1].value, path, best[1].norm, status)


def _good(found: Seen[Slope], seen: Seen[Slope], worst: float, share: float, limits: Limits) -> bool:
    """Whether a step is kept: the loss falls below the last ones, or where it is not exact, the gradient."""
    rounding = limits.rounding * max(1.0, abs(worst))
    if found.value <= worst - ENOUGH * share * seen.norm**2 + rounding:
        return True
    return found.value <= worst + seen.error and found.norm < seen.norm
