"""Mixed precision, scaled losses, clipping, and numbers that are not finite."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp import GradScaler, autocast

from geomlearn.optim import StructuredNaturalGradient

from ._networks import batch, factors, off, optimizer_of, perceptron, train, weights


def scaled_step(
    model: nn.Module,
    optimizer: StructuredNaturalGradient,
    scaler: GradScaler,
    number: int,
    *,
    clip: float | None = None,
    told: bool = True,
    poison: float = 1.0,
) -> None:
    x, labels = batch(number, dtype=next(model.parameters()).dtype)
    optimizer.zero_grad()
    with optimizer.curvature(*([scaler] if told else [])):
        loss = F.cross_entropy(model(x), labels) * poison
        scaler.scale(loss).backward()
    if clip is not None:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.parametrize("variant", ["ikfac", "ingd"])
@pytest.mark.parametrize("clip", [None, 0.1])
def test_a_scaled_loss_is_the_same_loss(variant: str, clip: float | None) -> None:
    """Steps by a scaler, whose scale grows on the way, are those without; also with clipped gradients."""
    model, plain = perceptron(), perceptron()
    optimizer, other = optimizer_of(model, variant=variant), optimizer_of(plain, variant=variant)
    scaler = GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
    for number in range(8):
        scaled_step(model, optimizer, scaler, number, clip=clip)
        x, labels = batch(number)
        other.zero_grad()
        with other.curvature():
            F.cross_entropy(plain(x), labels).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(plain.parameters(), clip)
        other.step()
    assert scaler.get_scale() == 2.0**14
    assert off(weights(model), weights(plain)) < 1e-12
    assert off(factors(optimizer), factors(other)) < 1e-12


def test_a_scope_that_was_not_told_of_the_scaler_is_refused() -> None:
    model = perceptron()
    optimizer = optimizer_of(model, interval=1)
    before = weights(model)
    with pytest.raises(RuntimeError, match=r"optimizer\.curvature\(scaler\)"):
        scaled_step(model, optimizer, GradScaler("cpu"), 0, told=False)
    assert torch.equal(weights(model), before)
    scaler, other = GradScaler("cpu"), perceptron()
    scaled_step(model, optimizer, scaler, 0)
    train(other, optimizer_of(other, interval=1), range(1))
    assert off(weights(model), weights(other)) < 1e-12


def test_a_scaler_that_is_off_does_nothing() -> None:
    model, plain = perceptron(), perceptron()
    optimizer = optimizer_of(model)
    scaler = GradScaler("cpu", enabled=False)
    for number in range(3):
        scaled_step(model, optimizer, scaler, number)
    train(plain, optimizer_of(plain), range(3))
    assert torch.equal(weights(model), weights(plain))


def test_an_overflow_of_the_scale_is_skipped_and_the_refresh_made_up_for() -> None:
    model, plain = perceptron(), perceptron()
    optimizer = optimizer_of(model, interval=2)
    scaler = GradScaler("cpu", init_scale=2.0**8)
    scaled_step(model, optimizer, scaler, 7, poison=torch.inf)
    assert scaler.get_scale() == 2.0**7
    assert (optimizer.steps, optimizer.skipped) == (0, 1)
    for number in range(3):
        scaled_step(model, optimizer, scaler, number)
    train(plain, optimizer_of(plain, interval=2), range(3))
    assert off(weights(model), weights(plain)) < 1e-12


class Faulty(nn.Module):
    """A perceptron whose output or whose way back has one bad entry where ``fault`` is set."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.fault = perceptron(dtype=dtype), ""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.inner[:2](x)
        if self.fault and hidden.requires_grad:
            hidden.register_hook(lambda g: g * (torch.arange(7) != 3).to(g) + float(self.fault) * 1e-3)
        return self.inner[2](hidden)


@pytest.mark.parametrize("fault", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("variant", ["ikfac", "ingd"])
@pytest.mark.parametrize("number", [2, 3], ids=["refresh", "between"])
def test_a_bad_batch_is_skipped_reported_once_and_leaves_no_trace(
    fault: str, variant: str, number: int
) -> None:
    model, plain = Faulty(torch.float64), Faulty(torch.float64)
    optimizer, other = optimizer_of(model, variant=variant), optimizer_of(plain, variant=variant)
    train(model, optimizer, range(number))
    train(plain, other, range(number))
    before, state = weights(model), optimizer.state_dict()["state"]
    model.fault = fault
    with pytest.warns(RuntimeWarning, match=f"infinite or NaN at step {number}: the step was not made"):
        train(model, optimizer, range(9, 10))
    assert torch.equal(weights(model), before)
    after = optimizer.state_dict()["state"]
    assert all(torch.equal(after[i][k], v) for i in state for k, v in state[i].items())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(model, optimizer, range(9, 10))
    assert optimizer.skipped == 2
    model.fault = ""
    train(model, optimizer, range(number, 6))
    train(plain, other, range(number, 6))
    assert torch.equal(weights(model), weights(plain))
    assert optimizer.state_dict()["natural_gradient"]["skipped"] == 2


def test_curvature_that_overflows_alone_is_skipped_too() -> None:
    """Gradients of 1e30 are finite in float32, their squares are not."""
    model = perceptron(dtype=torch.float32)
    optimizer = optimizer_of(model)
    x, labels = batch(0, dtype=torch.float32)
    before = weights(model)
    with optimizer.curvature():
        (1e30 * F.cross_entropy(model(x), labels)).backward()
    with pytest.warns(RuntimeWarning, match="infinite or NaN"):
        optimizer.step()
    assert torch.equal(weights(model), before)
    assert optimizer.skipped == 1


@pytest.mark.parametrize("variant", ["ikfac", "ingd"])
def test_factors_of_a_half_precision_model_move_as_those_of_a_whole_one(variant: str) -> None:
    """At a small rate factors stored in bfloat16 would not move at all; masters in float32 do.

    The inputs are those of a frozen rate, so that both models see the same activations.
    """
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        torch.manual_seed(0)
        layer = nn.Linear(5, 3).bfloat16().to(dtype)
        optimizer = optimizer_of(layer, variant=variant, lr=0.0, factor_rate=2e-3, interval=1)
        for number in range(60):
            x, labels = batch(number, dtype=torch.bfloat16)
            optimizer.zero_grad()
            with optimizer.curvature():
                F.cross_entropy(layer(x.to(dtype)).float(), labels).backward()
            optimizer.step()
        found.append(factors(optimizer))
        assert optimizer.state[layer.weight]["K"].dtype == torch.float32
    identity = factors(optimizer_started())
    moved = (found[1] - identity).norm()
    assert float(moved) > 0.02
    assert float((found[0] - found[1]).norm() / moved) < 0.02


def optimizer_started() -> StructuredNaturalGradient:
    """An optimizer of that layer whose factors are identities."""
    layer = nn.Linear(5, 3)
    optimizer = optimizer_of(layer, lr=0.0, factor_rate=1e-9)
    with optimizer.curvature():
        layer(torch.ones(2, 5)).sum().backward()
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("scaled", [False, True])
def test_autocast_trains_as_float32_does(scaled: bool) -> None:
    """The curvature is summed in float32 though layers compute in bfloat16."""
    losses: dict[str, float] = {}
    for name in ("float32", "autocast"):
        model = perceptron(dtype=torch.float32)
        optimizer = optimizer_of(model, lr=0.02)
        scaler = GradScaler("cpu", enabled=scaled)
        x, _ = batch(0, 64, torch.float32)
        labels = x[:, :3].argmax(1)
        for _ in range(60):
            optimizer.zero_grad()
            with optimizer.curvature(scaler):
                with autocast("cpu", torch.bfloat16, enabled=name == "autocast"):
                    loss = F.cross_entropy(model(x), labels)
                scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        first: Any = model[0]
        state: dict[str, Any] = optimizer.state[first.weight]
        assert state["K"].dtype == state["momentum_buffer"].dtype == torch.float32
        losses[name] = float(loss.detach())
    assert losses["float32"] < 0.3
    assert losses["autocast"] == pytest.approx(losses["float32"], rel=0.03)


def test_a_backward_pass_under_autocast_sums_in_float32() -> None:
    """Even where the scope itself is under autocast, sums of products are not rounded to bfloat16."""
    found = []
    for inside in (False, True):
        layer = nn.Linear(5, 3)
        nn.init.constant_(layer.weight, 0.25)
        nn.init.zeros_(layer.bias)
        optimizer = optimizer_of(layer)
        x = batch(0, dtype=torch.bfloat16)[0]
        with optimizer.curvature(), autocast("cpu", torch.bfloat16):
            loss = layer(x.float()).float().square().mean()
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        found.append(optimizer._curvature.sums[optimizer.layers[0]].K)
    one, other = found
    assert one is not None
    assert other is not None
    assert torch.equal(one, other)
    a = torch.cat((x.double(), torch.ones(32, 1).double()), 1)
    assert off(other.double().view(6, 6), a.T @ a) < 1e-6
