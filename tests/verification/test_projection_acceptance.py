"""A damped double pendulum learned with different projectors, and what each does to rods and states."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geomlearn.data import Windows
from geomlearn.losses import VelocityPositionLoss
from geomlearn.training import fit
from integrators import AccelerationField, FlowMap, ProjectedField, ProjectedStep, RungeKutta4, zoo

H, SAMPLES = 0.02, 51
CHAIN = zoo.PendulumChain(2, friction=0.1)
WAYS: dict[str, dict[str, Any]] = {
    "none": {"metric": "euclidean", "mode": "none"},
    "stabilised": {"metric": "euclidean", "mode": "stabilise", "gamma": 20.0},
    "euclidean": {"metric": "euclidean"},
    "gauss": {"metric": "gauss"},
}


@cache
def motion(count: int, seed: int) -> Tensor:
    """Cartesian states ``(samples, count, 8)`` of releases at rest from random angles, in float64."""
    system = CHAIN.problem.system
    angles = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = system.state(2 * math.pi * angles, torch.zeros_like(angles))
    flow, states = RungeKutta4(system, H / 5), [x]
    with torch.no_grad():
        for _ in range(SAMPLES - 1):
            states.append(flow.unroll(states[-1], steps=5)[-1])
    return CHAIN.from_problem(torch.stack(states))


class Accelerations(nn.Module):
    """A perceptron from scaled states to accelerations of size 10."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        states = motion(60, 0).flatten(0, 1).float()
        self.register_buffer("mean", states.mean(0))
        self.register_buffer("deviation", states.std(0))
        self.net = nn.Sequential(nn.Linear(8, 96), nn.GELU(), nn.Linear(96, 96), nn.GELU(), nn.Linear(96, 4))

    def forward(self, x: Tensor) -> Tensor:
        return 10 * self.net((x - self.mean) / self.deviation)


@cache
def trained(way: str, steps: int = 100) -> tuple[ProjectedField, float]:
    """A model after some steps of Adam on four Runge-Kutta steps at a time, and its last loss."""
    model = ProjectedField(AccelerationField(4, Accelerations()), CHAIN.rods, level="zero", **WAYS[way])
    seen = motion(60, 0)
    pieces = seen.unfold(0, 5, 1).flatten(0, 1).transpose(-1, -2)
    weights = (0.5 / seen.flatten(0, 1).var(0)).float().split(4)
    loss = VelocityPositionLoss(dict(zip(model.space.names, weights, strict=True)))
    windows = Windows(pieces.float(), None, H, model.space)
    history = fit(
        RungeKutta4(model, H),
        windows,
        loss=loss,
        optimizer="adam",
        lr=4e-3,
        steps=steps,
        batch_size=128,
        gradient_clip=1.0,
        progress=False,
    )
    return model.double(), sum(history.losses[-10:]) / 10


def follow(flow: FlowMap) -> tuple[float, float]:
    """Median relative error of the state, and distance from the rods, after 1 s from other starts."""
    truth = motion(50, 1)
    with torch.no_grad():
        x = flow.unroll(truth[0], steps=SAMPLES - 1)[-1]
    error = (x - truth[-1]).norm(dim=-1) / truth[-1].norm(dim=-1)
    return float(error.median()), float(CHAIN.residual(x).norm(dim=-1).median())


@pytest.mark.slow
def test_gauss_leaves_the_network_what_is_smooth_and_learns_it() -> None:
    """The network of accelerations need not learn the forces of the rods, so that it is far better."""
    model, loss = trained("gauss")
    error, off = follow(RungeKutta4(model, H))
    assert loss < 1e-4
    assert error < 0.1
    assert off < 1e-2
    stepwise, kept = follow(ProjectedStep(RungeKutta4(model, H)))
    assert kept < 1e-13
    assert stepwise == pytest.approx(error, rel=0.1)
    for way in ("none", "stabilised", "euclidean"):
        _, other = trained(way, 40)
        assert other > 30 * loss


@pytest.mark.slow
def test_what_keeps_to_the_rods() -> None:
    """Projected fields by the order of the method, a step that projects to rounding, the others not."""
    off = {way: follow(RungeKutta4(trained(way, 40)[0], H))[1] for way in ("none", "stabilised", "euclidean")}
    assert off["none"] > 1e-1
    assert 1e-2 < off["stabilised"] < 0.5 * off["none"]
    assert off["euclidean"] < 1e-3
    flow = ProjectedStep(RungeKutta4(trained("euclidean", 40)[0], H))
    assert follow(flow)[1] < 1e-13
