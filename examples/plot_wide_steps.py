"""
Wide steps: two kinetic terms for a heavy top
=============================================

A step of the variational integrator solves an implicit equation. With the trace term, that of the LieFVIN
paper, it keeps the energy of a free body to rounding, but can turn the body by about 1 rad at most: beyond
that the equation has no admissible solution, and a rollout says so. With the Cayley term every step is
solvable, at the price of a larger energy oscillation. Both maps are symplectic and of order 2.

Run ``python examples/plot_wide_steps.py``; it writes ``wide_steps.png``.
"""

# %%
# A heavy top
# -----------
from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from geomlearn import lie, plotting, rollout
from integrators import LinearPotential, RigidBodyIntegrator

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "small"), default="full")
parser.add_argument("--figure", type=Path, default=Path("wide_steps.png"))
arguments, _ = parser.parse_known_args()
time, count, speeds = (50.0, 400, 31) if arguments.size == "full" else (5.0, 40, 7)

COLORS = {"trace": plotting.PALETTE[0], "cayley": plotting.PALETTE[1]}
moments = torch.tensor([1.0, 2.0, 2.8], dtype=torch.float64)
weight = LinearPotential.gravity(mass=0.2, center_of_mass=[0.3, 0.2, 1.0])


def top(kinetic: str, h: float) -> RigidBodyIntegrator:
    """The top on a pivot, its centre of mass off every axis."""
    return RigidBodyIntegrator(lie.SO3, h, torch.diag(moments), weight, kinetic=kinetic)


# %%
# Which steps can be solved
# -------------------------
# Bodies that spin about random axes take one step. The share of them that fails is a matter of
# ``h |omega|``, the angle that a step has to turn.
h = 0.1
generator = torch.Generator().manual_seed(0)
axes = torch.nn.functional.normalize(torch.randn(count, 3, dtype=torch.float64, generator=generator), dim=-1)
attitude = lie.SO3.random(count, dtype=torch.float64, generator=generator)
turns = torch.linspace(0.1, 3.1, speeds, dtype=torch.float64)


def solved(kinetic: str, turn: Tensor) -> float:
    """Per cent of the bodies whose step was solved."""
    flow = top(kinetic, h)
    start = flow.space.pack(R=attitude, omega=turn / h * axes)
    return 100 * float((rollout(flow, start, steps=1, backend="torch").failed_at < 0).double().mean())


shares = {kinetic: [solved(kinetic, turn) for turn in turns] for kinetic in COLORS}

# %%
# What a wide step costs
# ----------------------
# One spinning top at ever larger steps. A trajectory ends at the first step that cannot be solved; the
# picture leaves those out.
omega = torch.tensor([0.5, 1.0, 0.2], dtype=torch.float64)
steps = [0.025, 0.05, 0.1, 0.2, 0.4, 0.8]
deviations: dict[str, list[float]] = {kinetic: [] for kinetic in COLORS}
for kinetic in COLORS:
    for h in steps:
        flow = top(kinetic, h)
        x0 = flow.space.pack(R=lie.SO3.identity(dtype=torch.float64), omega=omega)
        run = rollout(flow, x0, steps=round(time / h), observe="energy", backend="torch")
        energy = run.observations["energy"]
        deviation = float((energy - energy[0]).abs().max())
        if run.ok:
            deviations[kinetic].append(deviation)
        end = "" if run.ok else f", ends at step {int(run.failed_at)} of {run.steps}"
        print(f"{kinetic:7s} h = {h:5.3f} s  largest energy deviation {deviation:.2e} J{end}")

# %%
# The picture
# -----------
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
for kinetic, colour in COLORS.items():
    left.plot(turns, shares[kinetic], "o-", ms=3, color=colour, label=f"{kinetic} term")
    kept = deviations[kinetic]
    right.loglog(steps[: len(kept)], kept, "o-", ms=4, color=colour, label=f"{kinetic} term")
left.set(xlabel="h |omega| (rad per step)", ylabel="steps solved (%)", ylim=(-5, 105))
left.set_title("Solvable steps")
right.set(xlabel="step h (s)", ylabel="largest energy deviation (J)")
right.set_title(f"Energy over {time:.0f} s")
right.set_xticks(steps, [f"{step:g}" for step in steps])
right.minorticks_off()
left.legend(frameon=False)
right.legend(frameon=False)
figure.savefig(arguments.figure, dpi=130)
