"""
The right energy is not the right motion
========================================

The chain of Fermi, Pasta, Ulam and Tsingou with its energy as a constraint. The classical Runge-Kutta method
loses energy, from the fast modes first. Projected onto the level of the energy it keeps it to rounding error,
but not where it belongs: what the fast modes lose goes to the slow ones, until they have nearly all of it. A
constraint fixes one function and nothing else. A symplectic method of lower order keeps the energy nearly,
and how it is shared among the modes as well.

Run ``python examples/plot_fput_projection.py --size full``; it writes ``fput_projection.png``. Without
``--size full`` it makes fewer steps.
"""

# %%
# Three methods
# -------------
# ``G = dH/dx`` has one row, so that the projection costs one division. The chain starts with random
# velocities.
from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from geomlearn import integrators as gi
from geomlearn import plotting

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("fput_projection.png"))
arguments, _ = parser.parse_known_args()
n, steps = {"full": (8, 1_000_000), "medium": (8, 100_000), "small": (2, 300)}[arguments.size]
h, samples = 0.4, min(1000, steps)
backend = "torch" if arguments.size == "small" else "numba"

problem = gi.zoo.fput(n, beta=0.1, alpha=0.25)
system = problem.system
noise = torch.randn(n, generator=torch.Generator().manual_seed(0)).double()
start = torch.cat((torch.zeros_like(noise), 0.3 * noise))
level = gi.ProjectedField(system, {"energy": system.expression}, "euclidean", parameters=problem.parameters)
flows: dict[str, gi.FlowMap] = {
    "RK4": gi.RungeKutta4(system, h),
    "RK4 on the energy": gi.ProjectedStep(gi.RungeKutta4(level, h)),
    "Verlet": gi.Verlet(system, h),
    "reference": gi.BlanesMoanS6(system, h / 4),
}

# %%
# The runs
# --------
# Energies of the harmonic modes: ``(p . s_k)^2 / 2 + w_k^2 (q . s_k)^2 / 2`` with ``w_k = 2 sin(pi k / (2 n +
# 2))``.
number = torch.arange(1, n + 1, dtype=torch.float64)
modes = math.sqrt(2 / (n + 1)) * torch.sin(math.pi / (n + 1) * number.unsqueeze(-1) * number)
rates = 2 * torch.sin(math.pi / (2 * n + 2) * number)


def mode_energies(x: Tensor) -> Tensor:
    """Energies ``(..., n)`` of the modes of states ``(..., 2 n)``."""
    q, p = x.split(n, -1)
    return ((p @ modes).square() + (rates * (q @ modes)).square()) / 2


errors, shares = {}, {}
first = system.energy(start)
for name, flow in flows.items():
    count = round(steps * h / flow.h)
    gi.rollout(flow, start, 10, backend=backend)  # compiles
    started = time.perf_counter()
    run = gi.rollout(flow, start, count, every=count // samples, backend=backend)
    seconds = time.perf_counter() - started
    errors[name] = (system.energy(run.states) / first - 1).abs()
    energies = mode_energies(run.states)[samples // 2 :].mean(0)
    shares[name] = 100 * energies / energies.sum()
    print(
        f"{name:>17}: {count:.0e} steps in {seconds:.2f} s, energy off by {float(errors[name][-1]):.1e}; "
        f"modes in the second half {' '.join(f'{part:.1f}' for part in shares[name].tolist())} %"
    )

# %%
# Pictures
# --------
# Left: the energy. Right: how it is shared, on average over the second half.
figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
clock = h * (steps // samples) * torch.arange(samples + 1)
colors = dict(zip(flows, [plotting.PALETTE[k] for k in (3, 1, 0, 2)], strict=True))
for name, error in errors.items():
    panels[0].semilogy(clock[1:] / 1000, error[1:] + 1e-17, color=colors[name], lw=0.8, label=name)
for place, name in enumerate(("reference", "Verlet", "RK4 on the energy")):
    places = (number + 0.27 * (place - 1)).tolist()
    panels[1].bar(places, shares[name].tolist(), 0.25, color=colors[name], label=name)
panels[0].set(
    xlabel="time / 1000", ylabel="relative energy error", title=f"{n} particles, {steps:,} steps of {h}"
)
panels[0].legend(loc=(0.03, 0.2), ncols=2)
panels[1].set(xlabel="mode, slow to fast", ylabel="share of the energy (%)", title="mean, second half")
panels[1].legend()
figure.savefig(arguments.figure, dpi=110)
