"""The perceptron and its written-out gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from geomlearn.nn import MLP

from ._models import generator, randn

ACTIVATIONS = {
    "tanh": math.tanh,
    "silu": lambda s: s / (1 + math.exp(-s)),
    "softplus": lambda s: math.log(1 + math.exp(s)),
    "sin": math.sin,
}
HIDDEN = [(), (5,), (5, 4), (5, 4, 3)]


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_value_is_the_formula(activation: str) -> None:
    net = MLP((2, 3, 1), activation, generator=generator())
    first, last = net.linear_layers
    x = [0.7, -1.2]
    hidden = [
        ACTIVATIONS[activation](sum(w * v for w, v in zip(row, x)) + b)
        for row, b in zip(first.weight.tolist(), first.bias.tolist())
    ]
    expected = sum(w * v for w, v in zip(last.weight[0].tolist(), hidden)) + last.bias.item()
    assert net(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda h: f"{len(h)} hidden")
def test_gradient_equals_autograd(activation: str, hidden: tuple[int, ...]) -> None:
    net = MLP((6, *hidden, 1), activation, generator=generator())
    for batch in ((), (0,), (2, 3)):
        x = 2 * randn(*batch, 6)
        expected = torch.func.grad(lambda v: net(v).sum())(x)
        assert net.gradient(x).shape == x.shape
        assert torch.allclose(net.gradient(x), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_gradient_differentiates_twice_in_inputs_and_weights(activation: str) -> None:
    net = MLP((3, 2, 2, 1), activation, generator=generator())
    names, values = zip(*net.named_parameters())

    def slopes(x: Tensor, *weights: Tensor) -> Tensor:
        parameters = {f"net.{name}": value for name, value in zip(names, weights)}
        return torch.func.functional_call(Slope(net), parameters, (x,))

    inputs = [randn(2, 3).requires_grad_(), *[v.detach().clone().requires_grad_() for v in values]]
    assert torch.autograd.gradcheck(slopes, inputs)
    assert torch.autograd.gradgradcheck(slopes, inputs)


class Slope(torch.nn.Module):
    """The gradient as a module, for functional_call."""

    def __init__(self, net: MLP) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net.gradient(x)


def test_gradient_under_vmap_is_that_of_the_batch() -> None:
    net = MLP((4, 6, 6, 1), generator=generator())
    x = randn(5, 4)
    assert torch.allclose(torch.func.vmap(net.gradient)(x), net.gradient(x), rtol=1e-15, atol=1e-15)


def test_gradient_of_several_outputs_is_refused() -> None:
    with pytest.raises(ValueError, match="gradient: expected a network with one output, got 2"):
        MLP((3, 2)).gradient(torch.zeros(3, dtype=torch.float64))


def test_weights_are_orthogonal_scaled_and_drawn_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    net, same = (MLP((9, 9, 2), gain=0.01, generator=generator(3)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), same.parameters()))
    first, last = (layer.weight for layer in net.linear_layers)
    assert torch.allclose(first @ first.mT, torch.eye(9, dtype=torch.float64), atol=1e-14)
    assert torch.allclose(last @ last.mT, 1e-4 * torch.eye(2, dtype=torch.float64), atol=1e-18)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3, 1), "relu"), r"activation: expected one of .*'relu'"),
        (((3,),), "sizes: expected at least two positive widths"),
        (((3, 0, 1),), "sizes: expected at least two positive widths"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLP(*arguments)  # type: ignore[arg-type]
