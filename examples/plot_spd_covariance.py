"""
Covariances with a structure
============================

A process of 40 steps in which each value depends on the two before it, with coefficients that change: the
inverse of its covariance has five diagonals. Covariances are estimated from few runs, by maximum likelihood
with this structure and with others, and judged by the likelihood of new runs. Then the method itself: on a
log-determinant with condition number 1000 momentum needs six times the iterations of none. Dropped as soon as
it goes uphill, it is nearly as good, over a wider range of rates; with the bound on steps every rate is safe.

Run ``python examples/plot_spd_covariance.py --size full``; it writes ``spd_covariance.png``.

.. image:: /_static/spd_covariance.png
   :alt: What the program draws
"""
# sphinx_gallery_thumbnail_path = '_static/spd_covariance.png'

# %%
# Estimates
# ---------
# The factor of the precision is triangular with two diagonals beside the main one. Ledoit and Wolf's
# estimate, from scikit-learn, shrinks the covariance of the samples towards a multiple of the identity.
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from geomlearn import lie, plotting
from geomlearn.optim import SPDRule
from geomlearn.spd import LogDeterminant, fit_covariance, minimize_spd

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("spd_covariance.png"))
arguments, _ = parser.parse_known_args()
counts, repeats, condition_n, rates = {
    "full": ([10, 14, 20, 28, 40, 57, 80, 113, 160], 10, 60, 13),
    "medium": ([10, 20, 40, 80, 160], 3, 60, 7),
    "small": ([10, 50], 1, 20, 3),
}[arguments.size]
n = 40
generator = torch.Generator().manual_seed(0)

step = torch.arange(n, dtype=torch.float64)
first, second = 1.2 * torch.cos(step / 9), -0.5 + 0.2 * torch.sin(step / 5)
noise = 0.5 + 0.4 * torch.sin(step / 7)
innovations = torch.eye(n, dtype=torch.float64)
for t in range(1, n):
    innovations[t, t - 1] = -first[t]
    if t > 1:
        innovations[t, t - 2] = -second[t]
precision = innovations.mT @ torch.diag(1 / noise**2) @ innovations
truth = torch.distributions.MultivariateNormal(torch.zeros(n).double(), precision_matrix=precision)
root = torch.linalg.cholesky(truth.covariance_matrix)


def runs(count: int) -> Tensor:
    """New runs of the process, (count, n)."""
    return torch.randn(count, n, generator=generator, dtype=torch.float64) @ root.mT


STRUCTURES: dict[str, Any] = {
    "two diagonals (true)": lie.structured_factor("upper_banded", n, bandwidth=2),
    "one diagonal": lie.structured_factor("upper_banded", n, bandwidth=1),
    "rank 4 + diagonal": lie.structured_factor("block_upper", n, rank=4),
    "diagonal": "diagonal",
    "full": "full",
}
fresh = runs(20_000)
best = float(truth.log_prob(fresh).mean())
losses: dict[str, list[float]] = {name: [] for name in [*STRUCTURES, "Ledoit-Wolf"]}
for count in counts:
    sums = dict.fromkeys(losses, 0.0)
    for _repeat in range(repeats):
        x = runs(count)
        for name, structure in STRUCTURES.items():
            if structure == "full" and count <= n + 1:
                sums[name] = float("nan")
                continue
            fit = fit_covariance(x, structure)
            assert fit.converged, (name, count, fit.status)
            sums[name] += float(fit.log_density(fresh).mean()) / repeats
        shrunk = torch.from_numpy(ledoit_wolf(x.numpy())[0])
        guess = torch.distributions.MultivariateNormal(x.mean(0), shrunk)
        sums["Ledoit-Wolf"] += float(guess.log_prob(fresh).mean()) / repeats
    for name, total in sums.items():
        losses[name].append(best - total)
print(f"log-density of new runs below the true {best:.2f}, from {counts} runs, mean of {repeats}")
for name, values in losses.items():
    print(f"  {name:21s}" + " ".join(f"{value:8.2f}" for value in values))

# %%
# The method
# ----------
# Iterations to a millionth of the first gap.
problem = LogDeterminant.random(condition_n, 1000.0, torch.Generator().manual_seed(0))
WAYS: dict[str, dict[str, Any]] = {
    "no momentum": {"momentum": 0.0},
    "momentum 0.9": {"momentum": 0.9},
    "with restarts": {"momentum": 0.9, "restart": True},
    "no bound": {"momentum": 0.9, "step_bound": None},
}


def path(lr: float, options: dict[str, Any]) -> Tensor:
    """Gap at the start and after each iteration, relative to the first."""
    rule = SPDRule(lie.SPD(condition_n), lr=lr, **options)
    run = minimize_spd(problem, rule, backtrack=False, max_iterations=300, tolerance=0)
    gap = run.values - problem.minimum
    return gap / gap[0]


grid = torch.logspace(-2.5, 0, rates).tolist()
paths = {name: [path(lr, options) for lr in grid] for name, options in WAYS.items()}
iterations = {
    name: [next((k for k, gap in enumerate(found.tolist()) if gap <= 1e-6), None) for found in each]
    for name, each in paths.items()
}
for name, taken in iterations.items():
    print(f"  {name:14s} iterations", taken)

# %%
# Pictures
# --------
figure, panels = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
colors = [*plotting.PALETTE, "black"]
for color, (name, values) in zip(colors, losses.items()):
    panels[0].loglog(counts, values, "o-", ms=3, color=color, label=name)
panels[0].set(xlabel="runs that the estimate is from", ylabel="log-density lost on new runs")
panels[0].set(title=f"covariance of {n} variables", ylim=(None, 100))
panels[0].legend(fontsize=8)
for color, name in zip(colors, list(WAYS)[:3]):
    reached = [(k, p) for k, p in zip(iterations[name], paths[name]) if k is not None]
    shown = min(reached, key=lambda pair: pair[0])[1] if reached else paths[name][0]
    panels[1].semilogy(shown[:160].clamp_min(1e-12), color=color, label=name)
panels[1].axhline(1e-6, color="grey", lw=0.8)
panels[1].set(xlabel="iteration", ylabel="gap / first gap", title="at the best rate of each", ylim=(1e-9, 2))
panels[1].legend()
for color, (name, counts_found) in zip(colors, iterations.items()):
    panels[2].semilogx(grid, [float("nan") if k is None else k for k in counts_found], "o-", color=color)
    panels[2].plot([], [], color=color, label=name)
panels[2].set(xlabel="rate", ylabel="iterations", title="no mark: more than 300", ylim=(0, 320))
panels[2].legend()
figure.savefig(arguments.figure, dpi=97)
