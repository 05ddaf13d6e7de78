"""The projection rule, the metric and gradients against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lie import structured_factor

from . import reference
from .cases import (
    BANDS,
    GROUPS,
    SYMMETRIC,
    bands,
    draw,
    everything,
    groups,
    inner,
    loss,
    make,
    normal,
    symmetric,
    tangent,
)


@groups
@pytest.mark.parametrize("n", [7, 11, 12])
def test_projection_is_the_dense_least_squares_solution(case, n):
    kind, options = case
    V = reference.basis(kind, n, **options)
    factor = make(case, n)
    H = symmetric(n=n, seed=n)
    expected = torch.from_numpy(reference.projection(V, H.numpy()))
    assert len(V) == factor.dim
    torch.testing.assert_close(factor.project(H), expected, rtol=0, atol=1e-13)
    skew = normal(n, n, seed=3)
    torch.testing.assert_close(factor.project(H + skew - skew.mT), expected, rtol=0, atol=1e-13)


def table(H, k=2):
    """Structure, options and Pi(H), as printed in the table of projections; 6 rows."""
    n = 6
    diagonal = torch.diag(H.diagonal())
    low = diagonal + 2 * H.tril(-1)
    first = torch.arange(n) < k

    def part(rows, columns):
        return H * (rows[:, None] & columns)

    # [[A, B], [0, D]] with the dense A first, and with the dense block last
    up = part(first, first) + 2 * part(first, ~first) + diagonal * ~first
    last = torch.arange(n) >= n - 1
    arrow = 2 * part(~last, last) + diagonal
    # [[A, B1, B2], [0, C, 0], [0, D, E]] with 2, 2 and 2 rows
    layers = torch.zeros_like(H)
    layers[:2, :2], layers[4:, 4:] = H[:2, :2], H[4:, 4:]
    layers[:2, 2:], layers[4:, 2:4] = 2 * H[:2, 2:], 2 * H[4:, 2:4]
    layers[2, 2], layers[3, 3] = H[2, 2], H[3, 3]
    toeplitz, wrapped = torch.zeros_like(H), torch.zeros_like(H)
    for j in range(n):
        along = sum(float(H[i + j, i]) for i in range(n - j)) * (1 if j == 0 else 2) / (n - j)
        around = sum(float(H[(i + j) % n, i]) for i in range(n)) / n
        for i in range(n):
            wrapped[(i + j) % n, i] = around
            if i + j < n:
                toeplitz[i + j, i] = along
    return [
        ("full", {}, H),
        ("diagonal", {}, diagonal),
        ("block_diagonal", {"block": 4}, torch.block_diag(H[:4, :4], H[4:, 4:])),
        ("lower", {}, low),
        ("upper", {}, low.mT),
        ("block_upper", {"rank": k}, up),
        ("block_lower", {"rank": k}, up.mT),
        ("block_upper", {"rank": 1, "diagonal": "first"}, arrow),
        ("block_lower", {"rank": 1, "diagonal": "first"}, arrow.mT),
        ("hierarchical", {"k1": 2, "k2": 2}, layers),
        ("lower_toeplitz", {}, toeplitz),
        ("upper_toeplitz", {}, toeplitz.mT),
        ("circulant", {}, wrapped),
    ]


@pytest.mark.parametrize("row", range(13))
def test_projection_has_the_weights_of_the_published_table(row):
    H = symmetric(n=6, seed=1)
    kind, options, value = table(H)[row]
    got = structured_factor(kind, 6, **options).project(H)
    torch.testing.assert_close(got, value, rtol=0, atol=4e-15)


@bands
def test_projection_of_a_band_is_the_dense_least_squares_solution_at_the_factor(case):
    kind, options = case
    n = 7
    factor = make(case, n)
    A, H = draw(factor, seed=2), symmetric(n=n, seed=3)
    V = np.linalg.solve(A.numpy(), reference.basis(kind, n, **options))
    expected = torch.from_numpy(reference.projection(V, H.numpy()))
    got = factor.project(H, A)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(factor.nearest(A @ got), A @ got, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match=r"not a group.*pass A"):
        factor.project(H)


@everything
def test_coordinates_are_orthonormal_and_metric_derivatives_vanish_where_claimed(case):
    factor = make(case, 5 if case[0] != "hierarchical" else 7)
    A = draw(factor, seed=1)
    zero = torch.zeros(factor.dim, dtype=torch.float64)

    def matrix(eta):
        return factor.matrix(
            factor.retract(A, factor.from_coordinates(eta, A), "exp" if factor.closed else None)
        )

    def metric(eta):
        slopes = torch.func.jacfwd(matrix)(eta).movedim(-1, 0)
        return inner(matrix(eta), slopes[:, None], slopes)

    eye = torch.eye(factor.dim, dtype=torch.float64)
    torch.testing.assert_close(metric(zero), eye, rtol=0, atol=1e-12)
    slope = torch.func.jacfwd(metric)(zero).abs().max()
    assert factor.geodesic == (case[0] in (*SYMMETRIC, "lower", "upper") or case[1].get("k1") == 8)
    # Where V is symmetric these are normal coordinates; a commutative group is flat.
    if case[0] in (*SYMMETRIC, "lower_toeplitz", "upper_toeplitz") or case[1].get("k1") == 8:
        assert float(slope) < 1e-11
    else:
        assert float(slope) > 0.1


@everything
def test_coordinates_and_elements_of_the_tangent_space_are_inverse(case):
    factor = make(case, 8)
    A = draw(factor, 3, seed=4)
    eta, other = normal(3, factor.dim, seed=5), normal(3, factor.dim, seed=6)
    N, M = factor.from_coordinates(eta, A), factor.from_coordinates(other, A)
    torch.testing.assert_close(factor.coordinates(N, A), eta, rtol=0, atol=1e-13)
    torch.testing.assert_close(factor.inner(N, M), (eta * other).sum(-1), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(factor.project(0.5 * (N + N.mT), A), N, rtol=0, atol=1e-13)


@everything
def test_gradients_represent_the_derivative_of_the_loss(case):
    factor = make(case, 6)
    A = draw(factor, seed=7)
    tau = factor.matrix(A)
    slope = torch.func.grad(loss)(tau)
    slope_of_factor = torch.func.grad(lambda A: loss(factor.matrix(A)))(A)
    gradient = factor.gradient_of_matrix(A, slope)
    torch.testing.assert_close(factor.gradient(A, slope_of_factor), gradient, rtol=1e-12, atol=1e-12)
    # The natural step of the papers, N = -(beta / 2) Pi(A^T g A).
    H = A.mT @ (0.5 * (slope + slope.mT)) @ A
    torch.testing.assert_close(gradient, 0.5 * factor.project(H, A), rtol=1e-13, atol=1e-13)
    for seed in range(3):
        N = tangent(factor, A, seed=seed)
        velocity = A @ (N + N.mT) @ A.mT
        derivative = (slope * velocity).sum()
        torch.testing.assert_close(factor.inner(gradient, N), derivative, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(
            inner(tau, A @ (2 * gradient + 2 * gradient.mT) @ A.mT, velocity) / 2,
            derivative,
            rtol=1e-10,
            atol=1e-10,
        )


def test_gradient_of_a_factor_is_right_for_losses_that_see_more_than_tau():
    for case in GROUPS + BANDS:
        factor = make(case, 6)
        A = draw(factor, seed=8)
        weight = normal(6, 6, seed=9)
        N = tangent(factor, A, seed=10)
        gradient = factor.gradient(A, weight)
        torch.testing.assert_close(
            factor.inner(gradient, N), (weight * (A @ N)).sum(), rtol=1e-12, atol=1e-12
        )
