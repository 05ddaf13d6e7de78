"""Learning-rate schedules as closed formulas of the step, so that a resumed run needs no memory of them."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor
from torch.optim import Optimizer

Schedule = Callable[[int, int], float]


def cosine(step: int, total: int, warmup: int = 0, floor: float = 0.0) -> float:
    r"""Compute the cosine decay factor :math:`f + (1-f)\,\tfrac12(1 + \cos\pi t)`, after a linear warm-up.

    Here :math:`t` runs from 0 at step ``warmup`` to 1 at step ``total`` (Loshchilov & Hutter, ICLR 2017,
    without restarts); during the warm-up the factor is ``(step + 1) / (warmup + 1)``.

    Args:
        step: Number of steps already taken, from 0 to ``total - 1``.
        total: Number of steps of the run.
        warmup: Number of warm-up steps.
        floor: Factor :math:`f` at the end.

    Returns:
        The factor of the base learning rate.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    t = (step - warmup) / max(1, total - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * t))


def constant(step: int, total: int) -> float:
    """Return 1: the learning rate stays.

    Args:
        step: Number of steps already taken.
        total: Number of steps of the run.

    Returns:
        One.
    """
    return 1.0


def schedule_named(schedule: str | Schedule | None) -> Schedule:
    """Look a schedule up.

    Args:
        schedule: ``"cosine"``, ``None`` for a constant rate, or a function ``(step, total) -> factor``.

    Returns:
        The function.

    Raises:
        ValueError: If the name is unknown.
    """
    if callable(schedule):
        return schedule
    if schedule is None:
        return constant
    if schedule == "cosine":
        return cosine
    raise ValueError(
        f"schedule: expected 'cosine', None or a function (step, total) -> factor, got {schedule!r}"
    )


class LearningRate:
    """Sets the learning rate of every parameter group to its base rate times a schedule.

    The base rate of a group is its ``initial_lr``, as in ``torch.optim.lr_scheduler``; it is taken from
    ``lr`` the first time.
    """

    def __init__(self, optimizer: Optimizer, schedule: str | Schedule | None, total: int) -> None:
        """Remember the base rates.

        Args:
            optimizer: Optimizer whose rates are set.
            schedule: ``"cosine"``, ``None`` or a function ``(step, total) -> factor``.
            total: Number of steps of the run.
        """
        self.optimizer = optimizer
        self.schedule = schedule_named(schedule)
        self.total = total
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))

    def set(self, step: int) -> float:
        """Set the rates for the step after ``step`` steps.

        Args:
            step: Number of steps already taken.

        Returns:
            The rate of the first group.
        """
        factor = float(self.schedule(step, self.total))
        for group in self.optimizer.param_groups:
            rate = group["initial_lr"] * factor
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        return float(self.optimizer.param_groups[0]["lr"])
