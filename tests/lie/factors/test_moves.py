"""Closure of the groups, truncations of the exponential, geodesics, duality."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from lie import structured_factor

from . import reference
from .cases import draw, groups, make, symmetric, tangent, truncations


@groups
def test_products_inverses_and_truncations_have_the_pattern(case):
    factor = make(case, 11)
    A, B = draw(factor, 4, seed=1), draw(factor, 4, seed=2)
    N = tangent(factor, A, seed=3, length=1.0)
    dense = [A @ B, torch.linalg.inv(A), torch.linalg.matrix_exp(N), torch.eye(11) + N + 0.5 * N @ N]
    for matrix in dense:
        size = matrix.abs().amax((-2, -1), keepdim=True)
        torch.testing.assert_close(factor.nearest(matrix) / size, matrix / size, rtol=0, atol=4e-15)
    for got, matrix in zip((factor.compose(A, B), factor.inverse(A), factor.expm(N), factor.h2(N)), dense):
        torch.testing.assert_close(got, matrix, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(factor.h1(N), torch.eye(11) + N, rtol=0, atol=1e-15)


@groups
@truncations
def test_zeros_and_ties_stay_exact_over_a_hundred_updates(case, h):
    kind, options = case
    factor = make(case, 11)
    A = factor.identity(dtype=torch.float64)
    for k in range(100):
        A = factor.chart(A, tangent(factor, A, seed=k, length=0.1), h)
    assert factor.residual(A) < 1e-15 * A.abs().max()
    if not kind.endswith("toeplitz") and kind != "circulant" and options.get("k1") != 8:
        outside = torch.tensor(
            [[not reference.allowed(kind, 11, **options)(i, j) for j in range(11)] for i in range(11)]
        )
        assert torch.equal(A[outside], torch.zeros_like(A[outside]))
        assert torch.equal(factor.mask, ~outside)


@groups
def test_elements_of_the_tangent_space_have_real_eigenvalues(case):
    factor = make(case, 9)
    # Toeplitz: one eigenvalue of multiplicity 9, which rounding spreads; their N minus it is nilpotent.
    N = tangent(factor, factor.identity(50, dtype=torch.float64), seed=1)
    if case[0].endswith("toeplitz"):
        assert torch.equal(N.diagonal(dim1=-2, dim2=-1).amax(-1), N.diagonal(dim1=-2, dim2=-1).amin(-1))
        assert torch.equal(N.tril(-1) if "upper" in case[0] else N.triu(1), torch.zeros_like(N))
    else:
        assert float(torch.linalg.eigvals(N).imag.abs().max()) < 1e-10


@pytest.mark.parametrize("size", [0.5, 1.0, 2.0, 4.0])
def test_h2_of_symmetric_matrices_never_falls_below_one_half(size):
    factor = structured_factor("full", 6)
    N = symmetric(500, n=6, seed=2)
    N = size * N / torch.linalg.matrix_norm(N, 2)[..., None, None]
    smallest = torch.linalg.svdvals(factor.h2(N)).amin(-1)
    assert float(smallest.min()) >= 0.5 - 1e-14
    if size >= 1:
        assert float(torch.linalg.svdvals(factor.h1(-size * torch.eye(6).double() / size)).max()) == 0.0
        assert float(torch.linalg.svdvals(factor.h1(N)).min()) < 0.5


def test_h2_needs_the_real_eigenvalues_of_the_tangent_space():
    turn = torch.tensor([[-1.0, -1.0], [1.0, -1.0]], dtype=torch.float64)  # eigenvalues -1 + i, -1 - i
    assert float((torch.eye(2) + turn + 0.5 * turn @ turn).abs().max()) < 1e-15


@groups
def test_h2_keeps_the_matrix_positive_definite_for_any_step(case):
    factor = make(case, 5)
    A = draw(factor, 50, seed=3)
    for length in (1.0, 5.0, 30.0):
        moved = factor.chart(A, tangent(factor, A, seed=4, length=length), "h2")
        sign, logarithm = torch.linalg.slogdet(torch.linalg.solve(A, moved))
        assert bool((sign > 0).all())
        assert bool((logarithm >= 5 * np.log(0.5) - 1e-9).all())  # every eigenvalue is at least one half


@groups
def test_order_of_the_truncations(case):
    factor = make(case, 8)
    direction = tangent(factor, factor.identity(dtype=torch.float64), seed=5, length=1.0)
    expected = {"h1": 2.0, "h2": 3.0, "cayley": 3.0}
    for h, order in expected.items():
        errors = []
        for size in (0.05, 0.025, 0.0125):
            N = size * direction
            error = factor.matrix(factor.chart(torch.eye(8).double(), N, h)) - factor.matrix(
                torch.linalg.matrix_exp(N)
            )
            errors.append(float(error.norm()))
        slopes = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
        assert abs(slopes[-1] - order) < 0.1, (h, slopes)
    exact = factor.chart(torch.eye(8).double(), direction, "exp")
    torch.testing.assert_close(
        exact, torch.from_numpy(scipy.linalg.expm(direction.numpy())), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("kind", ["full", "lower"])
def test_charts_follow_geodesics_exactly_or_to_second_order(kind):
    factor = structured_factor(kind, 6)
    A = draw(factor, seed=6)
    tau = factor.matrix(A)
    root = torch.from_numpy(scipy.linalg.sqrtm(tau.numpy()).real)
    direction = tangent(factor, A, seed=7, length=1.0)

    def gap(size, h):
        N = size * direction
        velocity = torch.linalg.solve(root, torch.linalg.solve(root, A @ (N + N.mT) @ A.mT), left=False)
        geodesic = root @ torch.linalg.matrix_exp(velocity) @ root
        return float((factor.matrix(factor.chart(A, N, h)) - geodesic).norm() / tau.norm())

    if kind == "full":
        assert gap(1.0, "exp") < 1e-13
        return
    for h in ("exp", "h2", "h1"):
        assert abs(np.log2(gap(0.02, h) / gap(0.01, h)) - 2) < 0.05


def test_transport_of_the_full_structure_is_the_identity_in_the_moving_frame():
    factor = structured_factor("full", 7)
    A = draw(factor, seed=8)
    N, M = tangent(factor, A, seed=9), tangent(factor, A, seed=10)
    B = factor.chart(A, N, "exp")
    E = torch.from_numpy(
        scipy.linalg.sqrtm((factor.matrix(B) @ torch.linalg.inv(factor.matrix(A))).numpy()).real
    )
    carried = E @ (A @ M @ A.mT) @ E.mT
    torch.testing.assert_close(B @ M @ B.mT, carried, rtol=0, atol=1e-11 * float(carried.abs().max()))


def test_momentum_in_the_frame_is_riemannian_heavy_ball():
    """Two hundred steps with the exponential, against exact geodesics and parallel transport."""
    rng = np.random.default_rng(0)
    d, alpha, beta = 8, 0.9, 0.05
    orthogonal = lambda: np.linalg.qr(rng.standard_normal((d, d)))[0]  # noqa: E731
    q, p = orthogonal(), orthogonal()
    Q = q @ np.diag(np.logspace(-1, 1, d)) @ q.T
    tau = p @ np.diag(np.logspace(-0.5, 0.5, d)) @ p.T
    factor = structured_factor("full", d)
    A = torch.linalg.cholesky(torch.from_numpy(tau))
    z, Z = torch.zeros(d, d, dtype=torch.float64), np.zeros((d, d))
    worst = 0.0
    for _ in range(200):
        g = torch.from_numpy(Q) - torch.linalg.inv(factor.matrix(A))
        z = alpha * z + beta * factor.gradient_of_matrix(A, g)
        A = factor.chart(A, -z, "exp")
        V = alpha * Z + beta * tau @ (Q - np.linalg.inv(tau)) @ tau
        values, vectors = np.linalg.eigh(tau)
        root, inverse = ((vectors * values**s) @ vectors.T for s in (0.5, -0.5))
        step = scipy.linalg.expm(-inverse @ V @ inverse)
        after = root @ step @ root
        E = root @ scipy.linalg.sqrtm(step).real @ inverse
        tau, Z = 0.5 * (after + after.T), E @ V @ E.T
        worst = max(worst, float(np.abs(factor.matrix(A).numpy() - tau).max() / np.abs(tau).max()))
    assert worst < 1e-9
    np.testing.assert_allclose(tau, np.linalg.inv(Q), atol=0.05)


@groups
def test_covariance_and_precision_are_dual(case):
    factor = make(case, 7)
    A = draw(factor, seed=11)
    N = tangent(factor, A, seed=12, length=1.0)
    dual = torch.linalg.inv(A).mT
    factor.dual.check(dual)
    moved = factor.dual.chart(dual, -N.mT, "exp")
    torch.testing.assert_close(moved, torch.linalg.inv(factor.chart(A, N, "exp")).mT, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        factor.dual.matrix(moved), factor.inverse_matrix(factor.chart(A, N, "exp")), rtol=0, atol=1e-11
    )
    assert factor.dual.dual == factor


def test_truncations_break_duality_at_their_order():
    factor = structured_factor("full", 5)
    N = 0.3 * symmetric(n=5, seed=13)
    eye = torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(
        factor.h2(N) @ factor.h2(-N), eye + torch.linalg.matrix_power(N, 4) / 4, rtol=0, atol=1e-14
    )
    torch.testing.assert_close(factor.h1(N) @ factor.h1(-N), eye - N @ N, rtol=0, atol=1e-14)
