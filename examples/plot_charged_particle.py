"""
The magnetic moment of a charged particle
=========================================

A charged particle gyrates in a strong magnetic field, and its guiding centre drifts in a potential that
varies over a gyroradius. One gyroceptron learns the map over 0.38 of a gyration for several field
strengths at once, and keeps the magnetic moment as the particle does: up to a change in proportion to ``ε
= 1 / B``, for a million steps.

Run ``python examples/plot_charged_particle.py --size full``; it writes ``charged_particle.png``. Without
``--size full`` it trains on fewer pairs and makes fewer steps.
"""

# %%
# The system
# ----------
# ``H = (q1² + p1²) / 2 + ε (cos x + cos(2 y) / 2)`` with ``x = p2 - p1`` and ``y = q2 + q1``: the
# gyration is the pair ``(q1, p1)``, the guiding centre ``(q2, p2)``, and time counts radians of the
# gyration. The magnetic moment is ``μ = (q1² + p1²) / 2``. The step is 0.382 of a turn, the smaller part
# of its golden section, which is as far from all resonances as an angle can be.
from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch

from geomlearn import Windows, fit, plotting, rollout
from geomlearn import integrators as gi
from geomlearn.data import solved_windows
from geomlearn.losses import relative_increment_error
from geomlearn.nn import Gyroceptron


class Size(NamedTuple):
    """How much of everything."""

    pairs: int
    modules: int
    training: int
    fields: tuple[float, ...]
    span: float
    steps: int
    backend: str


SIZES = {
    "full": Size(500, 91, 200, (0.05, 0.02, 0.01, 0.005), 40.0, 1_000_000, "numba"),
    "medium": Size(300, 60, 60, (0.05, 0.02, 0.01, 0.005), 40.0, 100_000, "numba"),
    "small": Size(100, 12, 15, (0.05, 0.02), 2.0, 60, "torch"),
}
parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=SIZES, default="medium")
parser.add_argument("--figure", type=Path, default=Path("charged_particle.png"))
arguments, _ = parser.parse_known_args()
size = SIZES[arguments.size]
h = math.pi * (3 - math.sqrt(5))  # golden section of a turn
BOX = torch.tensor([(-1.4, 1.4), (-1.7, 3.3), (-1.4, 1.4), (-1.3, 4.4)], dtype=torch.float64)
net = Gyroceptron(
    dim=4,
    epsilon="state",
    circle_weights=(1, 0),
    angle=h,
    h=h,
    near_identity_size=size.modules,
    generator=torch.Generator().manual_seed(0),
)


# %%
# Training
# --------
# The small parameter is the last entry of the state and multiplies the map near the identity. The network
# sees pairs at 0.05, 0.02 and 0.005, not at 0.01.
def pairs(epsilon: float, count: int, seed: int) -> Windows:
    """Steps from random states of a particle in a field ``1 / epsilon``."""
    share = torch.rand(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    starts = BOX[:, 0] + (BOX[:, 1] - BOX[:, 0]) * share
    steps = solved_windows(gi.zoo.gyrating_particle(epsilon).system, starts, h).states
    labelled = torch.cat((steps, torch.full_like(steps[..., :1], epsilon)), -1)
    return Windows.from_pairs(labelled[:, 0], labelled[:, 1], h, net.space)


seen = [epsilon for epsilon in size.fields if epsilon != 0.01]
training = Windows.concatenate(
    [pairs(epsilon, size.pairs, k) for k, epsilon in enumerate(seen)], same_recordings=False
)
clock = time.process_time()
history = fit(net, training, optimizer="levenberg-marquardt", steps=size.training, progress=False)
print(
    f"{sum(p.numel() for p in net.parameters())} weights, {len(training)} pairs: loss"
    f" {history.losses[-1]:.1e} after {history.steps} steps and {time.process_time() - clock:.0f} s of"
    " processor time"
)

# %%
# Rollouts
# --------
# Two orbits whose guiding centres are trapped, at each field. The reference is the classical Runge-Kutta
# method with 251 steps per gyration.
starts = torch.tensor([[1.0, 0.3, 0.0, 0.2], [0.5, 0.8, 0.5, 2.5]], dtype=torch.float64)
changes: dict[str, list[torch.Tensor]] = {"true": [], "gyroceptron": [], "long": []}
for epsilon in size.fields:
    problem = gi.zoo.gyrating_particle(epsilon)
    fresh = pairs(epsilon, 2000, 99)
    moving = Windows.from_pairs(fresh.states[:, 0, :4], fresh.states[:, 1, :4], h, problem.system.space)
    error = relative_increment_error(net.with_epsilon(epsilon), moving)
    reference = gi.RungeKutta4(problem.system, 0.025)
    true = rollout(reference, starts, round(size.span / epsilon / 0.025), 5, backend=size.backend).states
    flow = net.with_epsilon(epsilon)
    found = rollout(flow, starts, round(size.span / epsilon / h), backend=size.backend)
    long = rollout(flow, starts, size.steps, max(size.steps // 20_000, 1), backend=size.backend)
    for name, states in (("true", true), ("gyroceptron", found.states), ("long", long.states)):
        mu = problem.moment(states)
        changes[name].append((mu - mu[0]).abs().amax(0))
    if epsilon == size.fields[min(2, len(size.fields) - 1)]:
        shown, shown_true, shown_epsilon = found.states, true, epsilon
    first, second, third = (changes[name][-1].tolist() for name in ("true", "gyroceptron", "long"))
    print(
        f"1/B = {epsilon:g}{'' if epsilon in seen else ' (not trained on)'}: error of a step relative to the"
        f" step, slow {float(error['q'][0, 1]):.1%} {float(error['p'][0, 1]):.1%}; largest change of the"
        f" moment: true {first[0]:.1e} {first[1]:.1e}, gyroceptron {second[0]:.1e} {second[1]:.1e}, over"
        f" {size.steps:,} steps {third[0]:.1e} {third[1]:.1e}"
    )

# %%
# Pictures
# --------
# Left: guiding centres. Right: the largest change of the magnetic moment against ``1 / B``.
figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for k in range(2):
    label = ("true", "gyroceptron") if k == 0 else (None, None)
    panels[0].plot(*shown_true[:, k, 1::2].T, color="0.75", lw=2.5, label=label[0])
    panels[0].plot(*shown[:, k, 1::2].T, ".", ms=2, color=plotting.PALETTE[0], label=label[1])
panels[0].set(xlabel="$q_2$", ylabel="$p_2$", title=f"guiding centres at 1/B = {shown_epsilon:g}")
panels[0].legend(markerscale=4)
fields = torch.tensor(size.fields)
for k, color in enumerate(plotting.PALETTE[:2]):
    column = {name: torch.stack(values)[:, k] for name, values in changes.items()}
    panels[1].loglog(
        fields, column["true"], "o", ms=10, mfc="none", color=color, label=f"true, orbit {k + 1}"
    )
    panels[1].loglog(fields, column["gyroceptron"], "x", color=color, label="gyroceptron, same time")
    panels[1].loglog(fields, column["long"], "-", color=color, label=f"gyroceptron, {size.steps:,} steps")
panels[1].set(xlabel="1/B", ylabel=r"largest change of $\mu$", title="magnetic moment")
panels[1].set_xticks(size.fields, [f"{epsilon:g}" for epsilon in size.fields])
panels[1].minorticks_off()
panels[1].legend()
figure.savefig(arguments.figure, dpi=92)
