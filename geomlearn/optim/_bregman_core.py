"""The clock of a Bregman method: what a step does to it, and which numbers the step takes."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ._bregman_rule import BregmanRule
from ._scalars import Count, Flag, Scalar, at_least, at_most, choose

CLOCK_START = 1.0
CLOCK_FLOOR = 1e-3
CEILING = 1e30  # of coefficients without bound, so that zero gradients stay zero, in float32 too


class Clock(NamedTuple):
    """All that a method remembers apart from positions and velocities, Python numbers or 0-dim tensors.

    Attributes:
        time: Clock t of the last kick (of the next one in the stochastic order).
        drifted: Time at which the last drift took its kinetic coefficient.
        speed: Norm of the velocity before the last one, for the speed restart.
        value: Last value of the function, for the function restart.
        carry: 0 where the stochastic order has set the momentum to zero after its last step, else 1.
        steps: Steps made.
        restarts: Restarts so far.
        loops: Times that the clock was set back.
    """

    time: Scalar
    drifted: Scalar
    speed: Scalar
    value: Scalar
    carry: Scalar
    steps: Count
    restarts: Count
    loops: Count


class Move(NamedTuple):
    """One step: velocity ← momentum · velocity − kick · gradient, then position ← position + h · velocity."""

    momentum: Scalar
    kick: Scalar
    h: Scalar


def start_clock(device: torch.device | None = None) -> Clock:
    """Make the clock of a run that has not begun: Python numbers, or tensors (float64) on a device."""
    clock = Clock(CLOCK_START, CLOCK_START, 0.0, 0.0, 1.0, 0, 0, 0)
    if device is None:
        return clock
    return Clock(
        *(
            torch.tensor(v, device=device, dtype=torch.int64 if isinstance(v, int) else torch.float64)
            for v in clock
        )
    )


def advance(
    rule: BregmanRule,
    clock: Clock,
    inner: Scalar,
    gradient_norm: Scalar,
    velocity_norm: Scalar,
    value: Scalar | None = None,
) -> tuple[Clock, Move]:
    """Decide one step from three numbers about the new gradient g and the old velocity v.

    Args:
        rule: The method.
        clock: Its clock.
        inner: ⟨g, v⟩ over everything that shares the clock.
        gradient_norm: ‖g‖.
        velocity_norm: ‖v‖.
        value: Value of the function where g was taken; needed by the function restart alone.

    Returns:
        The clock after the step, and the step.

    Raises:
        ValueError: If the rule restarts by the function and there is no value.
    """
    if rule.restart == "function" and value is None:
        raise ValueError(
            "restart: 'function' compares values of the function, and there is none; pass a closure"
            " to step (a value to the functional form), or take restart='gradient'"
        )
    if rule.scheme == "bravo":
        return _advance_lagged(rule, clock, inner, gradient_norm, velocity_norm, value)
    return _advance_fresh(rule, clock, inner, gradient_norm, velocity_norm, value)


def _advance_fresh(
    rule: BregmanRule,
    clock: Clock,
    inner: Scalar,
    gradient_norm: Scalar,
    velocity_norm: Scalar,
    value: Scalar | None,
) -> tuple[Clock, Move]:
    """Test the last displacement with the gradient at its end, then turn the clock, kick and drift."""
    begun = clock.steps > 0
    restart = begun & _uphill(rule, clock, inner, velocity_norm, value)
    loop: Flag = False
    time, drifted = clock.time, clock.drifted
    if rule.temporal_looping:
        loop = begun & (at_most(rule.looping_weight(time), CEILING) * gradient_norm >= velocity_norm)
        time = choose(loop, at_least(rule.beta * time, CLOCK_FLOOR), time)
        if rule.temporal_looping == "continuous":
            drifted = choose(loop, rule.drift_time(time), drifted)
    time = choose(begun, rule.later(time), time)
    drift = rule.drift_time(time)
    kick = at_most(rule.kick(time), CEILING)
    if rule.scheme == "slc":
        kick = choose(begun, kick, 0.5 * kick)
    momentum = choose(begun, choose(restart, 0.0, at_most(rule.momentum(drifted, drift), CEILING)), 0.0)
    speed = _last_speed(rule, velocity_norm, restart)
    after = clock._replace(time=time, drifted=drift, speed=speed)
    return _count(after, value, restart, loop), Move(momentum, kick, rule.h)


def _advance_lagged(
    rule: BregmanRule,
    clock: Clock,
    inner: Scalar,
    gradient_norm: Scalar,
    velocity_norm: Scalar,
    value: Scalar | None,
) -> tuple[Clock, Move]:
    """Kick and drift, then test the new displacement with the gradient at its beginning."""
    # ⟨g, v⟩ and ‖v‖ after the kick follow from those before it: what is lost to cancellation is below the
    # kick, and the looping test is then clear.
    begun = clock.steps > 0
    time, drift = clock.time, rule.drift_time(clock.time)
    kick = at_most(rule.kick(time), CEILING)
    momentum = choose(begun, clock.carry * at_most(rule.momentum(clock.drifted, drift), CEILING), 0.0)
    if rule.restart == "function":
        late = begun & _uphill(rule, clock, inner, velocity_norm, value)
        momentum = choose(late, 0.0, momentum)
    ahead = momentum * inner - kick * gradient_norm * gradient_norm
    squared = (momentum * velocity_norm) ** 2 - 2 * momentum * kick * inner + (kick * gradient_norm) ** 2
    speed = at_least(squared, 0.0) ** 0.5
    restart = late if rule.restart == "function" else _uphill(rule, clock, ahead, speed, value)
    time = rule.later(time)
    loop: Flag = False
    after_drift = drift
    if rule.temporal_looping:
        loop = at_most(rule.looping_weight(time), CEILING) * gradient_norm >= speed
        time = choose(loop, at_least(rule.beta * time, CLOCK_FLOOR), time)
        if rule.temporal_looping == "continuous":
            after_drift = choose(loop, rule.drift_time(time - rule.h), after_drift)
    carry = 1.0 if rule.restart == "function" else choose(restart, 0.0, 1.0)
    last = _last_speed(rule, speed, restart)
    after = clock._replace(time=time, drifted=after_drift, speed=last, carry=carry)
    return _count(after, value, restart, loop), Move(momentum, kick, rule.h)


def _uphill(
    rule: BregmanRule, clock: Clock, inner: Scalar, velocity_norm: Scalar, value: Scalar | None
) -> Flag:
    """Whether the restart test of the rule fires."""
    if rule.restart == "gradient":
        return inner > 0
    if rule.restart == "speed":
        return velocity_norm < clock.speed
    if rule.restart == "function" and value is not None:
        return value > clock.value
    return False


def _last_speed(rule: BregmanRule, speed: Scalar, restart: Flag) -> Scalar:
    """The speed that the next one is compared with: 0 where a restart begins from rest."""
    return choose(restart, 0.0, speed) if rule.restart == "speed" else speed


def _count(clock: Clock, value: Scalar | None, restart: Flag, loop: Flag) -> Clock:
    return clock._replace(
        value=clock.value if value is None else value,
        steps=clock.steps + 1,
        restarts=clock.restarts + restart,
        loops=clock.loops + loop,
    )
