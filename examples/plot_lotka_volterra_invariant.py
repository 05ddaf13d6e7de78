"""
Orbits that are exact, speeds that are learned
==============================================

Prey and predators of Lotka and Volterra, whose orbits are level curves of a known function. A network whose
field is projected onto them runs along the exact orbits, for as long as one likes; there is only one number
left to learn at each point, the speed. At the fixed point the gradient of the function vanishes: there is no
projection there, and none is made up. The same network without the projection, trained as long, leaves the
orbits.

Run ``python examples/plot_lotka_volterra_invariant.py --size full``; it writes
``lotka_volterra_invariant.png``. Without ``--size full`` training is shorter.

.. image:: /_static/lotka_volterra_invariant.png
   :alt: What the program draws
"""
# sphinx_gallery_thumbnail_path = '_static/lotka_volterra_invariant.png'

# %%
# Data
# ----
# Five units of time from starts in a box, not too far from the fixed point at (3, 1.5).
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from geomlearn import integrators as gi
from geomlearn import plotting
from geomlearn.data import Windows, solved_windows
from geomlearn.losses import VelocityPositionLoss
from geomlearn.nn import MLP
from geomlearn.training import fit

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("lotka_volterra_invariant.png"))
arguments, _ = parser.parse_known_args()
starts, steps, last = {"full": (100, 3000, 100.0), "medium": (100, 500, 100.0), "small": (5, 5, 4.0)}[
    arguments.size
]

h = 0.1
problem = gi.zoo.lotka_volterra(growth=1.5, predation=1.0, death=3.0, gain=1.0)
generator = torch.Generator().manual_seed(0)
box = torch.rand(4 * starts, 2, generator=generator, dtype=torch.float64)
box = torch.tensor([0.8, 0.5]).double() + torch.tensor([2.2, 2.0]).double() * box
seen = solved_windows(problem.system, box[problem.system.energy(box) <= 4][:starts], h, 51, 1e-10, 1e-10)
pieces = seen.states.unfold(1, 6, 1).transpose(-1, -2).flatten(0, 1)
print(seen)

# %%
# Two models of one network
# -------------------------
invariant = {"H": "x1 - 3*log(x1) + x2 - 1.5*log(x2)"}
models: dict[str, gi.ProjectedField] = {}
loss = VelocityPositionLoss({"x": 1 / pieces.flatten(0, 1).var(0)})
modes: dict[str, Any] = {"neural ODE": "none", "projected": "project"}
for name, mode in modes.items():
    net = MLP((2, 64, 64, 2), "silu", generator=torch.Generator().manual_seed(1))
    models[name] = gi.ProjectedField(gi.ModuleField(net, 2), invariant, "euclidean", mode=mode)
    windows = Windows(pieces, None, h, models[name].space)
    options: dict[str, Any] = {"optimizer": "adam", "lr": 5e-3, "batch_size": 256, "gradient_clip": 1.0}
    history = fit(gi.RungeKutta4(models[name], h), windows, loss=loss, steps=steps, progress=False, **options)
    print(f"{name:>10}: normalised mean square error {history.losses[-1]:.1e}")

# %%
# Long runs
# ---------
# Twenty times as long as the data. The projected field leaves its orbit only by the errors of the method, and
# with a Gauss-Newton step after each step not at all.
first = torch.tensor([[2.5, 1.5], [1.8, 1.2], [1.0, 0.8]], dtype=torch.float64)
flows: dict[str, gi.FlowMap] = {name: gi.RungeKutta4(model, h / 2) for name, model in models.items()}
flows["projected, stepwise"] = gi.ProjectedStep(flows["projected"])
truth = gi.rollout(
    gi.RungeKutta4(problem.system, h / 4), first, round(4 * last / h), every=2, backend="torch"
)
runs: dict[str, Tensor] = {}


def departure(states: Tensor) -> Tensor:
    """Largest error of the invariant, infinite where there are fewer than no prey or predators."""
    off = problem.system.energy(states) - problem.system.energy(first)
    return off.abs().nan_to_num(torch.inf).amax(-1)


for name, flow in flows.items():
    with torch.no_grad():
        runs[name] = gi.rollout(flow, first, round(2 * last / h), backend="torch").states
    off = departure(runs[name])
    error = (runs[name][-1] - truth.states[-1]).norm(dim=-1).mean()
    print(
        f"{name:>19}: invariant off by {float(off.amax()):.1e}, state by {float(error):.2f} at t = {last:g}"
    )

# %%
# The one number
# --------------
# On an orbit the projected field is a multiple of the true one. At the fixed point there is no direction.
orbit = truth.states[: round(8 / h), 1]
true, learned = problem.system.field(orbit), models["projected"].field(orbit).detach()
ratio = (learned * true).sum(-1) / true.square().sum(-1)
across = (learned - ratio.unsqueeze(-1) * true).norm(dim=-1).max()
print(f"speed right to {float((ratio - 1).abs().max()):.1e}, direction to {float(across):.0e}")
try:
    models["projected"].field(torch.tensor([3.0, 1.5], dtype=torch.float64))
except gi.DependentConstraintsError as error:
    print(f"at the fixed point: {error}")

# %%
# Pictures
# --------
figure, panels = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
colors = dict(zip(flows, [plotting.PALETTE[k] for k in (1, 3, 0)], strict=True))
for name in ("neural ODE", "projected"):
    for k in range(len(first)):
        label = name if k == 0 else None
        panels[0].plot(*runs[name][:, k].T, color=colors[name], lw=0.6, label=label)
for k in range(len(first)):
    panels[0].plot(
        *truth.states[: round(8 / h), k].T, color="black", lw=1, ls=":", label=None if k else "true"
    )
panels[0].plot([3], [1.5], "+", color="black")
panels[0].set(xlabel="prey", ylabel="predators", title=f"orbits to t = {last:g}", xlim=(-2, 12), ylim=(-1, 9))
panels[0].legend()
clock = h / 2 * torch.arange(len(runs["projected"]))
for name, run in runs.items():
    off = departure(run)
    panels[1].semilogy(clock[1:], off[1:] + 1e-17, color=colors[name], lw=0.8, label=name)
panels[1].set(xlabel="time", ylabel="error of the invariant", title="largest of three orbits")
panels[1].legend()
turn = h / 2 * torch.arange(len(orbit))
panels[2].plot(turn, true.norm(dim=-1), color="black", lw=1, ls=":", label="true")
panels[2].plot(turn, learned.norm(dim=-1), color=colors["projected"], lw=1, label="learned")
panels[2].set(xlabel="time", ylabel="speed", title="along an exact orbit")
panels[2].legend()
figure.savefig(arguments.figure, dpi=110)
