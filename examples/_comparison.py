"""Compare optimizers on a task fairly: the same number of trials for each, then other seeds.

Every method draws two numbers, a rate and one more, from ranges of the same size and at the same random
places. The setting with the smallest training loss at the end is run again with other seeds, and only those
runs are shown. This is done twice: for the same number of steps, and for as many steps as each method makes
in the time that the first one needs.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from geomlearn.optim import StructuredNaturalGradient
from geomlearn.plotting import PALETTE

Optimizers = Sequence[torch.optim.Optimizer]
Make = Callable[[nn.Module, float, float], Optimizers]


@dataclass(frozen=True)
class Task:
    """What is trained, on what, and how it is judged.

    Attributes:
        model: Makes the model, from torch's global seed.
        batches: Batches without an end, from torch's global seed.
        loss: Mean loss of a model on a batch.
        judge: A figure for a trained model, smaller is better.
        judged: What that figure is.
        steps: Steps of training.
        every: Steps whose training losses are averaged for one point of a curve.
        terms: Number of terms that the loss of a batch is the mean of, where it is not the number of samples.
    """

    model: Callable[[], nn.Module]
    batches: Callable[[], Iterator[Any]]
    loss: Callable[[nn.Module, Any], Tensor]
    judge: Callable[[nn.Module], float]
    judged: str
    steps: int
    every: int
    terms: int | None = None


@dataclass(frozen=True)
class Method:
    """An optimizer and its range of settings.

    Attributes:
        make: Makes the optimizers of a model from a rate and a second number in (0, 1).
        largest: Largest rate of the trials; the smallest is a thousandth of it.
    """

    make: Make
    largest: float


def adamw() -> Method:
    """AdamW; the second number is the weight decay, from 1e-4 to 1e-1."""
    return Method(
        lambda model, rate, u: [torch.optim.AdamW(model.parameters(), rate, weight_decay=_decay(u))], 1e-1
    )


def nesterov() -> Method:
    """Gradient descent with Nesterov's momentum, from .8 to .99."""
    return Method(
        lambda model, rate, u: [
            torch.optim.SGD(model.parameters(), rate, momentum=0.8 + 0.19 * u, nesterov=True)
        ],
        3.0,
    )


def muon(takes: Callable[[str], bool]) -> Method:
    """Muon for the matrices with the names that it takes, AdamW at a tenth of the rate for all else."""

    def make(model: nn.Module, rate: float, u: float) -> Optimizers:
        matrices = {p for name, p in model.named_parameters() if p.ndim == 2 and takes(name)}
        others = [p for p in model.parameters() if p not in matrices]
        return [
            torch.optim.Muon([p for p in model.parameters() if p in matrices], rate, weight_decay=_decay(u)),
            torch.optim.AdamW(others, rate / 10, weight_decay=_decay(u)),
        ]

    return Method(make, 1.0)


def _decay(u: float) -> float:
    return float(10 ** (-4 + 3 * u))


def natural(structure: Any = "dense", variant: str = "ikfac", **options: Any) -> Method:
    """The structured natural gradient; the second number is the damping, from 1e-4 to 1e-1."""
    return Method(
        lambda model, rate, u: [
            StructuredNaturalGradient(
                model, rate, structure=structure, variant=variant, damping=_decay(u), **options
            )
        ],
        0.3,
    )


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        losses: Mean training loss of each ``every`` steps; infinite after a failure.
        seconds: Mean processor time of a step, with its two passes, after ten steps of warming up.
        figure: What the task's judge says.
        state: Bytes of the optimizers' states for one byte of parameters.
    """

    losses: list[float]
    seconds: float
    figure: float
    state: float


@dataclass(frozen=True)
class Outcome:
    """The runs of a method with its best setting.

    Attributes:
        runs: The runs, one for each seed.
        steps: Their number of steps.
        rate: The rate.
        second: The second number.
    """

    runs: list[Run]
    steps: int
    rate: float
    second: float


def state_bytes(optimizers: Optimizers) -> int:
    """Bytes of all tensors in the states of optimizers, but for counters."""
    return sum(
        value.numel() * value.element_size()
        for optimizer in optimizers
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor) and value.ndim > 0
    )


def train(task: Task, make: Make, rate: float, second: float, seed: int) -> Run:
    """Train once, at rates that fall linearly to a tenth."""
    torch.manual_seed(seed)
    model = task.model()
    optimizers = make(model, rate, second)
    scopes = [x.curvature for x in optimizers if isinstance(x, StructuredNaturalGradient)]
    schedules = [torch.optim.lr_scheduler.LinearLR(x, 1.0, 0.1, task.steps) for x in optimizers]
    points, window, times = [], [], []
    for step, batch in zip(range(task.steps), task.batches()):
        start = time.thread_time()
        for optimizer in optimizers:
            optimizer.zero_grad()
        with contextlib.ExitStack() as stack:
            for scope in scopes:
                stack.enter_context(scope(samples=task.terms))
            loss = task.loss(model, batch)
            loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        times.append(time.thread_time() - start)
        window.append(float(loss.detach()))
        if not math.isfinite(window[-1]):
            break
        if (step + 1) % task.every == 0:
            points.append(statistics.fmean(window))
            window = []
        for schedule in schedules:
            schedule.step()
    failed = len(points) < task.steps // task.every
    points += [math.inf] * (task.steps // task.every - len(points))
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    figure = math.inf if failed else task.judge(model)
    return Run(points, statistics.fmean(times[10:] or times), figure, state_bytes(optimizers) / size)


def measure(task: Task, methods: Mapping[str, Method], rounds: int) -> dict[str, float]:
    """Seconds of a step: the smallest mean over thirty steps, the methods in turns."""
    short = dataclasses.replace(task, steps=min(task.steps, 40))
    runs = [{name: train(short, m.make, 1e-3, 0.5, 0) for name, m in methods.items()} for _ in range(rounds)]
    return {name: min(run[name].seconds for run in runs) for name in methods}


def tune(task: Task, method: Method, trials: int, seeds: int) -> Outcome:
    """Try settings, and train the best with other seeds."""
    draws = torch.rand(trials, 2, generator=torch.Generator().manual_seed(1)).tolist()
    settings = [(method.largest * 10 ** (-3 * a), b) for a, b in draws]
    last = [train(task, method.make, *setting, seed=0).losses[-1] for setting in settings]
    best = settings[last.index(min(last))]
    runs = [train(task, method.make, *best, seed=seed) for seed in range(1, seeds + 1)]
    return Outcome(runs, task.steps, *best)


def compare(
    task: Task, methods: Mapping[str, Method], trials: int, seeds: int
) -> tuple[dict[str, Outcome], dict[str, Outcome], dict[str, float]]:
    """Tune every method for equal steps and for equal times, and print a table.

    Args:
        task: The task.
        methods: The methods by name; the time is the one that the first needs for its steps.
        trials: Trials of each, for each of both.
        seeds: Runs of each best setting.

    Returns:
        The outcomes for equal steps, those for equal times, and the seconds of a step.
    """
    costs = measure(task, methods, rounds=min(trials, 5))
    budget = task.steps * next(iter(costs.values()))
    by_steps: dict[str, Outcome] = {}
    by_time: dict[str, Outcome] = {}
    print(f"{trials} trials of each; training loss and {task.judged}; mean ± deviation of {seeds} seeds\n")
    print(f"  {'':20s} {'ms':>6s} {'state':>5s} {f'{task.steps} steps':^33s} {'equal time':^33s}")
    for name, method in methods.items():
        steps = max(int(budget / costs[name]) // task.every, 1) * task.every
        by_steps[name] = by_time[name] = tune(task, method, trials, seeds)
        if abs(steps - task.steps) > task.every:
            by_time[name] = tune(dataclasses.replace(task, steps=steps), method, trials, seeds)
        print(f"  {name:20s} {costs[name] * 1e3:6.2f} {by_steps[name].runs[0].state:5.2f}", end="")
        for found in (by_steps[name], by_time[name]):
            losses, figures = [run.losses[-1] for run in found.runs], [run.figure for run in found.runs]
            print(f" {spread(losses):>17s} {spread(figures):>16s}", end="")
        settings = [f"{x.rate:.2g}, {x.second:.2f}" for x in (by_steps[name], by_time[name])]
        print(f"   {by_time[name].steps} steps; rate and second: {'; '.join(settings)}", flush=True)
    return by_steps, by_time, costs


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in words."""
    deviation = statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan
    return f"{statistics.fmean(values):.3g} ± {deviation:.1g}"


def draw(
    task: Task,
    compared: tuple[Mapping[str, Outcome], Mapping[str, Outcome], Mapping[str, float]],
    panels: Sequence[Axes],
) -> None:
    """Draw mean training losses of both comparisons, by steps and by seconds."""
    by_steps, by_time, costs = compared
    grey: list[dict[str, Any]] = [{"color": "0.25", "ls": dash, "lw": 1.2} for dash in ("-", "--", ":")]
    colours = (PALETTE[0], PALETTE[1], PALETTE[4], PALETTE[3], "#6a4c93", "#9c6644")
    styles = dict(zip(by_steps, [*grey, *({"color": color, "lw": 1.5} for color in colours)]))
    for panel, found in zip(panels, (by_steps, by_time)):
        for name, outcome in found.items():
            mean = torch.tensor([run.losses for run in outcome.runs]).mean(0)
            x = torch.arange(1, len(mean) + 1) * task.every
            panel.semilogy(x if found is by_steps else x * costs[name], mean, label=name, **styles[name])
    panels[0].set(xlabel="step", ylabel="training loss", title="tuned for equal steps")
    panels[1].set(xlabel="seconds of one core", title="tuned for equal time")
    panels[0].legend(fontsize=8)


def options(figure: str) -> argparse.Namespace:
    """The size and the path of the picture, from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
    parser.add_argument("--figure", type=Path, default=Path(figure))
    torch.set_num_threads(1)
    return parser.parse_known_args()[0]
