"""
A hundred million steps without drift
=====================================

The system of Hénon and Heiles, 64 orbits of one energy, a hundred million steps each: a splitting method of
order 4 keeps its energy error where it was after the first hundred steps, while the classical Runge-Kutta
method of the same order and step loses energy all the time. Nothing but samples of the energy is stored,
since the loop over the steps is compiled and looks at the energy itself.

Run ``python examples/plot_long_run.py --size full``; it writes ``long_run.png``. Without ``--size full`` it
makes a million steps.
"""

# %%
# Orbits of one energy
# --------------------
# They start on the section ``q1 = 0`` of the benchmark orbit of the ready problem, with momenta of the same
# length in different directions.
from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from geomlearn import integrators as gi
from geomlearn import plotting

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("long_run.png"))
arguments, _ = parser.parse_known_args()
orbits, steps = {"full": (64, 10**8), "medium": (64, 10**6), "small": (4, 20_000)}[arguments.size]

problem = gi.zoo.henon_heiles()
q, p = problem.start.split(2)
angle = torch.linspace(0, torch.pi, orbits + 1, dtype=torch.float64)[:-1] + torch.atan2(p[1], p[0])
x = torch.cat((q.expand(orbits, 2), p.norm() * torch.stack((angle.cos(), angle.sin()), -1)), -1)
print(f"{orbits} orbits of energy {float(problem.system.energy(x[0])):.6f}, first the benchmark orbit")

# %%
# The runs
# --------
# Orbits run side by side in vector registers, and blocks of them on all cores. The error is relative to the
# first energy.
h, samples = 0.05, 2000
errors: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
for method in (gi.RungeKutta4, gi.BlanesMoanS6):
    flow = method(problem.system, h)
    gi.rollout(flow, x, 10, observe=["energy"], backend="numba")  # compiles
    started = time.perf_counter()
    run = gi.rollout(
        flow, x, steps, steps, observe=["energy"], observe_every=steps // samples, backend="numba"
    )
    seconds = time.perf_counter() - started
    run.raise_for_status()
    energy = run.observations["energy"]
    error = energy / energy[0] - 1
    errors[method.__name__] = (run.observation_times, error)
    drift = gi.measure_drift(run.observation_times.numpy(), error[:, 0].numpy())
    growth = gi.measure_growth(error.numpy())
    print(
        f"{method.__name__}: {orbits * steps:.1e} steps in {seconds:.1f} s; largest error "
        f"{float(error.abs().max()):.1e}, growth t^{growth.exponent:.2f} ({growth.law}), benchmark orbit "
        f"{drift.slope:.1e} ± {drift.standard_error:.0e} per unit of time: "
        f"{'drifts' if drift.significant else 'no drift'}"
    )

# %%
# Pictures
# --------
# Left: the largest error of all orbits so far, on logarithmic axes. Right: every sample of the benchmark
# orbit by the splitting method.
figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for color, (name, (times, error)) in zip(plotting.PALETTE[1::-1], errors.items(), strict=True):
    largest = error.abs().amax(1).cummax(0).values
    panels[0].loglog(times[1:], largest[1:], color=color, label=name)
panels[0].set(xlabel="time", ylabel="relative energy error", title=f"{orbits} orbits, {steps:,} steps of {h}")
panels[0].legend()
times, error = errors["BlanesMoanS6"]
panels[1].plot(times, error[:, 0], ".", ms=2, color=plotting.PALETTE[0])
panels[1].axhline(0, color="0.6", lw=0.8)
panels[1].set(xlabel="time", ylabel="relative energy error", title="BlanesMoanS6, the benchmark orbit")
figure.savefig(arguments.figure, dpi=150)
