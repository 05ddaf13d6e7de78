"""Factors start at the scale of the curvature that is seen first."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ._networks import batch, off, optimizer_of, perceptron, train, weights


def first_factors(
    variant: str, damping: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """K, C, U and G of a layer after one refresh with a rate of nearly nothing."""
    torch.manual_seed(0)
    x, labels = batch(0)
    layer = nn.Linear(5, 3).double()
    optimizer = optimizer_of(layer, variant=variant, damping=damping, factor_rate=1e-12, start="scaled")
    logits = layer(x)
    (g,) = torch.autograd.grad(F.cross_entropy(logits, labels), logits)
    with optimizer.curvature():
        F.cross_entropy(layer(x), labels).backward()
    optimizer.step()
    state = optimizer.state[layer.weight]
    a = torch.cat((x, torch.ones(32, 1).double()), 1)
    return state["K"].view(6, 6), state["C"].view(3, 3), a.T @ a / 32, 32 * g.T @ g


def test_a_scaled_start_of_ikfac_is_the_best_multiple_of_the_identity_for_each_factor() -> None:
    K, C, U, G = first_factors("ikfac", 0.03)
    for factor, moment in ((K, U), (C, G)):
        n = len(moment)
        assert off(factor, torch.eye(n).double() * (moment.trace() / n + 0.03) ** -0.5) < 1e-10


def test_a_scaled_start_of_ingd_is_the_best_multiple_of_the_identity_for_both() -> None:
    """The product minimises tr((U x G + damping) s) - log det s over multiples s of the identity."""
    K, C, U, G = first_factors("ingd", 0.03)
    scale = (K @ K.T)[0, 0] * (C @ C.T)[0, 0]
    assert float(scale) == pytest.approx(float(1 / (U.trace() / 6 * G.trace() / 3 + 0.03)), rel=1e-10)
    assert float((K.T @ U @ K).trace() / 6) == pytest.approx(1.0, rel=1e-10)


def test_gradients_of_nothing_leave_factors_of_a_scaled_start_finite() -> None:
    layer = nn.Linear(4, 3).double()
    optimizer = optimizer_of(layer, start="scaled", damping=0.0)
    with optimizer.curvature():
        (0 * layer(torch.zeros(8, 4).double())).sum().backward()
    optimizer.step()
    assert optimizer.skipped == 0
    assert bool(optimizer.state[layer.weight]["C"].isfinite().all())


@pytest.mark.parametrize("start", ["scaled", "identity"])
def test_a_run_goes_on_from_a_state_of_before_and_after_the_first_refresh(start: str) -> None:
    for done in (0, 1):
        model, fresh = perceptron(), perceptron()
        optimizer = optimizer_of(model, start=start)
        train(model, optimizer, range(done))
        fresh.load_state_dict(model.state_dict())
        other = optimizer_of(fresh, start=start)
        other.load_state_dict(optimizer.state_dict())
        train(model, optimizer, range(done, 4))
        train(fresh, other, range(done, 4))
        assert torch.equal(weights(model), weights(fresh))
