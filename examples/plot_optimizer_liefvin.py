"""
A LieFVIN by every optimizer
============================

A driven pendulum, seen as a body on SO(3), is learned from a few windows of its motion, by optimizers that
``fit`` knows by name. With all windows in each step the gradients are exact: there Levenberg and Marquardt's
method, which takes derivatives of every residual, ends far below all that take the gradient alone.

Run ``python examples/plot_optimizer_liefvin.py --size full``; it writes ``optimizer_liefvin.png``.
"""

# %%
# Windows, and a model for each optimizer
# ---------------------------------------
from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch

from geomlearn import LieFVIN, fit, lie, plotting
from geomlearn.data import planar_pendulum_windows

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("optimizer_liefvin.png"))
arguments, _ = parser.parse_known_args()
steps, trajectories = {"full": (2000, 16), "medium": (150, 4), "small": (6, 1)}[arguments.size]
torch.set_num_threads(1)
train, test = planar_pendulum_windows(seed=0, trajectories=trajectories)


def model() -> LieFVIN:
    """A model with the same first weights each time."""
    return LieFVIN(
        lie.SO3,
        h=train.h,
        inertia=torch.eye(3, dtype=torch.float64) / 3,
        input_gain=1,
        generator=torch.Generator().manual_seed(0),
    )


# %%
# Runs
# ----
# Rates were chosen by hand, one for each name, and are kept through the run; Levenberg-Marquardt has none and
# makes a twentieth of the steps.
NAMES: dict[str, dict[str, Any]] = {
    "adamw": {"lr": 1e-2},
    "sgd": {"lr": 1e-1},
    "bregman": {"lr": 20.0},
    "bravo": {"lr": 20.0},
    "levenberg-marquardt": {},
}
figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for color, (name, options) in zip(plotting.PALETTE, NAMES.items(), strict=True):
    learned, started = model(), time.perf_counter()
    count = max(steps // 20, 2) if name == "levenberg-marquardt" else steps
    history = fit(
        learned,
        train,
        validation=test,
        steps=count,
        optimizer=name,
        schedule=None,
        validate_every=max(count // 10, 1),
        restore_best=False,
        progress=False,
        **options,
    )
    seconds = time.perf_counter() - started
    losses = torch.tensor(history.losses)
    print(f"{name:20s} {count} steps in {seconds:.1f} s: {float(losses[0]):.2e} -> {float(losses[-1]):.2e}")
    passed = torch.linspace(0, seconds, len(losses))
    panels[0].loglog(torch.arange(1, len(losses) + 1), losses, color=color, label=name, lw=1.3)
    panels[1].semilogy(passed, losses, color=color, label=name, lw=1.3)
panels[0].set(xlabel="step", ylabel="training loss", title=f"{len(train.states)} windows of a pendulum")
panels[1].set(xlabel="seconds", ylabel="training loss", title="the same over time")
panels[0].legend()
figure.savefig(arguments.figure, dpi=110)
