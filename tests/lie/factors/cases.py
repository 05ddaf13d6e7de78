"""Structures that the tests go through, and tensors for them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lie import structured_factor

GROUPS: list[tuple[str, dict[str, Any]]] = [
    ("full", {}),
    ("diagonal", {}),
    ("block_diagonal", {"block": 4}),
    ("lower", {}),
    ("upper", {}),
    ("block_lower", {"rank": 3}),
    ("block_upper", {"rank": 3}),
    ("block_lower", {"rank": 1, "diagonal": "first"}),
    ("block_upper", {"rank": 2, "diagonal": "first"}),
    ("hierarchical", {"k1": 3, "k2": 2}),
    ("hierarchical", {"k1": 3, "k2": 2, "transposed": True}),
    ("hierarchical", {"k1": 8, "k2": 5}),
    ("lower_toeplitz", {}),
    ("upper_toeplitz", {}),
    ("circulant", {}),
]
BANDS: list[tuple[str, dict[str, Any]]] = [
    ("lower_banded", {"bandwidth": 1}),
    ("upper_banded", {"bandwidth": 2}),
    ("lower_banded_toeplitz", {"bandwidth": 2}),
    ("upper_banded_toeplitz", {"bandwidth": 1}),
]
SYMMETRIC = ("full", "diagonal", "block_diagonal", "circulant")
EPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}


def label(case) -> str:
    kind, options = case
    return "-".join([kind, *(f"{key}{value}" for key, value in options.items())])


groups = pytest.mark.parametrize("case", GROUPS, ids=map(label, GROUPS))
bands = pytest.mark.parametrize("case", BANDS, ids=map(label, BANDS))
everything = pytest.mark.parametrize("case", GROUPS + BANDS, ids=map(label, GROUPS + BANDS))
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
truncations = pytest.mark.parametrize("h", ["exp", "h2", "h1", "cayley"])


def make(case, n):
    kind, options = case
    return structured_factor(kind, n, **options)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def symmetric(*batch, n, seed=0):
    matrix = normal(*batch, n, n, seed=seed)
    return matrix + matrix.mT


def draw(factor, *batch, seed=0, dtype=torch.float64):
    return factor.random(*batch, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def tangent(factor, A, seed=0, length=None):
    eta = normal(*A.shape[:-2], factor.dim, seed=seed)
    if length is not None:
        eta = length * eta / eta.norm(dim=-1, keepdim=True)
    return factor.from_coordinates(eta, A)


def inner(tau, U, V):
    """The affine-invariant inner product, from its definition."""
    left, right = torch.linalg.solve(tau, U), torch.linalg.solve(tau, V)
    return (left * right.mT).sum((-2, -1))


def loss(tau):
    """A loss of tau without symmetry of its own."""
    n = tau.shape[-1]
    weight = torch.arange(1.0, n + 1, dtype=tau.dtype).diag() + 0.1
    return (tau @ weight @ tau).diagonal(dim1=-2, dim2=-1).sum(-1) - 3 * torch.logdet(tau)
