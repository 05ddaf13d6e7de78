"""The optimizer on a linear layer beside the formulas of its papers, written out densely."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geomlearn.optim import StructuredNaturalGradient

from ._networks import PUBLISHED, off

LR, DAMPING, RATE, MOMENTUM, DECAY, INTERVAL = 0.02, 1e-2, 0.1, 0.9, 0.1, 3


def recursion(
    variant: str, weight: Tensor, data: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Weight with the bias in its last column, K and C after all batches, with h1 and no bound."""
    W = weight.clone()
    K, C = torch.eye(W.shape[1], dtype=W.dtype), torch.eye(W.shape[0], dtype=W.dtype)
    m_K, m_C, buffer = torch.zeros_like(K), torch.zeros_like(C), torch.zeros_like(W)
    alpha = 0.5 if variant == "ingd" else 0.0
    for number, (x, y) in enumerate(data):
        n = len(x)
        a = torch.cat((x, torch.ones(n, 1, dtype=x.dtype)), 1)
        g = 2 * (a @ W.T - y) / y.numel()
        if number % INTERVAL == 0:
            H_K, H_C = K.T @ (a.T @ a / n) @ K, C.T @ (n * g.T @ g) @ C
            K2, C2, I_K, I_C = K.T @ K, C.T @ C, torch.eye(len(K)), torch.eye(len(C))
            if variant == "ingd":
                d_i, d_o = len(K), len(C)
                G_K = (H_C.trace() / d_o * H_K + DAMPING * C2.trace() / d_o * K2 - I_K) / 2
                G_C = (H_K.trace() / d_i * H_C + DAMPING * K2.trace() / d_i * C2 - I_C) / 2
            else:
                G_K, G_C = (H_K + DAMPING * K2 - I_K) / 2, (H_C + DAMPING * C2 - I_C) / 2
            m_K, m_C = alpha * m_K + G_K, alpha * m_C + G_C
            K, C = K - RATE * K @ m_K, C - RATE * C @ m_C
        direction = C @ C.T @ (g.T @ a) @ K @ K.T + DECAY * W
        buffer = MOMENTUM * buffer + direction
        W = W - LR * buffer
    return W, K, C


@pytest.mark.parametrize("variant", ["ikfac", "ingd"])
def test_a_linear_layer_follows_the_recursion(variant: str) -> None:
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    data = []
    for _ in range(20):
        x = torch.randn(16, 4, generator=generator, dtype=torch.float64)
        data.append((x, x @ true.T + 0.1 * torch.randn(16, 3, generator=generator, dtype=torch.float64)))
    layer = nn.Linear(4, 3).double()
    start = torch.cat((layer.weight, layer.bias[:, None]), 1).detach()
    optimizer = StructuredNaturalGradient(
        layer,
        LR,
        variant=variant,
        momentum=MOMENTUM,
        weight_decay=DECAY,
        damping=DAMPING,
        factor_rate=RATE,
        interval=INTERVAL,
        h="h1",
        step_bound=0.999,  # which none of these steps comes near
        **PUBLISHED,
    )
    for x, y in data:
        optimizer.zero_grad()
        with optimizer.curvature():
            F.mse_loss(layer(x), y).backward()
        optimizer.step()
    W, K, C = recursion(variant, start, data)
    state: dict[str, Any] = optimizer.state[layer.weight]
    assert off(state["K"].view(5, 5), K) < 1e-14
    assert off(state["C"].view(3, 3), C) < 1e-14
    assert off(torch.cat((layer.weight, layer.bias[:, None]), 1).detach(), W) < 1e-14


def test_weight_decay_is_not_preconditioned() -> None:
    layer = nn.Linear(4, 3, bias=False).double()
    layer.weight.grad = torch.zeros_like(layer.weight)
    optimizer = StructuredNaturalGradient(layer, 0.1, momentum=0.0, weight_decay=0.5, interval=1)
    start = layer.weight.detach().clone()
    with optimizer.curvature():
        (0 * layer(torch.randn(8, 4).double())).sum().backward()
    optimizer.step()
    assert off(layer.weight.detach(), 0.95 * start) < 1e-15


def test_maximizing_is_minimizing_the_negative() -> None:
    found = []
    for sign in (1.0, -1.0):
        torch.manual_seed(0)
        layer = nn.Linear(4, 3).double()
        optimizer = StructuredNaturalGradient(layer, 0.1, maximize=sign < 0, interval=1)
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(1)).double()
        for _ in range(5):
            optimizer.zero_grad()
            with optimizer.curvature():
                (sign * layer(x).square().mean()).backward()
            optimizer.step()
        found.append(layer.weight.detach())
    assert torch.equal(*found)
