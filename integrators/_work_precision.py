"""What accuracy methods reach for what work."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._flow import FlowMap
from ._rollout import Rollout, rollout
from .zoo import Problem

REPEATS = 3


@dataclass(frozen=True)
class WorkPrecisionPoint:
    """One run of one method.

    Attributes:
        method: Name of the method.
        h: Step.
        steps: Number of steps.
        evaluations: Evaluations of the force or field in all, ``None`` where their number varies.
        error: Largest entry of the difference from the reference at the end; NaN if the run failed.
        energy_error: Largest change of the energy over every step, relative to the first value; NaN without
            energy.
        seconds: CPU time of the run, all threads, without compilation; the least of three runs.
    """

    method: str
    h: float
    steps: int
    evaluations: int | None
    error: float
    energy_error: float
    seconds: float


@dataclass(frozen=True)
class WorkPrecision:
    """Runs of several methods on one problem, for a table or ``geomlearn.plotting.plot_work_precision``.

    Attributes:
        problem: Name of the problem.
        duration: Time span of every run.
        points: The runs, method by method, the numbers of steps in the order given.
    """

    problem: str
    duration: float
    points: tuple[WorkPrecisionPoint, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in order."""
        return tuple(dict.fromkeys(point.method for point in self.points))

    def of(self, method: str) -> tuple[WorkPrecisionPoint, ...]:
        """The runs of one method.

        Args:
            method: Its name.

        Returns:
            The runs in the order of their steps.

        Raises:
            ValueError: If there is none of that name.
        """
        found = tuple(point for point in self.points if point.method == method)
        if not found:
            raise ValueError(f"method: expected one of {self.methods}, got {method!r}")
        return found

    def __str__(self) -> str:
        """A line for each run."""
        lines = [f"{self.problem}, {self.duration:g} units of time"]
        for p in self.points:
            calls = "-" if p.evaluations is None else str(p.evaluations)
            lines.append(
                f"{p.method:<22} h = {p.h:<10.4g} {calls:>10} evaluations, error {p.error:.1e}, "
                f"energy {p.energy_error:.1e}, {p.seconds:.2g} s"
            )
        return "\n".join(lines)


def work_precision(
    problem: Problem[Any],
    methods: Mapping[str, Callable[[Any, float], FlowMap]] | Iterable[Callable[[Any, float], FlowMap]],
    steps: Sequence[int],
    duration: float | None = None,
    backend: str = "auto",
) -> WorkPrecision:
    """Run methods with several numbers of steps and compare them with the reference of a problem.

    Args:
        problem: From ``integrators.zoo``, or one of your own.
        methods: Classes of methods, or functions of a system and a step that return a flow map; by name, or
            named by their classes.
        steps: Numbers of steps, the same for every method.
        duration: Time span; that of the problem by default.
        backend: Backend of the rollouts.

    Returns:
        The runs.

    Raises:
        ValueError: If there is no method or no number of steps.
    """
    named = dict(methods) if isinstance(methods, Mapping) else {_name(m): m for m in methods}
    if not named or not steps or min(steps) < 1:
        raise ValueError(
            f"steps: expected methods and positive numbers of steps, got {len(named)} and {steps}"
        )
    span = problem.duration if duration is None else duration
    truth = problem.reference(span)
    points = []
    for name, make in named.items():
        for count in steps:
            flow = make(problem.system, span / count)
            names = ["energy"] if problem.system.has_energy else []
            rollout(flow, problem.start, 1, observe=names, backend=backend)  # compiles
            seconds = math.inf
            for _ in range(REPEATS):
                started = time.process_time()
                run = rollout(
                    flow, problem.start, count, count, observe=names, observe_every=1, backend=backend
                )
                seconds = min(seconds, time.process_time() - started)
            calls = None if flow.evaluations is None else flow.evaluations * count
            error = float((run.final - truth).abs().max()) if run.ok else math.nan
            points.append(WorkPrecisionPoint(name, flow.h, count, calls, error, _energy_error(run), seconds))
    return WorkPrecision(problem.name, span, tuple(points))


def _name(method: Callable[..., FlowMap]) -> str:
    return getattr(method, "__name__", type(method).__name__)


def _energy_error(run: Rollout) -> float:
    if "energy" not in run.observations or not run.ok:
        return math.nan
    energy = run.observations["energy"]
    return float((energy - energy[0]).abs().max() / energy[0].abs().clamp_min(1e-300))
