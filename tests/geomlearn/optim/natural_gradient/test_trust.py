"""Steps are no longer than can be trusted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from geomlearn.optim import StructuredNaturalGradient

from ._networks import generated, off


def one_step(trust: float | None, lr: float) -> tuple[list[torch.Tensor], float]:
    """Changes of the parameters in one step without momentum, and -lr g . change of those with curvature."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.LayerNorm(6), nn.Linear(6, 3)).double()
    model.register_parameter("shift", nn.Parameter(torch.zeros(3, dtype=torch.float64)))
    optimizer = StructuredNaturalGradient(model, lr, trust=trust, factor_rate=1.0)
    start = [p.detach().clone() for p in model.parameters()]
    with optimizer.curvature():
        (model(generated(16, 4)) + model.shift).square().mean().backward()
    optimizer.step()
    moved = [p.detach() - s for p, s in zip(model.parameters(), start, strict=True)]
    curved = {p for group in optimizer.param_groups[:1] for p in group["params"]}
    pairs = [(p.grad, m) for p, m in zip(model.parameters(), moved, strict=True) if p in curved]
    return moved, -lr * sum(float((g * m).sum()) for g, m in pairs if g is not None)


def test_a_long_step_is_shortened_to_the_length_that_is_trusted() -> None:
    free, length = one_step(None, 0.5)
    moved, shortened = one_step(0.1 * length, 0.5)
    assert shortened == pytest.approx(0.1**0.5 * length, rel=1e-12)
    shift, *layers = range(len(free))  # AdamW's parameter is no part of it
    assert off(moved[shift], free[shift]) == 0
    for k in layers:
        assert off(moved[k], 0.1**0.5 * free[k]) < 1e-12


def test_a_short_step_stays_as_it_is() -> None:
    free, length = one_step(None, 0.5)
    moved, _ = one_step(1.01 * length, 0.5)
    assert all(torch.equal(a, b) for a, b in zip(free, moved, strict=True))
