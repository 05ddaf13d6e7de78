"""Shares of second moments that structures capture."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from geomlearn.optim import StructuredNaturalGradient, structure_fit


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_shares_are_those_of_the_moments() -> None:
    linear = nn.Linear(4, 3)
    x = normal(8, 4) + 1
    linear.weight.grad = kept = torch.ones(3, 4)
    inputs, outputs = structure_fit(
        linear, lambda: linear(x).square().mean(), ["diagonal", "block-2", "dense"]
    )
    assert linear.weight.grad is kept
    assert linear.bias.grad is None
    a = torch.cat((x, torch.ones(8, 1)), 1).double()
    g = linear(x).detach().double()
    for fit, rows in ((inputs, a), (outputs, g)):
        U = rows.T @ rows
        whole = U.square().sum()
        diagonal = U.diagonal().square().sum()
        blocks = diagonal + 2 * U.diagonal(1)[::2].square().sum()
        expected = {"diagonal": diagonal / whole, "block-2": blocks / whole, "dense": 1.0}
        assert fit.n == len(U)
        for name, share in expected.items():
            assert fit.shares[name] == pytest.approx(float(share), rel=1e-6)
    assert inputs.memory == {"diagonal": 5, "block-2": 9, "dense": 25}


def test_factors_that_are_diagonal_or_not_called_are_left_out() -> None:
    model = nn.ModuleDict(
        {
            "table": nn.Embedding(9, 4),
            "attention": nn.MultiheadAttention(4, 2, batch_first=True),
            "norm": nn.LayerNorm(4),
            "unused": nn.Linear(4, 4),
            "convolution": nn.Conv1d(4, 2, 3),
        }
    )
    words = torch.randint(0, 9, (3, 5), generator=torch.Generator().manual_seed(0))

    def loss() -> torch.Tensor:
        x = model["table"](words)
        x = model["norm"](model["attention"](x, x, x)[0])
        return model["convolution"](x.mT).square().mean()

    fits = structure_fit(model, loss, ["hierarchical", "rank-k"], batch_dim=0)
    found = [(fit.layer, fit.factor, fit.n) for fit in fits]
    assert found == [
        ("table", "outputs", 4),
        ("attention.q", "inputs", 5),
        ("attention.q", "outputs", 4),
        ("attention.k", "inputs", 5),
        ("attention.k", "outputs", 4),
        ("attention.v", "inputs", 5),
        ("attention.v", "outputs", 4),
        ("attention.out_proj", "inputs", 5),
        ("attention.out_proj", "outputs", 4),
        ("norm", "outputs", 8),
        ("convolution", "inputs", 13),
        ("convolution", "outputs", 2),
    ]
    assert all(0 < share <= 1 + 1e-12 for fit in fits for share in fit.shares.values())
    # The names are those by which structures are chosen.
    StructuredNaturalGradient(model, structure={fit.layer: "rank-k" for fit in fits})


def test_wrong_structures_are_named() -> None:
    linear = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="structure must be"):
        structure_fit(linear, lambda: linear(torch.ones(1, 2)).sum(), ["densest"])
