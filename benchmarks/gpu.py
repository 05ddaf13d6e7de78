"""Rates of compiled rollouts on an NVIDIA GPU beside the CPU of the same machine, and their agreement.

Each flow map runs in float64 and, where its kernel can, in float32, on the GPU with one thread for each
trajectory and on the CPU with all cores. The rate counts steps of all trajectories, copies between host and
device included, compilation left out. Both start from the same states; after 100 steps the largest difference
must be below 1e-10 in float64 and 1e-3 in float32. Without a GPU it says so and ends.

    python benchmarks/gpu.py --trajectories 1000000
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

# The scripts here are called like packages, which Python would find first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from geomlearn import integrators as gi  # noqa: E402
from geomlearn import lie  # noqa: E402
from integrators import FlowMap  # noqa: E402

LARGEST_DIFFERENCE = {torch.float64: 1e-10, torch.float32: 1e-3}
COMPARED_STEPS = 100


def flows(dtype: torch.dtype) -> dict[str, tuple[FlowMap, Tensor]]:
    """Flow maps by name, and a state of each."""
    network = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    for weight in network.parameters():
        nn.init.normal_(weight, 0, 0.1, generator=torch.Generator().manual_seed(0))
    kepler, henon, pendulum, chain = (
        gi.zoo.kepler(),
        gi.zoo.henon_heiles(),
        gi.zoo.double_pendulum(),
        gi.zoo.fput(),
    )
    learned = gi.MechanicalSystem(2, network.to(dtype))
    table: dict[str, tuple[FlowMap, Tensor]] = {
        "Hénon-Heiles, Verlet": (gi.Verlet(henon.system.to(dtype), 0.05), henon.start),
        "Hénon-Heiles, SRKN6": (gi.SRKN6(henon.system.to(dtype), 0.2), henon.start),
        "Kepler, KahanLi8": (gi.KahanLi8(kepler.system.to(dtype), 0.05), kepler.start),
        "FPUT of 32, Verlet": (gi.Verlet(chain.system.to(dtype), 0.2), chain.start),
        "double pendulum, Gauss of order 4": (gi.GaussLegendre(pendulum.system, 0.01), pendulum.start),
        "potential 2 x 64, Verlet": (gi.Verlet(learned, 0.05), henon.start),
    }
    if dtype == torch.float64:
        inertia = torch.diag(torch.tensor([2.0, 1.0, 2 / 3], dtype=dtype))
        body = gi.RigidBodyIntegrator(lie.SO3, 0.05, inertia)
        spin = torch.tensor([0.3, 0.2, 1.0], dtype=dtype)
        state = body.space.pack(R=torch.eye(3, dtype=dtype), omega=spin)
        table["free rigid body, variational"] = (body, state)
    return {name: (flow, start.to(dtype)) for name, (flow, start) in table.items() if flow.dtype == dtype}


def spread(flow: FlowMap, start: Tensor, count: int) -> Tensor:
    """States near the given one: its vectors scaled by up to 1 %, its rotations kept."""
    scale = torch.linspace(0.99, 1.0, count, dtype=start.dtype)
    blocks = {
        part.name: value if part.manifold is not None else scale.reshape(-1, *[1] * len(part.shape)) * value
        for part, value in zip(flow.space.parts, flow.space.view(start).values(), strict=True)
    }
    return flow.space.pack(**blocks)


def rate(flow: FlowMap, x: Tensor, steps: int, backend: str) -> float:
    """Steps of all trajectories in a second, the best of three runs."""
    best = float("inf")
    gi.rollout(flow, x, 1, backend=backend, progress=False)
    for _ in range(3):
        begun = time.perf_counter()
        gi.rollout(flow, x, steps, steps, backend=backend, progress=False)
        best = min(best, time.perf_counter() - begun)
    return x.shape[0] * steps / best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trajectories", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=1000)
    sizes = parser.parse_args()
    if not torch.cuda.is_available():
        print("torch finds no NVIDIA GPU: nothing was measured")
        return 0
    print(f"{torch.cuda.get_device_name()}, {sizes.trajectories} trajectories, {sizes.steps} steps")
    print(f"{'flow map':36} {'dtype':8} {'GPU':>10} {'CPU':>10} {'ratio':>7} {'difference':>11}")
    failed = 0
    for dtype, allowed in LARGEST_DIFFERENCE.items():
        for name, (flow, start) in flows(dtype).items():
            x = spread(flow, start, sizes.trajectories)
            few = x[:: max(1, len(x) // 1000)]
            there = gi.rollout(flow, few.cuda(), COMPARED_STEPS, COMPARED_STEPS, backend="cuda").final.cpu()
            here = gi.rollout(flow, few, COMPARED_STEPS, COMPARED_STEPS, backend="numba").final
            difference = float((there - here).abs().max())
            failed += not difference <= allowed
            gpu = rate(flow, x.cuda(), sizes.steps, "cuda")
            cpu = rate(flow, x[: len(x) // 10], sizes.steps, "numba")
            word = str(dtype).removeprefix("torch.")
            print(f"{name:36} {word:8} {gpu:10.3g} {cpu:10.3g} {gpu / cpu:7.1f} {difference:11.1e}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
