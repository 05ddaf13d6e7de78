"""
A grid whose loads are kept
===========================

Voltages of 14 buses. The loads take constant power and one bus is held, which makes 20 constraints on 28
numbers; between them the generators swing. A network of all 28 slopes learns the motion from ten seconds,
with and without projecting onto the constraints, and predicts five times as long. The lines are those of the
IEEE test case with 14 buses; the operating point, in which a bus is mis-set, and the motion of the generators
are not: see ``integrators.zoo.PowerGrid``.

Run ``python examples/plot_grid.py --size full``; it writes ``grid.png``. Without ``--size full`` training is
shorter.

.. image:: /_static/grid.png
   :alt: What the program draws
"""
# sphinx_gallery_thumbnail_path = '_static/grid.png'

# %%
# Data
# ----
# Ten seconds from disturbed voltages of the generators, ten times a second. The voltages of the loads follow.
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

from geomlearn import integrators as gi
from geomlearn import plotting
from geomlearn.data import Windows
from geomlearn.losses import VelocityPositionLoss
from geomlearn.training import fit

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("grid.png"))
arguments, _ = parser.parse_known_args()
starts, steps, samples = {"full": (50, 2000, 101), "medium": (50, 300, 101), "small": (3, 3, 9)}[
    arguments.size
]

h = 0.1
grid = gi.zoo.power_grid().system
condition = float(torch.linalg.cond(grid.constraint_jacobian(grid.operating_point)[:18])) ** 2
off = float(grid.constraint(grid.operating_point).abs().max())
print(f"at the operating point: powers right to {off:.0e}, condition of G G^T {condition:.0f}")


def swung(count: int, last: int, seed: int) -> Tensor:
    """States ``(last, count, 28)`` of the grid, ten times a second."""
    x = grid.draw(count, 0.1, torch.Generator().manual_seed(seed))
    return gi.rollout(gi.RungeKutta4(grid, h / 2), x, 2 * (last - 1), every=2, backend="torch").states


seen, tested = swung(starts, samples, 0), swung(10, 5 * (samples - 1) + 1, 1)
scale = seen.flatten(0, 1).std(0).clamp(min=1e-3)  # the slack bus does not move


# %%
# Two models of one network
# -------------------------
class Slopes(nn.Module):
    """A perceptron from scaled voltages to slopes."""

    middle: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("middle", grid.operating_point.clone())
        self.register_buffer("scale", scale)
        layers = [nn.Linear(28, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 28)]
        self.net = nn.Sequential(*layers).double()

    def forward(self, x: Tensor) -> Tensor:
        """Compute slopes ``(..., 28)`` of voltages ``(..., 28)``."""
        return self.scale * self.net((x - self.middle) / self.scale)


pieces = seen.unfold(0, 5, 1).flatten(0, 1).transpose(-1, -2)
loss = VelocityPositionLoss({"x": scale**-2})
models: dict[str, gi.ProjectedField] = {}
modes: dict[str, Any] = {"neural ODE": "none", "projected": "project"}
for name, mode in modes.items():
    models[name] = gi.ProjectedField(Slopes(), grid.constraint, "euclidean", mode=mode, level="zero", size=28)
    windows = Windows(pieces, None, h, models[name].space)
    options: dict[str, Any] = {"optimizer": "adam", "lr": 2e-3, "batch_size": 128, "gradient_clip": 1.0}
    history = fit(gi.RungeKutta4(models[name], h), windows, loss=loss, steps=steps, progress=False, **options)
    print(f"{name:>10}: normalised mean square error {history.losses[-1]:.1e}")

# %%
# Predictions
# -----------
# The slack bus has rows of its own among the constraints. A mask on the network instead would not hold it:
# what the projection adds moves it again.
flows: dict[str, gi.FlowMap] = {name: gi.RungeKutta4(model, h) for name, model in models.items()}
flows["projected, stepwise"] = gi.ProjectedStep(flows["projected"])
runs, distances = {}, {}
for name, flow in flows.items():
    with torch.no_grad():
        runs[name] = gi.rollout(flow, tested[0], len(tested) - 1, backend="torch").states
    distances[name] = grid.constraint(runs[name]).norm(dim=-1).median(-1).values
    slack = (runs[name][..., [1, 15]] - tested[0, :, [1, 15]]).abs().max()
    error = ((runs[name] - tested).norm(dim=-1) / tested.norm(dim=-1)).median(-1).values
    print(
        f"{name:>19}: state off by {float(error[samples - 1]):.1e} at the end of the data, "
        f"{float(error.max()):.1e} at most; constraints {float(distances[name].max()):.0e}, "
        f"slack {float(slack):.0e}"
    )

# %%
# Pictures
# --------
# Left: how far the constraints are missed. Right: the magnitude of a load's voltage, true and predicted.
figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
colors = dict(zip(flows, [plotting.PALETTE[k] for k in (1, 3, 0)], strict=True))
clock = h * torch.arange(len(tested))
for name, distance in distances.items():
    panels[0].semilogy(clock[1:], distance[1:] + 1e-17, color=colors[name], lw=1, label=name)
panels[0].set(xlabel="time (s)", ylabel="distance from the constraints", title="median of ten starts")
panels[0].legend()
for name, run in {"neural ODE": runs["neural ODE"], "projected": runs["projected"], "true": tested}.items():
    style = {"color": "black", "lw": 1, "ls": ":"} if name == "true" else {"color": colors[name], "lw": 1}
    panels[1].plot(clock, (run[:, 0, 13].square() + run[:, 0, 27].square()).sqrt(), label=name, **style)
panels[1].set(xlabel="time (s)", ylabel="voltage", title="bus 14, a load")
panels[1].legend()
figure.savefig(arguments.figure, dpi=110)
