"""What the optimizer says of itself, and what it holds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from geomlearn.optim import StructuredNaturalGradient

from ._networks import generated, iterate, off, optimizer_of, perceptron, train


def test_the_spectrum_is_that_of_the_preconditioner_of_the_gradient() -> None:
    """Eigenvalues of the linear map grad -> direction, found by applying it to a basis."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.LayerNorm(4), nn.Linear(4, 2)).double()
    optimizer = optimizer_of(model, lr=0.0, structure={"0": "triangular", "3": ("hierarchical-1-1", "dense")})
    x = generated(32, 3)
    iterate(model, optimizer, lambda m: (m(x) - 1).square().sum(-1).mean(), 6)
    spectra = optimizer.preconditioner_spectrum()
    assert list(spectra) == ["0", "2", "3"]
    for layer in optimizer.layers:
        parts = [part.parameter for part in (layer.weight, layer.bias) if part is not None]
        size = sum(p.numel() for p in parts)
        columns = []
        for unit in torch.eye(size, dtype=torch.float64):
            gradients = dict(
                zip(parts, (g.view_as(p) for g, p in zip(unit.split([p.numel() for p in parts]), parts)))
            )
            found = optimizer._curvature.directions(gradients, optimizer.state, optimizer.rule, {})
            columns.append(torch.cat([found[p].flatten() for p in parts]))
        expected = torch.linalg.eigvalsh(torch.stack(columns))
        spectrum = spectra[layer.name]
        products = torch.outer(spectrum.inputs, spectrum.outputs).flatten().sort().values
        assert off(products, expected) < 1e-12
        assert spectrum.condition == pytest.approx(float(expected[-1] / expected[0]), rel=1e-10)
        assert spectrum.condition > 1.01


def state_bytes(optimizer: StructuredNaturalGradient) -> int:
    tensors = [
        v for s in optimizer.state_dict()["state"].values() for v in s.values() if isinstance(v, Tensor)
    ]
    return sum(v.numel() * v.element_size() for v in tensors)


@pytest.mark.parametrize(
    ("structure", "variant", "published"),
    [
        ("dense", "ikfac", 3.69),
        ("dense", "ingd", 6.39),
        ("block-30", "ikfac", 2.27),
        ("hierarchical-15-15", "ikfac", 2.28),
        ("diagonal", "ikfac", 1.05),
        ("toeplitz", "ikfac", 1.05),
    ],
)
def test_the_state_is_as_small_as_published(structure: str, variant: str, published: float) -> None:
    """Bytes of state for a byte of parameters of a 64-128-128-10 perceptron, beside those of singd."""
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = optimizer_of(model, structure=structure, variant=variant)
    x = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    iterate(model, optimizer, lambda m: m(x).square().mean(), 1)
    ratio = state_bytes(optimizer) / sum(p.numel() * p.element_size() for p in model.parameters())
    assert ratio <= published + 0.005


class Largest(TorchDispatchMode):
    """Number of entries of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, Tensor):
                self.entries = max(self.entries, tensor.numel())
        return made


@pytest.mark.parametrize("structure", ["toeplitz", "diagonal", "block", "hierarchical", "rank-4"])
def test_structured_factors_are_never_made_dense(structure: str) -> None:
    """Neither in a refresh nor in a step: nothing has the size of a matrix of all inputs."""
    n = 2000
    model = nn.Linear(n, 3)
    optimizer = optimizer_of(model, structure=structure, interval=2)
    x = torch.randn(8, n, generator=torch.Generator().manual_seed(0))
    iterate(model, optimizer, lambda m: m(x).square().mean(), 1)
    with Largest() as largest:
        iterate(model, optimizer, lambda m: m(x).square().mean(), 3)
    assert largest.entries <= max(40 * n, 60_000)


def test_a_function_of_the_step_is_the_rate_of_each_refresh() -> None:
    asked: list[int] = []

    def rate(steps: int) -> float:
        asked.append(steps)
        return 0.1 / (1 + steps)

    model = perceptron()
    optimizer = optimizer_of(model, factor_rate=rate, interval=3)
    train(model, optimizer, range(8))
    assert asked == [0, 0, 3, 6]
    assert optimizer.rule.rate == pytest.approx(0.1 / 7)
