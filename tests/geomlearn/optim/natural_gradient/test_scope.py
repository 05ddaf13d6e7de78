"""Curvature is read in its scope alone, from passes that give the weights their gradients."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from geomlearn.optim import StructuredNaturalGradient

from ._networks import batch, factors, off, optimizer_of, perceptron, step, train, weights


def loss_of(model: nn.Module, number: int = 0) -> Tensor:
    x, labels = batch(number)
    return F.cross_entropy(model(x), labels)


def reference() -> tuple[Tensor, Tensor]:
    model = perceptron()
    optimizer = optimizer_of(model)
    step(model, optimizer, 0)
    return weights(model), factors(optimizer)


def backward_outside(model: nn.Module, optimizer: StructuredNaturalGradient) -> None:
    loss_of(model, 7).backward()
    model.zero_grad()
    with optimizer.curvature():
        loss_of(model).backward()


def derivatives_inside(model: nn.Module, optimizer: StructuredNaturalGradient) -> None:
    with optimizer.curvature():
        x = batch(7)[0].requires_grad_()
        torch.autograd.grad(model(x).sum(), x)
        torch.autograd.grad(loss_of(model, 7), list(model.parameters()))
        loss_of(model).backward()


def forward_inside(model: nn.Module, optimizer: StructuredNaturalGradient) -> None:
    with optimizer.curvature():
        loss_of(model, 7)
        with torch.no_grad():
            loss_of(model, 7)
        loss_of(model).backward()


def discarded(model: nn.Module, optimizer: StructuredNaturalGradient) -> None:
    with optimizer.curvature():
        loss_of(model, 7).backward()
    optimizer.zero_grad()
    with optimizer.curvature():
        loss_of(model).backward()


def nested(model: nn.Module, optimizer: StructuredNaturalGradient) -> None:
    with optimizer.curvature(), optimizer.curvature():
        loss_of(model).backward()


def backward_after(model: nn.Module, optimizer: StructuredNaturalGradient) -> None:
    with optimizer.curvature():
        loss = loss_of(model)
    loss.backward()


def functional(model: nn.Module, optimizer: StructuredNaturalGradient) -> None:
    with optimizer.curvature():
        x, labels = batch(0)
        own = {name: p.detach() for name, p in model.named_parameters()}
        torch.func.grad(lambda w: functional_call(model, w, (x,)).square().sum())(own)
        torch.func.vmap(lambda row: functional_call(model, own, (row,)))(x)
        F.cross_entropy(functional_call(model, dict(model.named_parameters()), (x,)), labels).backward()


def of_another_network(model: nn.Module, optimizer: StructuredNaturalGradient) -> None:
    other = perceptron(1)
    with optimizer.curvature():
        loss_of(other).backward()
        loss_of(model).backward()


@pytest.mark.parametrize(
    "passes",
    [
        backward_outside,
        derivatives_inside,
        forward_inside,
        discarded,
        nested,
        backward_after,
        functional,
        of_another_network,
    ],
    ids=lambda f: f.__name__,
)
def test_passes_beside_the_one_of_the_step_leave_no_trace(passes: Any) -> None:
    model = perceptron()
    optimizer = optimizer_of(model)
    passes(model, optimizer)
    optimizer.step()
    expected = reference()
    assert torch.equal(weights(model), expected[0])
    assert torch.equal(factors(optimizer), expected[1])


def test_a_gradient_penalty_counts_once() -> None:
    """The derivative by the inputs, with its graph, is not counted; the backward pass through both is."""
    layer = nn.Linear(5, 1).double()
    optimizer = optimizer_of(layer, damping=0.0)
    x = batch(0)[0].requires_grad_()
    with optimizer.curvature():
        value = layer(x)
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        (value.square().mean() + slope.square().mean()).backward()
    sums = optimizer._curvature.sums[optimizer.layers[0]]
    assert sums.rows == sums.samples == 32
    g = 2 * value.detach() / 32
    assert sums.C is not None
    assert off(sums.C, g.square().sum()) < 1e-13


def test_between_refreshes_the_scope_does_nothing() -> None:
    model = perceptron()
    optimizer = optimizer_of(model, interval=3)
    train(model, optimizer, range(1))
    after_one = factors(optimizer)
    train(model, optimizer, range(1, 3))
    assert torch.equal(factors(optimizer), after_one)
    loss_of(model).backward()
    assert all(sums.K is None for sums in optimizer._curvature.sums.values())
    step(model, optimizer, 3)
    assert off(factors(optimizer), after_one) > 1e-3


def test_a_refresh_without_its_scope_is_refused_and_changes_nothing() -> None:
    model = perceptron()
    optimizer = optimizer_of(model)
    before = weights(model)
    loss_of(model).backward()
    with pytest.raises(RuntimeError, match=r"with optimizer\.curvature\(\)"):
        optimizer.step()
    assert torch.equal(weights(model), before)
    assert optimizer.steps == 0
    with optimizer.curvature():
        optimizer.zero_grad()
        loss_of(model).backward()
    optimizer.step()
    assert torch.equal(weights(model), reference()[0])


def test_a_weight_that_is_used_otherwise_is_reported_once() -> None:
    model = perceptron()
    optimizer = optimizer_of(model, interval=1)

    def once() -> None:
        x, labels = batch(0)
        optimizer.zero_grad()
        with optimizer.curvature():
            first: Any = model[0]
            hidden = torch.tanh(x @ first.weight.T + first.bias)
            F.cross_entropy(model[2](hidden), labels).backward()
        optimizer.step()

    start = weights(model[0])
    with pytest.warns(RuntimeWarning, match="the curvature of 0 was not seen"):
        once()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        once()
    assert off(weights(model[0]), start) > 1e-4


def test_a_closure_is_run_in_the_scope() -> None:
    model = perceptron()
    optimizer = optimizer_of(model)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        return loss

    given: Any = closure
    value: Any = optimizer.step(given)
    with torch.no_grad():
        assert torch.equal(value.detach(), loss_of(perceptron()))
    assert torch.equal(weights(model), reference()[0])


class Checkpointed(nn.Module):
    """A perceptron whose parts are run again on the way back."""

    def __init__(self, inner: nn.Sequential, reentrant: bool) -> None:
        super().__init__()
        self.inner, self.reentrant = inner, reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = x.requires_grad_() if self.reentrant else x
        first: Any = functools.partial(checkpoint, use_reentrant=self.reentrant)
        return first(self.inner[2], first(self.inner[:2], x))


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_checkpointing_counts_every_call_once(reentrant: bool, shared: bool) -> None:
    """Also where one layer is in two checkpointed parts, which are two passes of one sample."""
    found = []
    for wrapped in (False, True):
        inner = perceptron()
        if shared:
            square = nn.Linear(5, 5).double()
            inner = nn.Sequential(square, nn.Tanh(), square)
        model = Checkpointed(inner, reentrant) if wrapped else inner
        optimizer = optimizer_of(model)
        for number in range(4):
            x, labels = batch(number)
            optimizer.zero_grad()
            with optimizer.curvature():
                F.cross_entropy(model(x), labels).backward()
            optimizer.step()
        found.append((weights(model), factors(optimizer)))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_activations_may_work_in_place() -> None:
    found = []
    for inplace in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(inplace), nn.Linear(7, 3)).double()
        optimizer = optimizer_of(model)
        train(model, optimizer, range(4))
        found.append(weights(model))
    assert torch.equal(*found)


def test_a_compiled_model_is_seen() -> None:
    model, plain = perceptron(), perceptron()
    compiled: Any = torch.compile(model, backend="eager")
    optimizer, other = optimizer_of(compiled, interval=3), optimizer_of(plain, interval=3)
    train(compiled, optimizer, range(7))
    train(plain, other, range(7))
    assert off(weights(model), weights(plain)) < 1e-14
    assert off(factors(optimizer), factors(other)) < 1e-14
    other.load_state_dict(optimizer.state_dict())


def test_two_optimizers_see_their_own_layers() -> None:
    """As in training two networks by one loss, with one scope in the other."""
    first, second = perceptron(0), perceptron(1)
    one, two = optimizer_of(first), optimizer_of(second)
    x, labels = batch(0)
    with one.curvature(), two.curvature():
        (F.cross_entropy(first(x), labels) + F.cross_entropy(second(x), labels)).backward()
    one.step()
    two.step()
    assert torch.equal(weights(first), reference()[0])
    assert all(sums.K is None for sums in two._curvature.sums.values())
