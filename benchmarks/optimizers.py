"""Steps of the optimizers beside torch's Adam and geoopt: medians of interleaved steps in one process.

The goals: a Bregman step at most 1.2 times torch's Adam with ``foreach`` at a million parameters in 50
tensors or more, and at most twice on a tiny model; Riemannian steps on frames and spheres no slower than
geoopt's.

    python benchmarks/optimizers.py     # the peer: pip install -e '.[bench-optimizers]'
    python benchmarks/optimizers.py --save benchmarks/baselines/optimizers.json

Exits 1 if a goal is missed. geoopt is skipped with a word where it is not installed. What is saved is ratios:
of times beside those of torch's Adam, or of geoopt's same method.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The scripts here are called like packages, which Python would find first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

import lie  # noqa: E402
from geomlearn.optim import BrAVO, BregmanSLC, ManifoldParameter, RiemannianAdam, RiemannianSGD  # noqa: E402

Make = Callable[[list[Tensor]], torch.optim.Optimizer]

MODELS: dict[str, tuple[list[tuple[int, ...]], int, float | None]] = {
    "tiny, 97 parameters": ([(16, 4), (16,), (1, 16), (1,)], 500, 2.0),
    "perceptron, 55 thousand": ([(64, 784), (64,), (64, 64), (64,), (10, 64), (10,)], 200, None),
    "a million in 50 tensors": ([(20_000,)] * 50, 60, 1.2),
    "four million in 64 tensors": ([(250, 250)] * 64, 30, 1.2),
}
"""Shapes, turns, and the ratio to torch's Adam that is the goal."""
FLAT: dict[str, Make] = {
    "torch Adam, foreach": lambda p: torch.optim.Adam(p, foreach=True),
    "torch Adam, loop": lambda p: torch.optim.Adam(p, foreach=False),
    "torch SGD Nesterov": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, nesterov=True),
    "BregmanSLC exponential": lambda p: BregmanSLC(p, lr=0.01),
    "BregmanSLC polynomial": lambda p: BregmanSLC(p, family="polynomial"),
    "BrAVO exponential": lambda p: BrAVO(p, lr=0.01),
}


def medians(optimizers: dict[str, torch.optim.Optimizer], turns: int) -> dict[str, float]:
    """Seconds of a step, the optimizers in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in optimizers}
    for turn in range(turns + 3):
        for name, optimizer in optimizers.items():
            start = time.perf_counter()
            optimizer.step()
            if turn >= 3:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def show(title: str, times: dict[str, float], reference: str) -> None:
    print(f"\n{title}")
    for name, seconds in times.items():
        print(f"  {name:26s} {seconds * 1e6:9.1f} us   {seconds / times[reference]:5.2f}")


def flat(ratios: dict[str, float]) -> list[str]:
    """Parameters of vector spaces; the goals that were missed."""
    missed = []
    for title, (shapes, turns, goal) in MODELS.items():
        optimizers = {}
        for name, make in FLAT.items():
            parameters = [torch.randn(shape).requires_grad_() for shape in shapes]
            for x in parameters:
                x.grad = 1e-3 * torch.randn_like(x)
            optimizers[name] = make(parameters)
        times = medians(optimizers, turns)
        show(title, times, "torch Adam, foreach")
        for name in ("BregmanSLC exponential", "BregmanSLC polynomial", "BrAVO exponential"):
            ratio = times[name] / times["torch Adam, foreach"]
            ratios[f"{title}: {name} / torch Adam"] = round(ratio, 2)
            if goal is not None and ratio > goal:
                missed.append(f"{title}, {name}: {ratio:.2f} > {goal}")
    return missed


def curved(ratios: dict[str, float]) -> list[str]:
    """Parameters on manifolds beside geoopt; the goals that were missed."""
    try:
        geoopt: Any = importlib.import_module("geoopt")
    except ImportError:
        print("\ngeoopt is not installed: no comparison on manifolds")
        return []
    missed = []
    cases = {
        "sphere of 100": (lie.Sphere(100), geoopt.Sphere(), ()),
        "1000 spheres of 100": (lie.Sphere(100), geoopt.Sphere(), (1000,)),
        "frames 50 x 4": (lie.Stiefel(50, 4), geoopt.EuclideanStiefel(), ()),
        "100 frames 50 x 4": (lie.Stiefel(50, 4), geoopt.EuclideanStiefel(), (100,)),
    }
    for title, (manifold, theirs, batch) in cases.items():
        start = manifold.random(*batch)
        gradient = 1e-3 * torch.randn_like(start)

        def ours(
            make: Make, manifold: Any = manifold, start: Tensor = start, gradient: Tensor = gradient
        ) -> torch.optim.Optimizer:
            x = ManifoldParameter(manifold, start)
            x.grad = gradient.clone()
            return make([x])

        def peer(
            make: Make, theirs: Any = theirs, start: Tensor = start, gradient: Tensor = gradient
        ) -> torch.optim.Optimizer:
            x = geoopt.ManifoldParameter(start.clone(), manifold=theirs)
            x.grad = gradient.clone()
            return make([x])

        times = medians(
            {
                "geoopt SGD": peer(lambda p: geoopt.optim.RiemannianSGD(p, lr=1e-2, momentum=0.9)),
                "RiemannianSGD": ours(lambda p: RiemannianSGD(p, lr=1e-2, momentum=0.9)),
                "geoopt Adam": peer(lambda p: geoopt.optim.RiemannianAdam(p, lr=1e-2)),
                "RiemannianAdam": ours(lambda p: RiemannianAdam(p, lr=1e-2)),
                "BregmanSLC": ours(lambda p: BregmanSLC(p, lr=0.1)),
                "BregmanSLC, quick": ours(lambda p: BregmanSLC(p, lr=0.1, quick=True)),
            },
            300,
        )
        show(title, times, "geoopt SGD")
        for name in ("SGD", "Adam"):
            ratio = times[f"Riemannian{name}"] / times[f"geoopt {name}"]
            ratios[f"{title}: Riemannian{name} / geoopt"] = round(ratio, 2)
            if ratio > 1:
                missed.append(f"{title}, Riemannian{name}: {ratio:.2f} of geoopt's")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--save", type=Path, help="where ratios are written as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ratios: dict[str, float] = {}
    missed = [*flat(ratios), *curved(ratios)]
    if arguments.save is not None:
        arguments.save.write_text(json.dumps(ratios, indent=2, sort_keys=True) + "\n")
    for line in missed:
        print(f"missed: {line}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
