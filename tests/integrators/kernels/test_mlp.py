"""Perceptrons in kernels: values and gradients against torch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from integrators.kernels import ACTIVATIONS, EmittedLayers, KernelBuilder, Layers

from ._interpreted import run_section

TORCH: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "silu": nn.SiLU(),
    "softplus": nn.Softplus(),
    "sin": torch.sin,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
}


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("hidden", [(), (4,), (13, 3), (11, 2, 12)], ids=str)
@pytest.mark.parametrize("lanes", [1, 7])
def test_value_and_gradient_equal_autograd(activation: str, hidden: tuple[int, ...], lanes: int) -> None:
    generator = torch.Generator().manual_seed(1)
    sizes = (5, *hidden, 1)
    weights = [torch.randn(b, a, generator=generator, dtype=torch.float64) for a, b in pairwise(sizes)]
    biases = [torch.randn(b, generator=generator, dtype=torch.float64) for b in sizes[1:]]
    x = torch.randn(lanes, 5, generator=generator, dtype=torch.float64)

    def network(value: torch.Tensor) -> torch.Tensor:
        for k, (weight, bias) in enumerate(zip(weights, biases)):
            value = weight @ value + bias
            if k < len(hidden):
                value = TORCH[activation](value)
        return value[0]

    b = KernelBuilder()
    inputs = b.rows(5)
    net = EmittedLayers(b, Layers(weights, biases, activation))
    b.section("start")
    output = net.emit_forward(inputs)
    slope = net.emit_backward()
    A = run_section(b, "start", x.T.numpy())
    assert np.allclose(A[output[0]], torch.func.vmap(network)(x), rtol=0, atol=1e-13)
    expected = torch.func.vmap(torch.func.grad(network))(x)
    assert np.allclose(A[slope].T, expected, rtol=1e-13, atol=1e-13)
