"""
Tuning a Bregman optimizer
==========================

A Bregman optimizer has two numbers to tune, the constant ``C`` and the time step ``h``, which is ``lr``;
the order of the family and the factor of the looping stay as they are. The maps show after how many
iterations an ill-conditioned quadratic is solved for each pair. With temporal looping twice as many pairs
converge as with restarts alone, in the full grid. The dashed line is the border of the region for the same
problem in five dimensions: a small analogue is easier, and shows where to search.

Run ``python examples/plot_optimizer_tuning.py --size full``; it writes ``optimizer_tuning.png``.

.. image:: /_static/optimizer_tuning.png
   :alt: What the program draws
"""
# sphinx_gallery_thumbnail_path = '_static/optimizer_tuning.png'

# %%
# The problem
# -----------
# Neighbours among the variables are correlated by 0.9: the condition number is above three hundred.
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from geomlearn.optim import BregmanRule, BregmanSLC, bregman_sweep, iterations_to

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("optimizer_tuning.png"))
arguments, _ = parser.parse_known_args()
n, cells, steps = {"full": (50, 45, 4000), "medium": (50, 23, 800), "small": (5, 9, 300)}[arguments.size]
torch.set_num_threads(1)


def start_and_function(dimension: int) -> tuple[Tensor, Tensor]:
    """A start, and the matrix of the quadratic."""
    index = torch.arange(dimension, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    start = 10 * torch.randn(dimension, generator=generator, dtype=torch.float64)
    return start, 0.9 ** (index[:, None] - index).abs()


# %%
# A sweep
# -------
# The methods are functions of states, so that all pairs run at once under ``torch.func.vmap``. Nothing is
# compared with a known minimum when tuning a real problem; here it is 0, and a run counts as converged once
# ten values in a row are below 1e-8.
Family = Literal["exponential", "polynomial"]
grids: dict[Family, Tensor] = {
    "exponential": torch.logspace(-2, 2.4, cells, dtype=torch.float64),
    "polynomial": torch.logspace(-3.4, 0.2, cells, dtype=torch.float64),
}
C = torch.logspace(-4, 4, (cells + 1) // 2, dtype=torch.float64)


def iterations(family: Family, looping: bool, dimension: int) -> Tensor:
    """Iterations for each pair of C and h, -1 where that many steps do not do."""
    start, A = start_and_function(dimension)
    order = 0.01 if family == "exponential" else 6.0
    rule = BregmanRule(1.0, 1.0, family=family, order=order, temporal_looping=looping)
    values = bregman_sweep(lambda x: 0.5 * x @ A @ x, start, rule, steps, C=C[:, None], h=grids[family])
    return iterations_to(values, 0.0)


# %%
# Maps
# ----
figure, panels = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
best: dict[tuple[Family, bool], tuple[int, float, float]] = {}
for row, (family, h) in enumerate(grids.items()):
    small = iterations(family, True, 5) >= 0
    for column, looping in enumerate((False, True)):
        counts = iterations(family, looping, n)
        good = counts >= 0
        share = float(good.double().mean())
        title = f"{family}, restarts and looping" if looping else f"{family}, restarts alone"
        print(f"{title}: {share:.0%} of {good.numel()} pairs converge in {steps} iterations", end="")
        if good.any():
            place = int(torch.where(good, counts, steps + 1).argmin())
            i, j = divmod(place, len(h))
            found = best[family, looping] = int(counts[i, j]), float(C[i]), float(h[j])
            print(f"; {found[0]} at best, C = {found[1]:.3g}, h = {found[2]:.3g}", end="")
        print()
        axes = panels[row, column]
        shown = torch.where(good, counts, torch.nan).numpy()
        across, up = h.numpy(), C.numpy()
        image = axes.pcolormesh(
            across, up, shown, cmap="viridis", vmin=100, vmax=min(steps, 2000), shading="nearest"
        )
        if looping and small.any() and not small.all():
            axes.contour(
                across,
                up,
                small.double().numpy(),
                levels=[0.5],
                colors="#d1495b",
                linestyles="--",
                linewidths=1.2,
            )
        axes.set(xscale="log", yscale="log", xlabel="time step h", ylabel="C", title=f"{title}: {share:.0%}")
figure.colorbar(image, ax=panels, label="iterations", shrink=0.7)
figure.savefig(arguments.figure, dpi=110)

# %%
# In a training loop
# ------------------
# The best pair, in the optimizer. ``restarts`` and ``loops`` say how a run goes. If you know which step and
# momentum heavy ball would take, ``from_step_and_momentum`` translates them.
(family, looping), (count, constant, h_best) = min(best.items(), key=lambda item: item[1][0])
start, A = start_and_function(n)
x = start.clone().requires_grad_()
optimizer = BregmanSLC([x], lr=h_best, C=constant, family=family, temporal_looping=looping)
for _step in range(count):
    optimizer.zero_grad()
    (0.5 * x @ A @ x).backward()
    optimizer.step()
group = optimizer.param_groups[0]
value = float((0.5 * x @ A @ x).detach())
print(f"{count} steps: {value:.1e}, {group['restarts']} restarts, {group['loops']} loops")
