"""Compact storage: the algebra on stored numbers equals that of dense matrices, and needs none."""

from __future__ import annotations

import pytest
import torch

from lie import StructuredFactor, structured_factor

from .cases import BANDS, EPS, GROUPS, draw, dtypes, everything, groups, make, normal, tangent

LARGE = [
    ("diagonal", {}),
    ("block_diagonal", {"block": 32}),
    ("block_lower", {"rank": 3}),
    ("block_upper", {"rank": 3, "diagonal": "first"}),
    ("hierarchical", {"k1": 4, "k2": 3}),
    ("lower_toeplitz", {}),
    ("circulant", {}),
]


@everything
@dtypes
def test_storage_round_trip(case, dtype):
    factor = make(case, 9)
    A = draw(factor, 2, 3, seed=1, dtype=dtype)
    stored = factor.pack(A)
    assert stored.shape == (2, 3, factor.memory)
    assert stored.dtype == dtype
    assert torch.equal(factor.unpack(stored), A)
    assert torch.equal(factor.pack(factor.unpack(stored)), stored)


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_numbers_of_stored_entries_and_coordinates(n):
    half = n * (n + 1) // 2
    expected = {
        "full": (n * n, half),
        "diagonal": (n, n),
        "lower": (half, half),
        "upper_toeplitz": (n, n),
        "circulant": (n, n // 2 + 1),
    }
    for kind, sizes in expected.items():
        factor = structured_factor(kind, n)
        assert (factor.memory, factor.dim) == sizes
    low_rank = structured_factor("block_lower", n, rank=1)
    assert (low_rank.memory, low_rank.dim) == (2 * n - 1, 2 * n - 1)
    if n == 12:
        assert structured_factor("block_diagonal", 12, block=5).memory == 25 + 25 + 4
        assert structured_factor("hierarchical", 12, k1=3, k2=2).memory == 9 + 7 + 4 + 3 * 7 + 3 * 2 + 2 * 7
        assert structured_factor("lower_banded", 12, bandwidth=2).memory == 12 + 11 + 10


@everything
@pytest.mark.parametrize("batch", [(), (3,), (0,)], ids=str)
def test_products_with_columns(case, batch):
    factor = make(case, 11)
    A, X = draw(factor, *batch, seed=1), normal(*batch, 11, 4, seed=2)
    packed, stored = factor.packed, factor.pack(A)
    close = lambda got, expected: torch.testing.assert_close(got, expected, rtol=0, atol=1e-14)  # noqa: E731
    close(packed.multiply(stored, X), A @ X)
    close(packed.multiply(stored, X, transpose=True), A.mT @ X)
    close(packed.trace(stored), A.diagonal(dim1=-2, dim2=-1).sum(-1))
    close(packed.norm(stored), torch.linalg.matrix_norm(A))


@everything
def test_sum_with_a_multiple_of_the_identity(case):
    factor = make(case, 9)
    A = draw(factor, 2, seed=1)
    stored = factor.pack(A)
    kept = stored.clone()
    shifted = factor.unpack(factor.packed.shift(stored, -0.75))
    torch.testing.assert_close(shifted, A - 0.75 * torch.eye(9).double(), rtol=0, atol=1e-15)
    assert torch.equal(stored, kept)


@everything
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_bound_of_the_norm(case, dtype):
    factor = make(case, 17)
    A = factor.nearest(normal(5, 17, 17, seed=1))
    packed = factor.packed
    bound = packed.norm_bound(factor.pack(A.to(dtype)))
    assert bound.dtype == dtype
    # Both factors of the bound are within the root of the number of rows.
    ratio = bound.double() / torch.linalg.matrix_norm(A, 2)
    assert float(ratio.min()) > 1 - 1e-6
    assert float(ratio.max()) < 17**0.5
    # Exact for multiples of the identity, whose Frobenius norm is large.
    identity = packed.identity(dtype=dtype)
    torch.testing.assert_close(packed.norm_bound(-0.5 * identity), torch.tensor(0.5, dtype=dtype))


@groups
@pytest.mark.parametrize("batch", [(), (3,), (0,)], ids=str)
def test_algebra_on_stored_numbers(case, batch):
    factor = make(case, 11)
    A, B = draw(factor, *batch, seed=1), draw(factor, *batch, seed=2)
    N, X = tangent(factor, A, seed=3, length=1.0), normal(*batch, 11, 4, seed=4)
    packed, stored = factor.packed, factor.pack(A)

    def close(got, expected):
        assert got.shape == (*batch, factor.memory)
        torch.testing.assert_close(factor.unpack(got), expected, rtol=0, atol=2e-14)

    close(packed.compose(stored, factor.pack(B)), A @ B)
    close(packed.gram(X), factor.project(X @ X.mT))
    close(packed.own_gram(stored), factor.project(A.mT @ A))
    close(packed.identity(*batch, dtype=torch.float64), torch.eye(11).double().expand(*batch, 11, 11))
    for h in ("exp", "h2", "h1", "cayley"):
        close(packed.chart(stored, factor.pack(N), h), factor.chart(A, N, h))


@pytest.mark.parametrize(("kind", "options"), LARGE, ids=[kind for kind, _ in LARGE])
def test_large_factors_never_become_dense(kind, options, monkeypatch):
    """A step of a preconditioner of 20,000 rows: a dense matrix would take 1.6 GB."""
    n = 20_000

    def refuse(*_, **__):
        raise AssertionError("made a dense matrix")

    factor = structured_factor(kind, n, **options)
    for method in ("unpack", "pack", "identity", "project", "nearest"):
        monkeypatch.setattr(StructuredFactor, method, refuse)
    packed = factor.packed
    stored = packed.identity()
    X = normal(n, 2, dtype=torch.float32)
    gram = packed.gram(packed.multiply(stored, X, transpose=True))
    moved = packed.chart(stored, -0.1 * (gram - stored) / n)
    assert moved.shape == (factor.memory,)
    assert float(packed.trace(stored)) == n
    packed.own_gram(moved)
    assert float(packed.norm_bound(packed.shift(stored, 1.0))) == pytest.approx(2)
    forms = [(packed.multiply(moved, X, transpose=t) * X).sum() for t in (False, True)]
    torch.testing.assert_close(*forms, rtol=1e-3, atol=0)


@pytest.mark.parametrize("case", [GROUPS[2], GROUPS[3], GROUPS[9], GROUPS[12], GROUPS[14], BANDS[0]], ids=str)
def test_derivatives_vmap_and_dtypes_of_the_packed_algebra(case):
    factor = make(case, 7)
    packed = factor.packed
    stored, X = factor.pack(draw(factor, 2, seed=1)), normal(2, 7, 3, seed=2)

    def run(stored, X):
        gram = packed.gram(packed.multiply(stored, X, transpose=True))
        moved = packed.chart(stored, 0.01 * gram) if factor.closed else stored + gram
        return moved, packed.own_gram(moved), packed.multiply(moved, X)

    leaves = stored.clone().requires_grad_(), X.clone().requires_grad_()
    if factor.closed:
        assert torch.autograd.gradcheck(run, leaves, check_forward_ad=True, fast_mode=True)
        for got, expected in zip(torch.vmap(run)(stored, X), run(stored, X)):
            torch.testing.assert_close(got, expected, rtol=1e-13, atol=1e-13)
        for got, exact in zip(run(stored.float(), X.float()), run(stored, X)):
            assert got.dtype == torch.float32
            atol = 100 * EPS[torch.float32] * float(exact.abs().max())
            torch.testing.assert_close(got.double(), exact, rtol=0, atol=atol)
    else:
        product = lambda stored, X: packed.multiply(stored, X)  # noqa: E731
        assert torch.autograd.gradcheck(product, leaves, check_forward_ad=True, fast_mode=True)


def test_packed_objects_are_equal_by_value():
    factor = structured_factor("block_upper", 6, rank=2)
    assert factor.packed == structured_factor("block_upper", 6, rank=2).packed
    assert hash(factor.packed) == hash(structured_factor("block_upper", 6, rank=2).packed)
    assert factor.packed != structured_factor("block_upper", 6, rank=1).packed
    assert repr(factor.packed) == 'lie.structured_factor("block_upper", 6, rank=2).packed'


def test_wrong_packed_arguments_are_named():
    factor = structured_factor("diagonal", 4)
    with pytest.raises(ValueError, match=r"stored must have shape \(\.\.\., 4\)"):
        factor.packed.trace(torch.ones(3))
    with pytest.raises(ValueError, match=r"X must have shape \(\.\.\., 4, m\)"):
        factor.packed.gram(torch.ones(4))
    with pytest.raises(ValueError, match=r"h must be one of"):
        factor.packed.chart(torch.ones(4), torch.ones(4), "h3")
