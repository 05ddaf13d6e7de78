"""Factors of given matrices, and the matrices that each structure stands for."""

from __future__ import annotations

import pytest
import scipy.linalg
import torch

from lie import structured_factor

from .cases import EPS, draw, dtypes, everything, make, symmetric


@everything
@dtypes
def test_factorisation_reproduces_the_matrix(case, dtype):
    factor = make(case, 9)
    tau = factor.matrix(draw(factor, 3, seed=6, dtype=dtype))
    found = factor.factorize(tau)
    factor.check(found)
    assert found.dtype == dtype
    torch.testing.assert_close(found @ found.mT, tau, rtol=0, atol=40 * EPS[dtype] * float(tau.abs().max()))


def test_triangular_factors_are_those_of_cholesky():
    tau = symmetric(n=6, seed=7)
    tau = tau @ tau + torch.eye(6)
    torch.testing.assert_close(
        structured_factor("lower", 6).factorize(tau), torch.linalg.cholesky(tau), rtol=0, atol=1e-14
    )
    upper = structured_factor("upper", 6).factorize(tau)
    torch.testing.assert_close(
        upper, torch.linalg.cholesky(tau.flip(-1, -2)).flip(-1, -2), rtol=0, atol=1e-14
    )


def test_matrices_that_the_structures_stand_for():
    n, k = 7, 2
    off = ~torch.eye(n, dtype=torch.bool)

    def rank_beside_the_diagonal(matrix, extra):
        values = torch.linalg.svdvals(matrix - torch.diag(extra))
        return int((values > 1e-10 * values[0]).sum())

    for kind, diagonal, inverse in (
        ("block_lower", "last", False),
        ("block_upper", "last", True),
        ("block_upper", "first", False),
        ("block_lower", "first", True),
    ):
        factor = structured_factor(kind, n, rank=k, diagonal=diagonal)
        A = draw(factor, seed=8)
        single = torch.arange(n) >= k if diagonal == "last" else torch.arange(n) < n - k
        d = torch.where(single, A.diagonal(), 0)
        matrix = factor.inverse_matrix(A) if inverse else factor.matrix(A)
        extra = torch.where(single, d.where(single, torch.ones(n)) ** (-2 if inverse else 2), 0.0)
        assert rank_beside_the_diagonal(matrix, extra) == k
        other = factor.matrix(A) if inverse else factor.inverse_matrix(A)
        beside = other[single][:, single]
        torch.testing.assert_close(beside, torch.diag(beside.diagonal()), rtol=0, atol=1e-12)
    for transposed in (False, True):
        factor = structured_factor("hierarchical", n, k1=1, k2=2, transposed=transposed)
        A = draw(factor, seed=9)
        matrix = factor.matrix(A) if transposed else factor.inverse_matrix(A)
        single = torch.tensor([0.0, 1, 1, 1, 1, 0, 0], dtype=torch.float64)
        assert rank_beside_the_diagonal(matrix, single * A.diagonal() ** (2 if transposed else -2)) == 3
    arrow = structured_factor("block_lower", n, rank=1, diagonal="first")
    tau = arrow.matrix(draw(arrow, seed=10))
    assert float(tau[:-1, :-1][off[:-1, :-1]].abs().max()) == 0.0
    shape = (
        torch.eye(n) * 5
        + torch.nn.functional.pad(torch.ones(1, n - 1), (0, 1, n - 1, 0))
        + torch.nn.functional.pad(torch.ones(n - 1, 1), (n - 1, 0, 0, 1))
    )
    arrow.check(arrow.factorize(shape.double()))
    band = torch.tensor(scipy.linalg.toeplitz([2.0, -1.0, 0, 0, 0]))
    bidiagonal = structured_factor("lower_banded", 5, bandwidth=1).factorize(band)
    torch.testing.assert_close(
        bidiagonal.diagonal(), torch.tensor([(k + 2) / (k + 1) for k in range(5)]).double().sqrt()
    )


def test_matrices_without_a_factor_are_refused():
    tau = symmetric(2, n=5, seed=11)
    tau = tau @ tau + torch.eye(5)
    for kind, options in (
        ("diagonal", {}),
        ("block_upper", {"rank": 2}),
        ("lower_toeplitz", {}),
        ("circulant", {}),
        ("lower_banded", {"bandwidth": 1}),
    ):
        factor = structured_factor(kind, 5, **options)
        with pytest.raises(ValueError, match=rf"tau\[0\] has no factor in {kind}.*full, lower, upper"):
            factor.factorize(tau)
        assert factor.factorize(tau, check=False).shape == (2, 5, 5)
    tau[1] = -tau[1]
    for kind in ("full", "circulant", "diagonal"):
        with pytest.raises(
            ValueError, match=r"tau(\[1\] is not symmetric positive definite|\[0\] has no factor|\[1\])"
        ):
            structured_factor(kind, 5).factorize(tau)
    with pytest.raises(ValueError, match=r"tau\[1\] is not symmetric positive definite"):
        structured_factor("lower", 5).factorize(tau)
    assert bool(structured_factor("lower", 5).factorize(tau, check=False)[1].diagonal().isnan().all())
