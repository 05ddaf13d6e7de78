"""
A network that never leaves its constraints
===========================================

Two bobs on rods, in Cartesian coordinates, learned from short pieces of their motion in two ways: by a
network of RATTLE steps with learned potentials and lengths, which is symplectic on the constraint manifold
for any weights, and by a field without structure (a neural ODE), integrated by the classical Runge-Kutta
method.

Run ``python examples/plot_rattle_network.py --size full``; it writes ``rattle_network.png``. Without
``--size full`` it learns from fewer pieces and makes a hundred thousand steps in place of a million.
"""

# %%
# Pieces of motion
# ----------------
# The truth comes from a method of order four at half the step. States are positions and momenta that
# satisfy the constraints.
from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from geomlearn import integrators as gi
from geomlearn import plotting
from geomlearn.data import Windows
from geomlearn.nn import MLP, RattleNet
from geomlearn.training import fit

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("rattle_network.png"))
arguments, _ = parser.parse_known_args()
pieces, fits, field_fits, steps, shown, backend = {
    "full": (400, 40, 20_000, 10**6, 80, "numba"),
    "medium": (120, 25, 4000, 10**5, 80, "numba"),
    "small": (12, 3, 20, 60, 30, "torch"),
}[arguments.size]

rods = {"upper": "q1**2 + q2**2 - 1", "lower": "(q3 - q1)**2 + (q4 - q2)**2 - 1"}
truth = gi.ConstrainedHamiltonian("(p1**2 + p2**2 + p3**2 + p4**2)/2 + 9.81*(q2 + q4)", rods)
h, generator = 0.05, torch.Generator().manual_seed(0)
fine = gi.composition.symmetric_composition(gi.Rattle(truth, h / 2), "Suzuki4")


def draw(angles: torch.Tensor, rates: torch.Tensor) -> torch.Tensor:
    """States with the given angles to the vertical and rates ``(..., 2)``."""
    s, c = angles.sin(), angles.cos()
    q = torch.stack((s, -c), -1).cumsum(-2).flatten(-2)
    p = torch.stack((c * rates, s * rates), -1).cumsum(-2).flatten(-2)
    return truth.project(torch.cat((q, p), -1))


random = torch.randn(2, pieces, 2, generator=generator, dtype=torch.float64)
recorded = gi.rollout(fine, draw(0.6 * random[0], 2 * random[1]), 2 * 2, 2, backend="torch").states
windows = Windows(recorded.movedim(0, 1), None, h, truth.space)
print(
    f"{pieces} pieces of two steps of {h} s, constraints kept to "
    f"{float(truth.residual(recorded).abs().max()):.0e}"
)

# %%
# Two models
# ----------
# Levenberg-Marquardt finds the few weights of the potentials; the field has more of them and takes Adam.
net = RattleNet(8, rods, h, substeps=2, hidden=(12,), gain=0.1, generator=generator)
node = gi.RungeKutta4(gi.ModuleField(MLP((8, 64, 64, 8), gain=0.1, generator=generator), 8), h)
free = Windows(windows.states, None, h, node.space)
histories = {
    "RattleNet": (net, fit(net, windows, optimizer="levenberg-marquardt", steps=fits, progress=False)),
    "field": (node, fit(node, free, optimizer="adam", lr=3e-3, steps=field_fits, progress=False)),
}
for name, (model, history) in histories.items():
    weights = sum(p.numel() for p in model.parameters())
    print(
        f"{name}: {weights} weights, loss {history.losses[0]:.1e} -> {history.losses[-1]:.1e} in "
        f"{history.steps} steps"
    )
print(f"lengths of the substeps over h: {[round(float(c), 3) for c in net.fractions.detach()]}")

# %%
# Long runs
# ---------
# From a start that was not recorded: both rods at 0.6 rad, at rest.
start = draw(torch.tensor([0.6, 0.6], dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
every = max(1, steps // 2000)
runs: dict[str, gi.FlowMap] = {"RattleNet": net, "field, Runge-Kutta 4": node}
first = gi.rollout(fine, start, 2 * shown, 2, backend="torch")
near, far = {"truth": first.states}, {}
for name, flow in runs.items():
    near[name] = gi.rollout(flow, start, shown, backend="torch").states
    began = time.perf_counter()
    run = gi.rollout(flow, start, steps, every, backend=backend)
    made = steps if int(run.failed_at) < 0 else int(run.failed_at)
    kept = run.states[: made // every + 1]
    broken = truth.residual(kept).abs().amax(-1)
    error = (truth.energy(kept) - truth.energy(start)).abs() / (truth.energy(start) + 3 * 9.81)
    far[name] = (run.times[: len(kept)], broken, error)
    print(
        f"{name}: {made:,} steps in {time.perf_counter() - began:.1f} s, {run.failed_at.tolist()}; "
        f"constraints within {float(broken.max()):.0e}, energy within {float(error.max()):.1e}"
    )

# %%
# Pictures
# --------
# Left: the height of the lower bob at first. Middle and right: the largest residual of the
# constraints and of their rates so far, and the largest error of the true energy so far, relative to the
# energy above rest.
figure, panels = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
colors = {"truth": "0.2", "RattleNet": plotting.PALETTE[0], "field, Runge-Kutta 4": plotting.PALETTE[1]}
times = h * torch.arange(shown + 1)
for name, states in near.items():
    panels[0].plot(times, states[:, 3], color=colors[name], label=name, ls="--" if name == "truth" else "-")
panels[0].set(xlabel="time in s", ylabel="height of the lower bob in m", title="lower bob")
panels[0].legend()
for name, (times, broken, error) in far.items():
    for panel, values in zip(panels[1:], (broken, error), strict=True):
        panel.loglog(times[1:], values.cummax(0).values[1:], color=colors[name], label=name)
panels[1].set(xlabel="time in s", ylabel="largest residual", title="constraints")
panels[2].set(xlabel="time in s", ylabel="largest relative error", title="true energy")
panels[1].legend()
figure.savefig(arguments.figure, dpi=120)
