"""The input gradient of a perceptron with its hand-written derivative, against plain torch operations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from geomlearn.nn import MLP
from geomlearn.nn._slope import slope, slope_by_layers

from ._models import generator, randn

ACTIVATIONS = ["sin", "silu", "softplus", "tanh"]
HIDDEN = [(5,), (5, 7), (6, 3, 5)]
BATCHES = [(), (0,), (2, 3), (3, 23)]


def parameters(hidden: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Matrices of all layers, then the biases of the hidden ones."""
    layers = MLP((4, *hidden, 1), dtype=dtype, generator=generator(1)).linear_layers
    tensors = [*(layer.weight for layer in layers), *(layer.bias for layer in layers[:-1])]
    return [(1.5 * tensor.detach()).requires_grad_() for tensor in tensors]


def split(tensors: list[Tensor] | tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
    depth = len(tensors) // 2
    return list(tensors[: depth + 1]), list(tensors[depth + 1 :])


def is_compiled(gradient: Tensor) -> bool:
    return type(gradient.grad_fn).__name__ == "_SlopeBackward"


def assert_equal(
    function, activation: str, x: Tensor, tensors: list[Tensor], tolerance: float = 1e-14
) -> None:
    found, expected = (f(x, activation, *split(tensors)) for f in (function, slope_by_layers))
    assert found.shape == x.shape
    assert torch.allclose(found, expected, rtol=tolerance, atol=tolerance)
    cotangent = randn(*x.shape, seed=3).to(x)
    wanted = [tensor for tensor in (x, *tensors) if tensor.requires_grad]
    for a, b in zip(*(torch.autograd.grad(g, wanted, cotangent) for g in (found, expected)), strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(x.numel())))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda h: f"{len(h)} hidden")
@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_value_and_first_derivatives_are_those_of_the_layers(activation, hidden, batch):
    x = (2 * randn(*batch, 4)).requires_grad_()
    tensors = parameters(hidden)
    assert is_compiled(slope(x, activation, *split(tensors)))
    assert_equal(slope, activation, x, tensors)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_single_precision_runs_in_torch(activation):
    x = randn(2, 3, 4).float().requires_grad_()
    tensors = parameters((5, 7), torch.float32)
    gradient = slope(x, activation, *split(tensors))
    assert gradient.dtype == torch.float32
    assert not is_compiled(gradient)
    exact = slope(x.double(), activation, *split([t.double() for t in tensors]))
    assert torch.allclose(gradient.double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda h: f"{len(h)} hidden")
def test_first_and_second_derivatives_against_finite_differences(activation, hidden):
    inputs = (randn(3, 4).requires_grad_(), *parameters(hidden))

    def gradient(x: Tensor, *tensors: Tensor) -> Tensor:
        return slope(x, activation, *split(tensors))

    assert gradcheck(gradient, inputs, fast_mode=True)
    assert gradgradcheck(gradient, inputs, fast_mode=True)


def test_derivatives_of_a_derivative_count_each_input_once():
    root = randn(3, 4).requires_grad_()
    tensors = parameters((5, 7))

    def first(create_graph: bool) -> Tensor:
        x = root.sin()
        w, *others = tensors
        weights, biases = split([w + x.sum() * torch.ones_like(w), *others])
        value = slope(x, "tanh", weights, biases).square().sum()
        return torch.autograd.grad(value, root, create_graph=create_graph)[0]

    assert torch.allclose(first(create_graph=True), first(create_graph=False), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("frozen", [{0}, {1, 4}, {3}, {0, 1, 2, 4, 5}, {1, 2, 3, 4, 5}], ids=str)
def test_frozen_inputs_get_no_derivative(frozen):
    x, tensors = randn(2, 3, 4).requires_grad_(), parameters((5, 7))
    for k in frozen:
        (x, *tensors)[k].requires_grad_(False)
    assert_equal(slope, "silu", x, tensors)
    slope(x, "silu", *split(tensors)).sum().backward()
    assert {k for k, tensor in enumerate((x, *tensors)) if tensor.grad is None} == frozen


@pytest.mark.parametrize("changed", range(6))
def test_a_change_in_place_before_the_derivative_is_refused(changed):
    x, tensors = randn(2, 3, 4).requires_grad_(), parameters((5, 7))
    gradient = slope(x, "tanh", *split(tensors))
    with torch.no_grad():
        (x, *tensors)[changed].add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        gradient.sum().backward()


def test_the_memory_layout_of_the_inputs_does_not_matter():
    x = randn(4, 3, 2).requires_grad_()
    tensors = [tensor.detach().mT.contiguous().mT.requires_grad_() for tensor in parameters((5, 7))[:3]]
    tensors += parameters((5, 7))[3:]
    for view in (x.permute(2, 1, 0), x[:, 0].mT.unsqueeze(1).expand(2, 5, 4), x.permute(1, 2, 0)[::2]):
        assert is_compiled(slope(view, "tanh", *split(tensors)))
        assert_equal(slope, "tanh", view, tensors)


def test_the_cotangent_may_be_an_expanded_view():
    x, tensors = randn(6, 4).requires_grad_(), parameters((5, 7))
    found, expected = (
        torch.autograd.grad(f(x, "tanh", *split(tensors)).sum(), tensors) for f in (slope, slope_by_layers)
    )
    assert all(torch.allclose(a, b, rtol=1e-14, atol=1e-13) for a, b in zip(found, expected, strict=True))


def test_not_a_number_stays_in_its_sample():
    x = randn(40, 4)
    x[7, 2] = torch.nan
    gradient = slope(x, "tanh", *split(parameters((5, 7))))
    assert gradient.isnan().all(-1).nonzero().flatten().tolist() == [7]
    assert gradient.isnan().sum() == 4


def test_saturated_units_pass_nothing_on():
    x = torch.tensor([[400.0, -300.0, 1000.0, 1e9]], dtype=torch.float64, requires_grad=True)
    for activation in ("tanh", "softplus", "silu"):
        assert_equal(slope, activation, x, parameters((5, 7)))


def test_large_networks_run_in_torch():
    x, tensors = randn(3, 4).requires_grad_(), parameters((60, 60))
    assert not is_compiled(slope(x, "tanh", *split(tensors)))
    assert_equal(slope, "tanh", x, tensors)


def test_transforms_differentiate_the_layers():
    x, tensors = randn(5, 4), parameters((5, 7))
    weights, biases = split(tensors)
    expected = torch.autograd.functional.jacobian(
        lambda v: slope_by_layers(v, "tanh", weights, biases).sum(0), x
    )
    found = torch.func.jacrev(lambda v: slope(v, "tanh", weights, biases).sum(0))(x)
    forward = torch.func.jacfwd(lambda v: slope(v, "tanh", weights, biases).sum(0))(x)
    assert torch.allclose(found, expected, rtol=1e-13, atol=1e-14)
    assert torch.allclose(forward, expected, rtol=1e-13, atol=1e-14)


def test_many_cotangents_at_once():
    x, tensors = randn(5, 4).requires_grad_(), parameters((5, 7))
    many = randn(3, 5, 4, seed=2)
    gradient = slope(x, "tanh", *split(tensors))
    found = torch.autograd.grad(gradient, tensors, many, is_grads_batched=True, retain_graph=True)
    for k, cotangent in enumerate(many):
        alone = torch.autograd.grad(gradient, tensors, cotangent, retain_graph=True)
        assert all(torch.allclose(a[k], b, rtol=1e-13, atol=1e-13) for a, b in zip(found, alone, strict=True))


def test_the_last_bias_has_no_derivative():
    net = MLP((4, 5, 7, 1), generator=generator())
    net.gradient(randn(3, 4)).sum().backward()
    assert [name for name, value in net.named_parameters() if value.grad is None] == ["layers.2.bias"]
