"""LieFVIN against a Hamiltonian neural ODE with the same networks, and compiled against torch rollouts.

The peer integrates the port-Hamiltonian equations on SO(3) with torchdiffeq's ``rk4`` at the same step.
Its potential, inertia and input gain are modules of the same kind and size; its field takes the
derivatives of the Hamiltonian with autograd, as the published code does. Both sides run in one process,
in turns; the ratios are medians over the turns. Exits 1 if a ratio is below its goal.

    python benchmarks/liefvin.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# The scripts here are called like packages, which Python would find first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from geomlearn import LieFVIN, lie, rollout  # noqa: E402
from geomlearn.losses import velocity_position_loss  # noqa: E402
from geomlearn.nn import LearnedMatrix, LogCholeskyInertia, NeuralPotential  # noqa: E402

WINDOW = 9
H = 0.02
GOALS = {
    "training step, batch 160": 5.0,
    "prediction, batch 1": 6.0,
    "prediction, batch 64": 6.0,
    "compiled rollout, batch 1": 100.0,
    "compiled rollout, batch 4096": 3.0,
}
"""Smallest ratio (peer's time over ours) that passes."""


class HamiltonianODE(nn.Module):
    """Field of ``(rows of R, omega, u)`` under ``H = p J^-1 p / 2 + V(R)``, ``p = J omega``."""

    def __init__(self, closed_gradient: bool) -> None:
        super().__init__()
        self.inertia = LogCholeskyInertia()
        self.potential = NeuralPotential(lie.SO3, hidden=(10, 10))
        self.gain = LearnedMatrix(torch.eye(3, 1, dtype=torch.float64))
        self.closed_gradient = closed_gradient

    def forward(self, _: Tensor, y: Tensor) -> Tensor:
        """Time derivative ``(..., 13)`` of ``(R, omega, u)``."""
        rotation, omega, u = y[..., :9].unflatten(-1, (3, 3)), y[..., 9:12], y[..., 12:]
        inertia = self.inertia()
        inverse = torch.linalg.inv(inertia)
        p = omega @ inertia
        if self.closed_gradient:
            slope_p, (slope_r,) = p @ inverse, self.potential.gradient(rotation)
        else:
            with torch.enable_grad():
                training = torch.is_grad_enabled() and y.requires_grad
                r, q = rotation.requires_grad_(), p.requires_grad_()
                energy = 0.5 * (q @ inverse * q).sum() + self.potential(r).sum()
                slope_r, slope_p = torch.autograd.grad(energy, (r, q), create_graph=training or self.training)
        cross = torch.linalg.cross
        turned = cross(rotation, slope_p.unsqueeze(-2))
        force = cross(p, slope_p) + cross(rotation, slope_r).sum(-2) + u @ self.gain().mT
        return torch.cat((turned.flatten(-2), force @ inverse, torch.zeros_like(u)), dim=-1)


class Pair(NamedTuple):
    """Times of two sides that were run in turns."""

    ours: float
    peer: float
    ratio: float


def paired(
    ours: Callable[[], object], peer: Callable[[], object], repeats: int, work: tuple[int, int] = (1, 1)
) -> Pair:
    """Median seconds of two functions, each per its amount of work, and the median of the turns' ratios."""
    times: tuple[list[float], list[float]] = ([], [])
    for function in (ours, peer):
        function()
    for _ in range(repeats):
        for column, function in zip(times, (ours, peer), strict=True):
            start = time.perf_counter()
            function()
            column.append(time.perf_counter() - start)
    mine, theirs = ([t / amount for t in column] for column, amount in zip(times, work, strict=True))
    ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
    return Pair(statistics.median(mine), statistics.median(theirs), statistics.median(ratios))


def states(count: int, generator: torch.Generator) -> Tensor:
    """Random orientations at moderate speeds."""
    rotation = lie.SO3.random(count, generator=generator, dtype=torch.float64).flatten(-2)
    omega = torch.randn(count, 3, dtype=torch.float64, generator=generator)
    return torch.cat((rotation, omega), dim=-1)


def training_ratios(model: LieFVIN, generator: torch.Generator, repeats: int) -> dict[str, Pair]:
    """One optimizer-ready gradient of the loss over windows of 10 samples, batch 160."""
    from torchdiffeq import odeint, odeint_adjoint

    x = states(160, generator)
    u = torch.randn(160, 1, dtype=torch.float64, generator=generator)
    controls = u.expand(WINDOW, 160, 1)
    target = model.unroll(x, controls).detach()
    times = torch.arange(WINDOW + 1, dtype=torch.float64) * H
    start = torch.cat((x, u), dim=-1)

    def ours() -> None:
        model.zero_grad()
        velocity_position_loss(model.unroll(x, controls), target, model.space).backward()

    def peer(field: HamiltonianODE, solver: Callable[..., Tensor]) -> Callable[[], None]:
        def step() -> None:
            field.zero_grad()
            predicted = solver(field, start, times, method="rk4")[1:, :, :12]
            velocity_position_loss(predicted, target, model.space).backward()

        return step

    found = {}
    for name, closed, solver in (
        ("training step, batch 160", False, odeint),
        ("training step, batch 160 (adjoint)", False, odeint_adjoint),
        ("training step, batch 160 (our gradient in the peer)", True, odeint),
    ):
        found[name] = paired(ours, peer(HamiltonianODE(closed), solver), repeats)
    return found


def prediction_ratios(model: LieFVIN, generator: torch.Generator, repeats: int) -> dict[str, Pair]:
    """Nine steps without gradients."""
    from torchdiffeq import odeint

    field = HamiltonianODE(closed_gradient=False).eval()
    times = torch.arange(WINDOW + 1, dtype=torch.float64) * H
    found = {}
    for batch in (1, 64):
        x = states(batch, generator)
        u = torch.randn(batch, 1, dtype=torch.float64, generator=generator)
        controls, start = u.expand(WINDOW, batch, 1), torch.cat((x, u), dim=-1)
        with torch.no_grad():
            found[f"prediction, batch {batch}"] = paired(
                lambda x=x, c=controls: model.unroll(x, c),  # type: ignore[misc]
                lambda s=start: odeint(field, s, times, method="rk4"),  # type: ignore[misc]
                repeats,
            )
    return found


def rollout_ratios(model: LieFVIN, generator: torch.Generator, repeats: int) -> dict[str, Pair]:
    """The same rollout on the compiled kernel and on torch, seconds per step."""
    found = {}
    for batch, torch_steps, kernel_steps in ((1, 200, 100_000), (4096, 10, 1000)):
        x = states(batch, generator)

        def run(backend: str, steps: int, x: Tensor = x) -> Callable[[], object]:
            return lambda: rollout(model, x, steps=steps, every=steps, backend=backend, progress=False)

        work = (kernel_steps, torch_steps)
        found[f"compiled rollout, batch {batch}"] = paired(
            run("numba", kernel_steps), run("torch", torch_steps), repeats, work
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--save", type=Path, help="write the ratios to this JSON file")
    arguments = parser.parse_args()
    try:
        import torchdiffeq  # noqa: F401
    except ImportError:
        print("skipped: torchdiffeq is not installed (pip install geomlearn[bench])")
        return 0
    generator = torch.Generator().manual_seed(0)
    model = LieFVIN(
        lie.SO3,
        h=H,
        inertia=LogCholeskyInertia(trace=3.0),
        input_gain=LearnedMatrix(torch.eye(3, 1, dtype=torch.float64)),
    )
    found = prediction_ratios(model, generator, arguments.repeats)
    found |= training_ratios(model, generator, arguments.repeats)
    found |= rollout_ratios(model, generator, max(3, arguments.repeats // 5))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print(f"{'':54s} {'ours (ms)':>10s} {'peer (ms)':>10s} {'ratio':>8s} {'goal':>7s}")
    missed = []
    for name, pair in found.items():
        goal = GOALS.get(name)
        print(f"{name:54s} {1e3 * pair.ours:10.4f} {1e3 * pair.peer:10.3f} {pair.ratio:8.1f} {goal or '':>7}")
        if goal is not None and pair.ratio < goal:
            missed.append(name)
    if arguments.save:
        arguments.save.write_text(
            json.dumps({name: round(pair.ratio, 2) for name, pair in found.items()}, indent=2) + "\n"
        )
    for name in missed:
        print(f"below its goal: {name}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
