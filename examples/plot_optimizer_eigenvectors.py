"""
Eigenvectors by descent on manifolds
====================================

The leading eigenvector of a symmetric matrix minimizes a quadratic form on the sphere, the first four of
them a form of Brockett's on the frames of four vectors. Restarted Bregman methods stand beside gradient
descent, heavy ball and Adam on the manifolds, each at the best of the same number of settings.

Run ``python examples/plot_optimizer_eigenvectors.py --size full``; it writes
``optimizer_eigenvectors.png``.
"""

# %%
# Two problems
# ------------
from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from geomlearn import lie, plotting
from geomlearn.optim import BregmanSLC, ManifoldParameter, RiemannianAdam, RiemannianSGD

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("optimizer_eigenvectors.png"))
arguments, _ = parser.parse_known_args()
n, settings, steps = {"full": (100, 24, 800), "medium": (50, 8, 300), "small": (10, 3, 60)}[arguments.size]
torch.set_num_threads(1)

M = np.random.default_rng(0).normal(size=(n, n))
A = torch.from_numpy((M + M.T) / 2)
values = torch.linalg.eigvalsh(A)
weights = torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64)
start = torch.linalg.qr(torch.from_numpy(np.random.default_rng(1).normal(size=(n, 4)))).Q

Problem = tuple[Any, Tensor, Callable[[Tensor], Tensor], float]
problems: dict[str, Problem] = {
    f"sphere in {n} dimensions": (
        lie.Sphere(n),
        torch.full((n,), n**-0.5, dtype=torch.float64),
        lambda x: -0.5 * x @ A @ x,
        -0.5 * float(values[-1]),
    ),
    f"{n} by 4 frames": (
        lie.Stiefel(n, 4),
        start,
        lambda X: -0.5 * ((X.mT @ A @ X).diagonal() * weights).sum(),
        -0.5 * float((values[-4:].flip(0) * weights).sum()),
    ),
}

# %%
# The methods, and the settings among which each may choose
# ---------------------------------------------------------
# The step of gradient descent is limited by the spread of the eigenvalues. For the Bregman methods C and h
# are taken from the first step and the momentum of heavy ball, like its own.
limit = 2 / float(values[-1] - values[0])
half = math.isqrt(settings)
line = torch.logspace(-1.2, 0.3, settings).tolist()
plane = [
    (size, momentum)
    for size in torch.logspace(-1.5, 0.0, settings // half).tolist()
    for momentum in torch.linspace(0.7, 0.95, half).tolist()
]
methods: dict[str, list[Callable[[Any], Any]]] = {
    "gradient descent": [partial(RiemannianSGD, lr=size * limit) for size in line],
    "heavy ball": [partial(RiemannianSGD, lr=size * limit, momentum=momentum) for size, momentum in plane],
    "Adam": [partial(RiemannianAdam, lr=0.2 * size) for size in line],
    "Bregman, exponential": [
        partial(BregmanSLC.from_step_and_momentum, step=size * limit, momentum=momentum)
        for size, momentum in plane
    ],
    "Bregman, polynomial": [
        partial(BregmanSLC.from_step_and_momentum, step=size * limit, momentum=momentum, family="polynomial")
        for size, momentum in plane
    ],
}


def descend(problem: Problem, make: Callable[[Any], Any]) -> tuple[Tensor, float]:
    """Errors of the value along a run, and how far the end is from the manifold."""
    manifold, point, function, least = problem
    x = ManifoldParameter(manifold, point)
    optimizer = make([x])
    errors = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = function(x)
        errors.append(float(value.detach()) - least)
        value.backward()
        optimizer.step()
    return torch.tensor(errors, dtype=torch.float64), float(manifold.residual(x.detach()))


# %%
# Runs
# ----
# The best setting is the one that first comes within 1e-8 of the least value, or that ends nearest to it.
figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for axes, (title, problem) in zip(panels, problems.items(), strict=True):
    print(f"{title}; iterations to 1e-8, error after {steps}, distance from the manifold")
    for color, (name, makers) in zip(plotting.PALETTE, methods.items(), strict=True):
        runs = [descend(problem, make) for make in makers]
        scores = [(int((errors > 1e-8).sum()), float(errors[-10:].max())) for errors, _ in runs]
        errors, residual = runs[min(range(len(runs)), key=scores.__getitem__)]
        reached = torch.nonzero(errors <= 1e-8)
        count = str(int(reached[0])) if len(reached) else "-"
        print(f"  {name:22s} {count:>5s} {max(float(errors[-1]), 0):9.1e} {residual:9.1e}")
        axes.semilogy(errors.clamp_min(1e-14), color=color, label=name, lw=1.3)
    axes.set(xlabel="iteration", ylabel="value above the least", title=title)
panels[0].legend()
figure.savefig(arguments.figure, dpi=110)
