"""
Which projector for a mechanism
===============================

A double pendulum with friction in its joints, in Cartesian coordinates: two rods are four constraints on
eight numbers. One network of accelerations is trained four times, each time with another way to keep it on
the rods: not at all, pulled back to them, by the Euclidean projector, and by that of Gauss, whose multipliers
are the forces in the rods. The last one leaves the network gravity and friction to learn, and is better by
orders of magnitude. Without friction Dirac's projector, the symplectic one, applies too, to a network of the
potential: it keeps the energy.

Run ``python examples/plot_projectors.py --size full``; it writes ``projectors.png``. Without ``--size full``
training is shorter and there are fewer starts.

.. image:: /_static/projectors.png
   :alt: What the program draws
"""
# sphinx_gallery_thumbnail_path = '_static/projectors.png'

# %%
# Data
# ----
# Releases at rest from all angles. The motion is computed in angles and seen in Cartesian coordinates, 50
# times a second.
from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

from geomlearn import integrators as gi
from geomlearn import plotting
from geomlearn.data import Windows
from geomlearn.losses import VelocityPositionLoss
from geomlearn.nn import MLP
from geomlearn.training import fit

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("projectors.png"))
arguments, _ = parser.parse_known_args()
releases, starts, steps, samples = {
    "full": (60, 400, 900, 251),
    "medium": (60, 100, 300, 251),
    "small": (6, 5, 4, 16),
}[arguments.size]
h, fine, backend = (0.02, 10, "torch") if arguments.size == "small" else (0.02, 40, "numba")


def released(chain: gi.zoo.PendulumChain, count: int, seed: int) -> Tensor:
    """Cartesian states ``(count, samples, 8)`` of the motion from random angles."""
    angles = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    truth = chain.problem.system
    x = truth.state(2 * math.pi * angles, torch.zeros_like(angles))
    method = gi.RungeKutta4(truth, h / fine)
    run = gi.rollout(method, x, fine * (samples - 1), every=fine, backend=backend)
    return chain.from_problem(run.states).transpose(0, 1)


damped, free = gi.zoo.PendulumChain(2, friction=0.1), gi.zoo.PendulumChain(2, friction=0.0)


# %%
# Models
# ------
# The network sees scaled states and gives accelerations; what is around it differs.
class Accelerations(nn.Module):
    """A perceptron from scaled states to accelerations of size 10."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", states.flatten(0, 1).mean(0).float())
        self.register_buffer("deviation", states.flatten(0, 1).std(0).float())
        layers = [nn.Linear(8, 96), nn.GELU(), nn.Linear(96, 96), nn.GELU(), nn.Linear(96, 96), nn.GELU()]
        self.net = nn.Sequential(*layers, nn.Linear(96, 4))

    def forward(self, x: Tensor) -> Tensor:
        """Compute accelerations ``(..., 4)`` of states ``(..., 8)``."""
        return 10 * self.net((x - self.mean) / self.deviation)


WAYS: dict[str, dict[str, Any]] = {
    "neural ODE": {"metric": "euclidean", "mode": "none"},
    "stabilised": {"metric": "euclidean", "mode": "stabilise", "gamma": 20.0},
    "Euclidean": {"metric": "euclidean"},
    "Gauss": {"metric": "gauss"},
    "Dirac": {"metric": "symplectic"},
}


def field(way: str, states: Tensor) -> gi.ProjectedField:
    """An untrained model."""
    torch.manual_seed(0)
    if way == "Dirac":
        potential = MLP((4, 96, 96, 96, 1), "silu", gain=10.0, dtype=torch.float32)
        base: gi.MechanicalSystem | gi.AccelerationField = gi.MechanicalSystem(4, potential)
    else:
        base = gi.AccelerationField(4, Accelerations(states))
    return gi.ProjectedField(base, damped.rods, level="zero", **WAYS[way])


# %%
# Training
# --------
# Four Runge-Kutta steps from every sample, compared with the next four, each channel relative to its
# variance; in float32.
def train(model: gi.ProjectedField, states: Tensor) -> float:
    """Train in place and return the mean of the last losses."""
    pieces = states.unfold(1, 5, 1).transpose(-1, -2).flatten(0, 1)
    windows = Windows(pieces.float(), None, h, model.space)
    weights = (0.5 / states.flatten(0, 1).var(0)).float().split(4)
    loss = VelocityPositionLoss(dict(zip(model.space.names, weights, strict=True)))
    options: dict[str, Any] = {"optimizer": "adam", "lr": 2e-3, "batch_size": 192, "gradient_clip": 1.0}
    history = fit(gi.RungeKutta4(model, h), windows, loss=loss, steps=steps, progress=False, **options)
    last = history.losses[-50:]
    return sum(last) / len(last)


def follow(model: gi.ProjectedField, x: Tensor, duration: float, project: bool) -> Tensor:
    """States every ``h``, by float64 steps of half of it, moved onto the rods or not; NaN after a failure."""
    flow: gi.FlowMap = gi.RungeKutta4(model, h / 2)
    flow = gi.ProjectedStep(flow, iterations=3) if project else flow
    with torch.no_grad():
        run = gi.rollout(flow, x, 2 * round(duration / h), every=2, backend="torch")
    step = 2 * torch.arange(len(run.states)).unsqueeze(-1)
    failed = (run.failed_at >= 0) & (step >= run.failed_at)
    return run.states.masked_fill(failed.unsqueeze(-1), torch.nan)


seen, tested = released(damped, releases, 0), released(damped, starts, 1)
times = h * torch.arange(samples)
marks = [round(part * (samples - 1)) for part in (0.2, 0.4, 1.0)]
errors, distances = {}, {}
print(f"medians of {starts} starts; state error at t = " + ", ".join(f"{float(times[k]):g}" for k in marks))
for way in list(WAYS)[:4]:
    started = time.perf_counter()
    model = field(way, seen)
    loss = train(model, seen)
    seconds = time.perf_counter() - started
    model.double()
    for project in (False, True):
        states = follow(model, tested[:, 0], float(times[-1]), project)
        error = (states - tested.transpose(0, 1)).norm(dim=-1) / tested.transpose(0, 1).norm(dim=-1)
        errors[way, project] = error.nan_to_num(torch.inf).median(-1).values
        distances[way, project] = damped.residual(states).norm(dim=-1).nan_to_num(torch.inf).median(-1).values
    found = [" ".join(f"{float(errors[way, p][k]):.3f}" for k in marks) for p in (False, True)]
    off = [f"{float(distances[way, p][-1]):.0e}" for p in (False, True)]
    print(
        f"{way:>10}: loss {loss:.1e} ({seconds:.0f} s), error {found[0]}, off the rods {off[0]}; "
        f"moved onto them: error {found[1]}, off {off[1]}"
    )

# %%
# Without friction
# ----------------
# Gauss's projector with a network of accelerations, Dirac's with a network of the potential, both in a method
# that keeps the rods.
quiet, still = released(free, releases, 0), released(free, min(starts, 50), 1)
long, energies = 4 * float(times[-1]), {}
for way in ("Gauss", "Dirac"):
    model = field(way, quiet)
    loss = train(model, quiet)
    states = follow(model.double(), still[:, 0], long, True)
    energy = free.energy(states)
    energies[way] = (energy - energy[0]).abs().nan_to_num(torch.inf).median(-1).values / 9.81
    error = (states[: len(times)] - still.transpose(0, 1)).norm(dim=-1) / still.transpose(0, 1).norm(dim=-1)
    middle = float(error[-1].nan_to_num(torch.inf).median())
    print(
        f"{way:>10}: loss {loss:.1e}, error {middle:.3f} at t = {float(times[-1]):g}, energy off by "
        f"{float(energies[way][-1]):.1e} m g l at t = {long:g}"
    )

# %%
# Pictures
# --------
# Left: error of the states. Middle: distance from the rods, without and with the step that moves states onto
# them. Right: the energy without friction.
figure, panels = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
colors = dict(zip(WAYS, [plotting.PALETTE[k] for k in (2, 3, 1, 0, 4)], strict=True))
for way in list(WAYS)[:4]:
    panels[0].semilogy(times[1:], errors[way, False][1:], color=colors[way], label=way)
    panels[1].semilogy(times[1:], distances[way, False][1:], color=colors[way], label=way)
    panels[1].semilogy(times[1:], distances[way, True][1:] + 1e-17, color=colors[way], lw=1, ls=":")
panels[0].set(xlabel="time (s)", ylabel="relative error of the state", title=f"median of {starts} starts")
panels[0].legend()
panels[1].set(xlabel="time (s)", ylabel="distance from the rods", title="dotted: moved onto the rods")
for way, energy in energies.items():
    clock = torch.linspace(0, long, len(energy))
    panels[2].semilogy(clock[1:], energy[1:], color=colors[way], label=way)
panels[2].set(xlabel="time (s)", ylabel="energy error / m g l", title="no friction")
panels[2].legend()
figure.savefig(arguments.figure, dpi=110)
