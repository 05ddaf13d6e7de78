"""Iterations of the Bregman methods on a sphere, SO(3) and frames, and their functional form there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import lie
from geomlearn.optim import (
    BrAVO,
    BregmanRule,
    BregmanSLC,
    ManifoldParameter,
    RiemannianSGD,
    bregman_start,
    bregman_step,
    bregman_sweep,
    iterations_to,
)

from ._manifold_problems import ManifoldProblem, brockett, rayleigh, wahba

RULES = {
    "exponential": BregmanRule(4.0, 1.0),
    "polynomial": BregmanRule(0.01, 0.1, "polynomial", 6.0),
}
C = torch.logspace(-4, 4, 9, dtype=torch.float64)
H = {
    "exponential": torch.logspace(-2, 2.4, 23, dtype=torch.float64),
    "polynomial": torch.logspace(-3.4, 0.2, 23, dtype=torch.float64),
}
Case = Callable[[], ManifoldProblem]


def sweep(case: ManifoldProblem, rule: BregmanRule, steps: int, C: Any, h: Any, **options: Any) -> Tensor:
    values = bregman_sweep(
        case.function, case.start, rule, steps, C=C, h=h, manifold=case.manifold, **options
    )
    return iterations_to(values, case.least)


def descend(case: ManifoldProblem, steps: int, make: Any, **options: Any) -> tuple[int, float]:
    """Iterations that an optimizer needs, and how far the end is from the manifold."""
    x = ManifoldParameter(case.manifold, case.start)
    optimizer = make([x], **options)
    values = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = case.function(x)
        values.append(value.detach())
        value.backward()
        optimizer.step()
    return int(iterations_to(torch.stack(values), case.least)), float(case.manifold.residual(x.detach()))


@pytest.mark.parametrize(
    ("case", "family", "quick", "count"),
    [
        (rayleigh, "exponential", False, 130),
        (rayleigh, "exponential", True, 135),
        (rayleigh, "polynomial", False, 379),
        (rayleigh, "polynomial", True, 381),
        (wahba, "exponential", False, 94),
        (wahba, "polynomial", False, 250),
        (brockett, "exponential", False, 297),
        (brockett, "polynomial", False, 493),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_counts_on_manifolds(case: Case, family: str, quick: bool, count: int) -> None:
    iterations, residual = descend(case(), count + 12, BregmanSLC, family=family, quick=quick)
    assert abs(iterations - count) <= 1
    assert residual <= 2e-15


@pytest.mark.parametrize(
    ("case", "family", "quick", "best", "i", "j"),
    [
        (rayleigh, "exponential", False, 94, 7, 9),
        (rayleigh, "polynomial", False, 73, 4, 14),
        (rayleigh, "exponential", True, 92, 6, 11),
        (rayleigh, "polynomial", True, 74, 5, 10),
        (wahba, "exponential", False, 20, 8, 9),
        (wahba, "polynomial", False, 14, 5, 13),
        (brockett, "exponential", False, 256, 7, 8),
        (brockett, "polynomial", False, 275, 1, 18),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_best_counts_are_reached(case: Case, family: str, quick: bool, best: int, i: int, j: int) -> None:
    options = {"C": float(C[i]), "lr": float(H[family][j]), "family": family, "quick": quick}
    iterations, residual = descend(case(), best + 12, BregmanSLC, **options)
    assert 0 < iterations <= best
    assert residual <= 4e-15


@pytest.mark.parametrize("family", RULES)
@pytest.mark.parametrize("case", [rayleigh, wahba], ids=lambda case: case.__name__)
def test_nothing_converges_without_restarts_and_loops(case: Case, family: str) -> None:
    free = replace(RULES[family], restart=None, temporal_looping=False)
    assert (sweep(case(), free, 250, C[:, None], H[family]) < 0).all()


def test_gradient_descent_needs_more_iterations_on_the_sphere() -> None:
    counts = [descend(rayleigh(), 320, RiemannianSGD, lr=10**power)[0] for power in (-1.25, -1.1875, -1.125)]
    assert min(count for count in counts if count > 0) == pytest.approx(268, rel=0.05)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("scheme", ["slc", "bravo"])
@pytest.mark.parametrize(
    "manifold",
    [
        lie.Sphere(4),
        lie.Stiefel(5, 2),
        lie.Grassmann(5, 2),
        lie.SPD(2),
        lie.SE3,
        lie.Product(lie.SO3, lie.SO2),
    ],
    ids=repr,
)
def test_the_functional_form_is_the_optimizer(manifold: Any, scheme: Any, quick: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    start = manifold.random(generator=generator, dtype=torch.float64)
    other = manifold.random(generator=generator, dtype=torch.float64)

    def function(x: Tensor) -> Tensor:
        return (x - other).square().sum() + x.sum()

    make = BregmanSLC if scheme == "slc" else BrAVO
    x = ManifoldParameter(manifold, start)
    optimizer = make([x], lr=1.0, C=2.0, quick=quick)
    rule, state = BregmanRule(1.0, 2.0, scheme=scheme), bregman_start(start, manifold)
    for _ in range(25):
        optimizer.zero_grad()
        function(x).backward()
        optimizer.step()
        gradient = torch.func.grad(function)(state.position)
        state = bregman_step(rule, state, gradient, manifold=manifold, quick=quick)
    torch.testing.assert_close(x.detach(), state.position, rtol=1e-11, atol=1e-12)
    assert int(state.clock.loops) == optimizer.param_groups[0]["loops"]


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("manifold", [lie.Sphere(3), lie.Stiefel(4, 2), lie.SO3], ids=repr)
def test_runs_on_manifolds_have_derivatives(manifold: Any, quick: bool) -> None:
    start = manifold.random(generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weight = torch.linspace(-1, 1, start.numel(), dtype=torch.float64).reshape(start.shape)

    def function(x: Tensor) -> Tensor:
        return (weight * x).sum() + (weight * x * x).sum()

    def end(C: Tensor) -> Tensor:
        rule, state = BregmanRule(3.0, C), bregman_start(start, manifold)
        for _ in range(5):
            gradient = torch.func.grad(function)(state.position)
            state = bregman_step(rule, state, gradient, manifold=manifold, quick=quick)
        return function(state.position)

    C, step = torch.tensor(4.0, dtype=torch.float64), 1e-5
    difference = (end(C + step) - end(C - step)) / (2 * step)
    assert float(difference.abs()) > 1e-4
    torch.testing.assert_close(torch.func.grad(end)(C), difference, rtol=1e-6, atol=1e-9)
