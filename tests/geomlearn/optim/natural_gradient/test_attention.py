"""The packed attention of torch beside attention of separate layers."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._networks import generated, iterate, off, optimizer_of


class Attention(nn.Module):
    """Multi-head attention written out with four linear layers, samples first."""

    def __init__(self, inner: nn.MultiheadAttention) -> None:
        super().__init__()
        size = inner.embed_dim
        self.heads = inner.num_heads
        separate = (inner.q_proj_weight, inner.k_proj_weight, inner.v_proj_weight)
        parts = inner.in_proj_weight.chunk(3) if inner.in_proj_weight is not None else separate
        layers = []
        for part, shift in zip(parts, inner.in_proj_bias.chunk(3)):
            layer = nn.Linear(part.shape[1], size).double()
            layer.weight.data, layer.bias.data = part.detach().clone(), shift.detach().clone()
            layers.append(layer)
        self.q, self.k, self.v = layers
        self.out = copy.deepcopy(inner.out_proj)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.q, q), (self.k, k), (self.v, v))
        )
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))


@pytest.mark.parametrize("approximation", ["expand", "reduce"])
@pytest.mark.parametrize("batch_first", [False, True], ids=["positions-first", "samples-first"])
@pytest.mark.parametrize("inputs", ["self", "memory", "three", "sizes"])
def test_attention_has_the_curvature_of_its_four_layers(
    approximation: str, batch_first: bool, inputs: str
) -> None:
    """Whichever way torch slices the packed weight, and wherever the samples are."""
    torch.manual_seed(0)
    sizes = {"kdim": 5, "vdim": 7} if inputs == "sizes" else {}
    packed = nn.MultiheadAttention(4, 2, batch_first=batch_first, **sizes).double()
    plain = Attention(packed)
    q = generated(6, 3, 4)
    k = q if inputs == "self" else generated(6, 5, sizes.get("kdim", 4), seed=1)
    v = k if inputs in ("self", "memory") else generated(6, 5, sizes.get("vdim", 4), seed=2)

    def turn(x: Tensor) -> Tensor:
        return x if batch_first else x.transpose(0, 1)

    def loss(found: Tensor) -> Tensor:
        return (found - 1).square().sum((1, 2)).mean()

    def packed_loss(model: nn.Module) -> Tensor:
        first = turn(q)
        second = first if k is q else turn(k)
        third = second if v is k else turn(v)
        return loss(turn(model(first, second, third, need_weights=False)[0]))

    one, two = (optimizer_of(m, approximation=approximation, interval=1, lr=0.01) for m in (packed, plain))
    a, b = iterate(packed, one, packed_loss, 5), iterate(plain, two, lambda m: loss(m(q, k, v)), 5)
    assert a == pytest.approx(b, rel=1e-12)
    names = {layer.name: layer for layer in one.layers}
    for layer in two.layers:
        name = {"out": "out_proj"}.get(layer.name, layer.name)
        mine = one._curvature.factors(names[name], one.state, one.rule)
        theirs = two._curvature.factors(layer, two.state, two.rule)
        assert off(mine.K, theirs.K) < 1e-11
        assert off(mine.C, theirs.C) < 1e-11
