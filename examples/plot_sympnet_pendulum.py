"""
SympNets learn pendulums from one trajectory
============================================

The experiments by which Jin, Zhang, Zhu, Tang and Karniadakis introduced SympNets (arXiv:2001.03750): the
step of a pendulum from 40 pairs of states along one trajectory, and that of a double pendulum from 200. Each
network is trained twice from the same weights, by Adam with their rate of 1e-3, and by
Levenberg and Marquardt's method, and then rolled out far beyond its data.

Run ``python examples/plot_sympnet_pendulum.py --size full``; it writes ``sympnet_pendulum.png`` after some
minutes. Adam then makes 10000 steps on the pendulum, a fifth of theirs, and a fifth of that on the double
pendulum, and Levenberg and Marquardt 1000 at most; without ``--size full`` a fifth.

.. image:: /_static/sympnet_pendulum.png
   :alt: What the program draws
"""
# sphinx_gallery_thumbnail_path = '_static/sympnet_pendulum.png'

# %%
# Data
# ----
# The pendulum ``H = p^2 / 2 - cos q`` is known in closed form. The double pendulum, with masses, lengths and
# gravity of one, is integrated by a Gauss method with steps so short that only rounding is left.
from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from geomlearn import fit, plotting
from geomlearn import integrators as gi
from geomlearn.data import Windows
from geomlearn.nn import RidgeSymplectic, SymplecticFlow, SympNet
from geomlearn.training import StepInfo

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("sympnet_pendulum.png"))
arguments, _ = parser.parse_known_args()
small = arguments.size == "small"
adam_steps, lm_steps = {"full": (10_000, 1000), "medium": (2000, 200), "small": (30, 5)}[arguments.size]
ahead = 20 if small else 1000
backend = "torch" if small else "numba"


def pairs(path: Tensor, first: int, last: int, h: float, system: gi.Hamiltonian) -> Windows:
    """Successive states of a trajectory."""
    return Windows(torch.stack((path[first:last], path[first + 1 : last + 1]), 1), None, h, system.space)


single = gi.zoo.pendulum(angle=1.0, gravity=1.0)
assert single.solution is not None
exact = torch.stack([single.solution(0.1 * k) for k in range(1001)])
double = gi.zoo.double_pendulum(gravity=1.0, angles=(3 * torch.pi / 7, 3 * torch.pi / 8))
fine = gi.GaussLegendre(double.system, 0.75 / 20, stages=4 if not small else 1)
count = 60 if small else 400
path = gi.rollout(fine, double.start, count * 20, every=20, backend=backend).states

# %%
# Training
# --------
# ``LA`` alternates linear maps with activations, ``G`` has a hidden layer in each shear: more weights than
# the 80 numbers it is shown, which least squares fit so well that the error beyond them is what counts.
# Ridge modules, which couple positions and momenta in each module, are trained on the double pendulum, whose
# energy does not separate.
Curve = tuple[list[float], list[float]]


def train(net: SymplecticFlow, data: Windows, optimizer: str, adam_steps: int) -> Curve:
    """Train in place, and give the seconds of CPU time since the first step and the loss of each step."""
    seconds: list[float] = []

    def clock(info: StepInfo) -> None:
        seconds.append(time.process_time())

    adam = optimizer == "adam"
    history = fit(
        net,
        data,
        optimizer=optimizer,
        lr=1e-3 if adam else None,
        schedule=None,
        steps=adam_steps if adam else lm_steps,
        progress=False,
        callbacks=[clock],
    )
    return [second - seconds[0] for second in seconds], history.losses


def error(net: SymplecticFlow, data: Windows) -> float:
    """Mean square error of one step over all entries."""
    with torch.no_grad():
        return float((net(data.states[:, 0]) - data.states[:, 1]).square().mean())


def rolled(net: SymplecticFlow, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """States of a rollout of the network, and the error of the energy."""
    run = gi.rollout(net, start, steps, observe=["energy"], backend=backend)
    energy = run.observations["energy"]
    return run.states, energy - energy[0]


NAMES = {"adam": "Adam", "levenberg-marquardt": "LM"}


def compare(
    nets: dict[str, SymplecticFlow],
    states: Tensor,
    h: float,
    problem: gi.zoo.Problem[gi.Hamiltonian],
    size: int,
) -> dict[str, tuple[Curve, Tensor, Tensor]]:
    """Train each network by both methods, print what it reaches, and roll it out."""
    learn, check = pairs(states, 0, size, h, problem.system), pairs(states, size, 2 * size, h, problem.system)
    results = {}
    for name, first in nets.items():
        for optimizer, short in NAMES.items():
            net = copy.deepcopy(first)
            net.follow(problem.system)
            curve = train(net, learn, optimizer, adam_steps if net.degrees == 1 else max(30, adam_steps // 5))
            steps = min(ahead, len(states) - 1)
            way, drift = rolled(net, states[0], steps)
            apart = (way - states[: steps + 1]).square().mean(-1)
            weights = sum(p.numel() for p in net.parameters())
            print(
                f"{name} ({weights} weights) {short}: {len(curve[1])} steps in {curve[0][-1]:.1f} s; "
                f"train {error(net, learn):.1e}, test {error(net, check):.1e}; {steps} steps: "
                f"mean square {float(apart.mean()):.1e}, energy {float(drift.abs().max()):.1e}"
            )
            results[f"{name} {short}"] = (curve, apart.sqrt(), drift)
    return results


def source() -> torch.Generator:
    """The same random numbers for each network."""
    return torch.Generator().manual_seed(0)


one = compare(
    {
        "LA": SympNet(2, "LA", layers=3, shears=2, h=0.1, generator=source()),
        "G": SympNet(2, "G", layers=5, units=30, h=0.1, generator=source()),
    },
    exact,
    0.1,
    single,
    40,
)
two = compare(
    {
        "LA": SympNet(4, "LA", layers=8, shears=5, h=0.75, generator=source()),
        "ridge": RidgeSymplectic(4, modules=34, h=0.75, generator=source()),
    },
    path,
    0.75,
    double,
    30 if small else 200,
)

# %%
# Pictures
# --------
# Left: the loss over the time of training on the pendulum. Middle: distance from the exact trajectory, in
# steps after the start; the data end at the dotted line. Right: the energy of the double pendulum along the
# rollouts.
figure, panels = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
for color, (name, (curve, apart, _drift)) in zip(plotting.PALETTE, one.items(), strict=False):
    panels[0].loglog(curve[0][1:], curve[1][1:], color=color, label=name)
    panels[1].semilogy(apart.clamp(min=1e-12)[1:], color=color, label=name, lw=0.8)
for color, (name, (_curve, _apart, drift)) in zip(plotting.PALETTE, two.items(), strict=False):
    panels[2].semilogy(drift.abs().clamp(min=1e-12)[1:], color=color, label=name, lw=0.8)
panels[0].set(xlabel="CPU seconds of training", ylabel="loss", title="pendulum, 40 pairs")
panels[1].set(xlabel="step", ylabel="distance from the exact state", title="pendulum, rolled out")
panels[2].set(xlabel="step", ylabel="energy error", title="double pendulum, steps of 0.75")
panels[1].axvline(40, color="0.5", ls=":")
panels[2].axvline(200, color="0.5", ls=":")
panels[2].set_ylim(bottom=1e-7)
for panel, place in zip(panels, ("upper right", "lower right", "lower right"), strict=True):
    panel.legend(fontsize=8, loc=place)
figure.savefig(arguments.figure, dpi=100)
