"""
Learn a pendulum from MuJoCo and roll it out for a million steps
================================================================

A rigid body hangs on a ball joint and on a spring. MuJoCo simulates it; from short recordings of its
orientation and angular velocity we learn inertia and potential energy as a LieFVIN on SO(3). The learned
map is symplectic whatever its weights, so a rollout of a million steps neither gains nor loses energy
and stays on the rotation group. An unstructured network trained on the same data does neither.

Run ``make demo``, or ``python examples/main_job.py --size small`` for a quick look.
"""

# sphinx_gallery_thumbnail_path = '_static/main_job.png'

# %%
# The body, the sizes of the job, and what is true
# ------------------------------------------------
from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from torch import Tensor

from geomlearn import LieFVIN, certify, fit, lie, rollout
from geomlearn.data import random_rotations, rigid_body_parameters, simulate, windows
from geomlearn.nn import DirectFlow, NeuralPotential
from integrators import FlowMap

BODY = """
<mujoco model="pendulum on a spring">
  <option timestep="0.01" integrator="RK4" gravity="0 0 -9.81"><flag contact="disable"/></option>
  <worldbody>
    <site name="anchor" pos="0.5 0 -0.2"/>
    <body name="pendulum">
      <joint name="pivot" type="ball"/>
      <inertial pos="0.05 0 -0.3" mass="1" diaginertia="0.09 0.11 0.07"/>
      <site name="tip" pos="0 0 -0.5"/>
    </body>
  </worldbody>
  <tendon>
    <spatial name="spring" stiffness="8" springlength="0.3"><site site="anchor"/><site site="tip"/></spatial>
  </tendon>
  <actuator>
    <motor joint="pivot" gear="1 0 0"/><motor joint="pivot" gear="0 1 0"/><motor joint="pivot" gear="0 0 1"/>
  </actuator>
</mujoco>
"""


class Size(NamedTuple):
    """How much of everything."""

    recordings: int
    training_steps: int
    steps: int
    every: int
    hidden: tuple[int, ...]


SIZES = {
    "full": Size(recordings=96, training_steps=4000, steps=1_000_000, every=500, hidden=(24, 24)),
    "small": Size(recordings=16, training_steps=200, steps=20_000, every=100, hidden=(10,)),
}

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=SIZES, default="full")
parser.add_argument("--figure", type=Path, default=Path("main_job.png"))
arguments, _ = parser.parse_known_args()
size = SIZES[arguments.size]
h = 0.02
console = Console()
say = console.print
generator = torch.Generator().manual_seed(1)
body = rigid_body_parameters(BODY)


def true_potential(R: Tensor) -> Tensor:
    """Gravity and the spring between the anchor (0.5, 0, -0.2) and the tip of the body."""
    tip = R @ torch.tensor([0.0, 0.0, -0.5], dtype=R.dtype)
    length = torch.linalg.vector_norm(tip - torch.tensor([0.5, 0.0, -0.2], dtype=R.dtype), dim=-1)
    return -body.mass * (R @ body.com) @ body.gravity + 4.0 * (length - 0.3) ** 2


def true_energy(states: Tensor) -> Tensor:
    """Energy in joules of states (..., 12) of the true body."""
    R, omega = states[..., :9].unflatten(-1, (3, 3)), states[..., 9:]
    return 0.5 * (omega @ body.inertia * omega).sum(-1) + true_potential(R)


# %%
# Data: one second of motion from random starts, each under a random constant torque
# ----------------------------------------------------------------------------------
clock = time.perf_counter()
count = size.recordings
R0 = random_rotations(count, generator, max_angle=2.0)
omega0 = torch.randn(count, 3, dtype=torch.float64, generator=generator)
torques = torch.randn(count, 1, 3, dtype=torch.float64, generator=generator) * torch.tensor([0.4, 0.4, 0.2])
start = torch.cat((R0.flatten(-2), omega0), dim=-1)
recordings = simulate(BODY, start, steps=50, h=h, controls=torques.expand(count, 50, 3))
training, test = windows(recordings, length=10, stride=5).split(0.8, generator=generator)
say(f"[bold]data[/]      {training}\n          in {time.perf_counter() - clock:.1f} s")

# %%
# Learning: the inertia and the potential are unknown, the motors are known
# -------------------------------------------------------------------------
clock = time.perf_counter()
model = LieFVIN(
    lie.SO3,
    h=h,
    potential=NeuralPotential(lie.SO3, hidden=size.hidden, generator=generator),
    input_gain=torch.eye(3, dtype=torch.float64),
)


def train(flow: FlowMap, lr: float) -> float:
    """Fit a flow map to the windows; the loss on the test windows."""
    history = fit(
        flow,
        training,
        validation=test,
        validate_every=100,
        optimizer="adam",
        lr=lr,
        steps=size.training_steps,
        batch_size=128,
        gradient_clip=1.0,
    )
    return float(history.best_loss or float("nan"))


loss = train(model, lr=2e-2)
error = float((model.inertia().detach() - body.inertia).norm() / body.inertia.norm())
say(
    f"[bold]LieFVIN[/]   test loss {loss:.2e}, inertia within {100 * error:.2f} %,"
    f" in {time.perf_counter() - clock:.0f} s"
)

# %%
# The baseline: a network that predicts the next state, trained on the same windows
# ---------------------------------------------------------------------------------
clock = time.perf_counter()
baseline = DirectFlow(lie.SO3, h=h, hidden=(64, 64), controls=3, generator=generator)
loss = train(baseline, lr=3e-3)
say(f"[bold]baseline[/]  test loss {loss:.2e}, in {time.perf_counter() - clock:.0f} s")

# %%
# A million steps
# ---------------
# The learned map runs in a compiled kernel that evaluates the learned energy inside the loop. The true
# simulator and the baseline start from the same state.
steps, every = size.steps, size.every
x0 = torch.cat((lie.SO3.exp(torch.tensor([0.9, 0.5, 0.3], dtype=torch.float64)).flatten(), torch.zeros(3)))
observe = {"energy": model.energy, "orthogonality": model.orthogonality, "true energy": true_energy}
clock = time.perf_counter()
run = rollout(model, x0, steps=steps, every=every, observe=observe, backend="numba")
seconds = time.perf_counter() - clock
say(
    f"[bold]rollout[/]   {steps} steps of the learned map in {seconds:.1f} s, {run.steps * h:.0f} s of motion"
)

clock = time.perf_counter()
structure = {"orthogonality": model.orthogonality, "true energy": true_energy}
lost = rollout(baseline, x0, steps=steps, every=every, observe=structure, backend="numba")
say(f"[bold]baseline[/]  {steps} steps in {time.perf_counter() - clock:.1f} s")

clock = time.perf_counter()
with console.status("MuJoCo simulates the same motion"):
    truth = simulate(BODY, x0, steps=steps, h=h)[0]
true_states = truth.states[::every]
say(f"[bold]MuJoCo[/]    {steps} steps in {time.perf_counter() - clock:.1f} s")

# %%
# What was kept, in numbers
# -------------------------
say(certify(model, x0, steps=steps).table())


def band(values: Tensor) -> float:
    """Range of a quantity in per cent of the pendulum's energy scale."""
    return 100 * float(values.max() - values.min()) / scale


floor = true_potential(random_rotations(20_000, generator)).min()
scale = float(true_energy(x0) - floor)
energies = {
    "learned energy on the learned map": run.observations["energy"],
    "true energy on the learned map": run.observations["true energy"],
    "true energy in MuJoCo": true_energy(true_states),
    "true energy on the baseline": lost.observations["true energy"],
}
for name, values in energies.items():
    say(f"{name:36s} band {band(values):10.3g} % of {scale:.2f} J")
for name, trajectory in (("learned map", run), ("baseline", lost)):
    say(f"{'largest |RᵀR - I|, ' + name:36s} {float(trajectory.observations['orthogonality'].max()):10.2g}")

# %%
# The picture
# -----------
#
# .. image:: /_static/main_job.png
#    :alt: Phase portraits, energy over a million steps, distance from the rotation group, learned potential
import matplotlib.pyplot as plt

from geomlearn import plotting


def tilt(states: Tensor) -> tuple[Tensor, Tensor]:
    """Angle of the body's long axis from straight down, and its rate."""
    R, omega = states[..., :9].unflatten(-1, (3, 3)), states[..., 9:]
    angle = torch.acos(R[..., 2, 2].clamp(-1, 1))
    slope = (
        R @ torch.linalg.cross(omega, torch.tensor([0.0, 0, 1], dtype=R.dtype).expand_as(omega)).unsqueeze(-1)
    )[..., 2, 0]
    return angle, -slope / torch.sin(angle)


early = 500
close = rollout(model, x0, steps=early, backend="torch").states
far = rollout(baseline, x0, steps=early, backend="torch").states
colors = {"MuJoCo": "#8d99ae", "learned map": "#1b4965", "unstructured network": "#d1495b"}
plt.rcParams.update(
    {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
)
figure, axes = plt.subplots(2, 2, figsize=(13, 9), constrained_layout=True)
portraits = {
    "MuJoCo": tilt(truth.states[:early]),
    "learned map": tilt(close),
    "unstructured network": tilt(far),
}
plotting.phase_portrait(
    axes[0, 0], portraits, coordinate="tilt (rad)", rate="tilt rate (rad/s)", colors=colors
)
fastest = 1.5 * float(portraits["MuJoCo"][1].nan_to_num().abs().max())
axes[0, 0].set(xlim=(0, 3.2), ylim=(-fastest, fastest))
axes[0, 0].set_title(f"Phase portrait, first {early * h:.0f} s")

long = {
    "learned map": (run.observation_times, run.observations["energy"]),
    "unstructured network": (lost.observation_times, lost.observations["true energy"]),
    "MuJoCo": (run.times, true_energy(true_states)),
}
plotting.deviation_over_time(axes[0, 1], long, scale=scale, limit=1.0, quantity="energy", colors=colors)
axes[0, 1].set_title(f"Energy over {steps:,} steps")

errors = {
    "learned map": (run.observation_times[1:], run.observations["orthogonality"][1:]),
    "unstructured network": (lost.observation_times[1:], lost.observations["orthogonality"][1:]),
}
plotting.error_over_time(axes[1, 0], errors, quantity="|RᵀR - I|", colors=colors)
axes[1, 0].set_title("Distance from the rotation group")

angles = torch.linspace(-torch.pi, torch.pi, 73, dtype=torch.float64)
slices = {}
with torch.no_grad():
    for name, axis in {
        "about x": (1.0, 0, 0),
        "about y": (0, 1.0, 0),
        "about (1,1,1)": (3**-0.5,) * 3,
    }.items():
        R = lie.SO3.exp(angles[:, None] * torch.tensor(axis, dtype=torch.float64))
        slices[name] = (angles, true_potential(R), model.potential(R))
plotting.learned_against_truth(axes[1, 1], slices, at="rotation angle (rad)", of="potential energy (J)")
axes[1, 1].set_title("Learned potential against truth")
figure.savefig(arguments.figure, dpi=130)
say(f"[bold]figure[/]    {arguments.figure}")
