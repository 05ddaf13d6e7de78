"""
Steps longer than the fast oscillation
======================================

What a learned map can do that a splitting cannot: step over the fast motion. The two coupled oscillators
of the example before, with steps of 1, of which 6.3 make a fast turn, and of 10.3, which is 1.6 fast turns.
The gyroceptron keeps the slow orbits apart and closed; the Strang splitting of the known Hamiltonian at
the same steps is off, or overflows.

Run ``python examples/plot_gyroceptron_steps.py --size full``; it writes ``gyroceptron_steps.png``.
Without ``--size full`` it trains on fewer pairs, to larger losses.
"""

# %%
# Training
# --------
# Nothing but the step, and with it the angle, is different from the published experiment (Duruisseaux,
# Burby, Tang, Scientific Reports 13, 2023, 8351). A step of 10.3 turns the fast pair by 10.3 radians; the
# angle should not be near a fraction of the circle with a small denominator, and the network warns where
# it is. The fast frequency is not quite constant: it is between 0.998 and 1.008 here, and no frequency in
# between should be near a fraction either. With a step of 10 it is: where the frequency is 1.0053, five
# steps are eight turns, and orbits that pass there lose or gain action by what the network does not know,
# up to ten times as much of the energy at an equal loss.
from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch

from geomlearn import fit, plotting, rollout
from geomlearn import integrators as gi
from geomlearn.data import coupled_oscillator_windows
from geomlearn.losses import VelocityPositionLoss, relative_increment_error
from geomlearn.nn import Gyroceptron


class Size(NamedTuple):
    """How much of everything."""

    per_box: tuple[int, int]
    modules: int
    losses: tuple[float, float]
    times: tuple[float, float]
    substeps: int
    steps: int
    backend: str


SIZES = {
    "full": Size((700, 1500), 91, (4e-7, 1e-4), (5000.0, 20_000.0), 200, 1_000_000, "numba"),
    "medium": Size((300, 700), 91, (5e-6, 5e-4), (5000.0, 20_000.0), 200, 100_000, "numba"),
    "small": Size((60, 60), 12, (4e-3, 5e-1), (30.0, 100.0), 20, 100, "torch"),
}
parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=SIZES, default="medium")
parser.add_argument("--figure", type=Path, default=Path("gyroceptron_steps.png"))
arguments, _ = parser.parse_known_args()
size = SIZES[arguments.size]

epsilon = 0.01
problem = gi.zoo.coupled_oscillators(epsilon)
loss = VelocityPositionLoss({"q": [epsilon, 1.0], "p": [epsilon, 1.0]})
PUBLISHED = 2 * 512  # the loss is a mean over both positions and both momenta, the published one a sum
starts = torch.zeros(7, 4, dtype=torch.float64)
starts[:, 0] = 1.5
starts[:, 1] = torch.tensor([0.0, 0.15, 0.3, 0.4, 1.0, 1.45, 1.55], dtype=torch.float64)


def trained(h: float, per_box: int, target: float) -> Gyroceptron:
    """Fit a gyroceptron of step ``h`` and say what came out."""
    net = Gyroceptron(
        dim=4,
        epsilon=epsilon,
        circle_weights=(1, 0),
        angle=h,
        h=h,
        near_identity_size=size.modules,
        generator=torch.Generator().manual_seed(0),
    )
    clock = time.process_time()
    history = fit(
        net,
        coupled_oscillator_windows(0, per_box=per_box, h=h),
        loss=loss,
        optimizer="levenberg-marquardt",
        stop_at=target / PUBLISHED,
        steps=1000,
        progress=False,
    )
    seconds = time.process_time() - clock
    fresh = coupled_oscillator_windows(1, per_box=2000, h=h)
    with torch.no_grad():
        reached = PUBLISHED * float(loss(net, fresh.states))
    error = relative_increment_error(net, fresh)
    (q1, q2), (p1, p2) = error["q"][0].tolist(), error["p"][0].tolist()
    print(
        f"step {h:g}: loss {PUBLISHED * history.losses[-1]:.1e}, on fresh pairs {reached:.1e}, in"
        f" {history.steps} steps and {seconds:.0f} s of processor time; error relative to the step: fast"
        f" {q1:.0e} {p1:.0e}, slow {q2:.2%} {p2:.2%}"
    )
    return net


# %%
# Rollouts
# --------
# The reference is the splitting with steps of 0.05 or shorter. The million steps are for the fast action
# alone: no orbit is known for so long a time, but its action is, within ``ε``. A long step needs a small
# loss for it: at losses above 2e-4 one of the orbits may leave the region of the data after a while, where
# the network knows nothing.
KICKS = "eps*(q2**2/2 + q1*q2*sin(2*q1 + 2*q2))"
quadratic = gi.Hamiltonian("(q1**2 + p1**2)/2 + eps*p2**2/2", {"eps": epsilon}, positions="q1 q2")
rest = gi.Hamiltonian(KICKS, {"eps": epsilon}, momenta="p1 p2")


def strang(h: float) -> gi.FlowMap:
    """Kicks by the slow forces, and between them the exact flow of what is quadratic."""
    return gi.Strang([gi.KickFlow(rest, h), gi.LinearFlow.of(quadratic, h)], h, problem.system)


def summary(name: str, x: torch.Tensor, true: torch.Tensor, lost: int) -> None:
    """Print slow and energy errors of orbits ``(samples, orbits, 4)``."""
    slow = (x[-1] - true[-1])[:, 1::2].norm(dim=-1)
    energy = (problem.system.energy(x) - problem.system.energy(x[0])).abs().max()
    print(
        f"  {name}: slow error {float(slow.min()):.1e} to {float(slow.max()):.1e}, energy error"
        f" {float(energy):.1e}, {lost} of 7 orbits lost"
    )


figure, panels = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
for k, (panel, h, span) in enumerate(zip(panels, (1.0, 10.3), size.times, strict=True)):
    net, splitting = trained(h, size.per_box[k], size.losses[k]), strang(h)
    count = round(span / h)
    true = rollout(
        splitting.with_step(h / size.substeps),
        starts,
        count * size.substeps,
        size.substeps,
        backend=size.backend,
    ).states
    print(f"to time {span:g}, {count} steps:")
    found = rollout(net, starts, count, backend=size.backend)
    split = rollout(splitting, starts, count, backend=size.backend)
    for name, run in (("gyroceptron", found), ("Strang splitting", split)):
        summary(name, run.states, true, int((run.status > 1).sum()))
    long = rollout(
        net,
        starts,
        size.steps,
        size.steps,
        observe=["adiabatic_invariant"],
        observe_every=max(size.steps // 1000, 1),
        backend=size.backend,
    )
    change = long.observations["adiabatic_invariant"] / long.observations["adiabatic_invariant"][0] - 1
    print(
        f"  {size.steps:,} steps: largest change of the adiabatic invariant"
        f" {float(change[: len(change) // 10].abs().max()):.2g} in the first tenth,"
        f" {float(change.abs().max()):.2g} in all"
    )
    thin = max(count // 800, 1)
    for orbit in range(len(starts)):
        first = orbit == 0
        panel.plot(
            *split.states[::thin, orbit, 1::2].T,
            ".",
            ms=1.5,
            color=plotting.PALETTE[1],
            label="Strang" if first else None,
        )
        panel.plot(*true[:, orbit, 1::2].T, color="0.75", lw=3, label="true" if first else None)
        panel.plot(
            *found.states[::thin, orbit, 1::2].T,
            ".",
            ms=1.5,
            color=plotting.PALETTE[0],
            label="gyroceptron" if first else None,
        )
    panel.set(
        xlim=(-1.3, 1.9),
        ylim=(-1.3, 1.3),
        xlabel="$q_2$",
        ylabel="$p_2$",
        title=f"step {h:g}, {h / (2 * torch.pi):.2g} fast turns, to time {span:g}",
    )
panels[0].legend(loc="upper right", markerscale=4)
figure.savefig(arguments.figure, dpi=92)
