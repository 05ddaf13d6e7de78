"""Adaptive restarts: when they come, for what, and what they are good for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lie
from geomlearn.optim import ManifoldParameter, SPDMomentum, SPDRule, spd_matrix, spd_start, spd_step

from ._cases import descend, log_det, spectrum, start


def iterations(Q: Tensor, function: Any, least: Tensor | float, **options: Any) -> int:
    """Iterations until a millionth of the first error is left, 500 at most."""
    n = len(Q)
    x = ManifoldParameter(lie.SPD(n), torch.eye(n).double())
    optimizer = SPDMomentum([x], **options)
    goal = None
    for k in range(500):
        (value,) = descend(optimizer, [x], lambda: function(x), 1)
        goal = float(least) + 1e-6 * (value - float(least)) if goal is None else goal
        if value <= goal:
            return k
    return 500


@pytest.mark.parametrize("restart", ["gradient", "function"])
def test_restarts_make_any_momentum_and_rate_good(restart: str) -> None:
    """Ill-conditioned: with them momentum beats none at every rate, without them it loses."""
    Q = spectrum(20, 1000)
    least = 20 + torch.logdet(Q)
    for momentum in (0.9, 0.97):
        for lr in (0.1, 0.03):
            count = iterations(Q, log_det(Q), least, lr=lr, momentum=momentum, restart=restart)
            without = iterations(Q, log_det(Q), least, lr=lr, momentum=momentum)
            none = iterations(Q, log_det(Q), least, lr=lr, momentum=0.0)
            assert count < 0.6 * none
            assert count < 0.4 * without


def test_metric_nearness_needs_fewer_iterations_than_the_best_step_without_momentum() -> None:
    Q = spectrum(20, 10)
    X = torch.randn(20, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def nearness(tau: Tensor) -> Tensor:
        return (tau @ (Q @ X) - X).square().sum() / 400

    rates = (0.3, 0.1, 0.03)  # a rate of 1 converges for neither
    best = min(iterations(Q, nearness, 0.0, lr=lr, restart=True) for lr in rates)
    assert best < min(iterations(Q, nearness, 0.0, lr=lr, momentum=0.0) for lr in rates)


def test_each_matrix_of_a_batch_restarts_by_itself() -> None:
    rule = SPDRule(lie.SPD(3), lr=0.1, momentum=0.5, restart=True)
    g = start(lie.SPD(3), seed=2)
    state = spd_step(rule, spd_start(rule, torch.eye(3).double().expand(2, 3, 3)), g.expand(2, 3, 3))
    again = torch.stack((g, -g))
    plain = spd_step(SPDRule(lie.SPD(3), lr=0.1, momentum=0.5), state, again)
    state = spd_step(rule, state, again)
    assert state.restarts.tolist() == [0, 1]
    assert torch.equal(state.momentum[0], plain.momentum[0])
    slope = state.factor.new_tensor(0.1)
    torch.testing.assert_close(state.momentum[1], -slope * (plain_frame(rule, g)), rtol=1e-12, atol=1e-14)


def plain_frame(rule: SPDRule, g: Tensor) -> Tensor:
    """A^T g A after one step along g from the identity."""
    A = spd_step(rule, spd_start(rule, torch.eye(3).double()), g).factor
    return A.mT @ g @ A


def test_a_growing_function_restarts_and_a_falling_one_does_not() -> None:
    rule = SPDRule(lie.SPD(2), lr=0.1, restart="function")
    state = spd_start(rule, torch.eye(2))
    for value, count in ((3.0, 0), (2.0, 0), (2.5, 1), (2.5, 1), (2.6, 2), (1.0, 2)):
        state = spd_step(rule, state, torch.eye(2), torch.tensor(value))
        assert int(state.restarts) == count
    assert float(state.value) == 1.0
    assert bool((torch.linalg.eigvalsh(spd_matrix(rule, state)) > 0).all())


def test_vectors_restart_as_a_whole() -> None:
    """Alone in a group they are stepped by torch's SGD, but for momentum that leads uphill."""
    x = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    ours = SPDMomentum([x], lr=0.1, momentum=0.95, restart=True)
    theirs = torch.optim.SGD([y], lr=0.1, momentum=0.95)
    for _ in range(100):
        for p, optimizer in ((x, ours), (y, theirs)):
            optimizer.zero_grad()
            (p[0] ** 2 + 4 * p[1] ** 2).backward()
            optimizer.step()
        if ours.param_groups[0]["restarts"] == 0:
            assert torch.equal(x, y)
    assert ours.param_groups[0]["restarts"] > 0
    assert float(x.detach().norm()) < 1e-3 * float(y.detach().norm())
