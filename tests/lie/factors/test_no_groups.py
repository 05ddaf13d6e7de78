"""Patterns that are no groups: what fails, what is refused, what bands offer instead."""

from __future__ import annotations

import pytest
import scipy.linalg
import torch

from lie import structured_factor

from .cases import bands, draw, make, normal, tangent


def test_products_of_banded_arrow_and_toeplitz_matrices_leave_their_class():
    factor = structured_factor("lower_banded", 5, bandwidth=1)
    assert not factor.closed
    A = draw(factor, seed=1)
    product = A @ A
    assert float(product[2, 0]) == pytest.approx(float(A[2, 1] * A[1, 0]))
    assert float(factor.residual(product)) > 1e-3
    arrow = (
        torch.eye(4)
        + torch.nn.functional.pad(torch.ones(3, 1), (3, 0, 0, 1))
        + torch.nn.functional.pad(torch.ones(1, 3), (0, 1, 3, 0))
    )
    assert float((arrow @ arrow)[0, 1]) == 1.0  # an arrow has a zero there
    toeplitz = torch.tensor(scipy.linalg.toeplitz([2.0, 1.0, 0.0]))
    assert (toeplitz @ toeplitz)[0, 0] != (toeplitz @ toeplitz)[1, 1]


@bands
def test_group_operations_of_bands_are_refused_with_the_mend(case):
    factor = make(case, 6)
    A = draw(factor, seed=1)
    N = tangent(factor, A, seed=2)
    for call in (
        lambda: factor.chart(A, N),
        lambda: factor.expm(N),
        lambda: factor.compose(A, A),
        lambda: factor.retract(A, N, "h2"),
        lambda: factor.packed.compose(factor.pack(A), factor.pack(A)),
        lambda: factor.packed.chart(factor.pack(A), factor.pack(A)),
    ):
        with pytest.raises(ValueError, match=r"not a group.*retract"):
            call()
    with pytest.raises(ValueError, match="inverses are triangular without a band"):
        factor.inverse(A)


@bands
def test_retraction_of_bands_keeps_the_pattern_and_follows_the_tangent(case):
    factor = make(case, 6)
    A = draw(factor, 20, seed=3)
    N = tangent(factor, A, seed=4)
    zero = torch.zeros(())
    velocity = torch.func.jvp(
        lambda t: factor.matrix(factor.retract(A, t * N)), (zero.double(),), (torch.ones(()).double(),)
    )[1]
    torch.testing.assert_close(velocity, A @ (N + N.mT) @ A.mT, rtol=0, atol=1e-12)
    far = factor.retract(A, 20 * N)
    assert float(factor.residual(far).max()) < 1e-15 * float(far.abs().max())
    assert bool((far.diagonal(dim1=-2, dim2=-1) > 0).all())


def test_tridiagonal_maximum_likelihood_by_natural_steps():
    """The precision of a chain has its inverse equal to the sample covariance on the band (Dempster 1972)."""
    n = 6
    samples = normal(40, n, seed=5)
    S = samples.mT @ samples / 40
    factor = structured_factor("lower_banded", n, bandwidth=1)
    A = factor.identity(dtype=torch.float64)
    for _ in range(300):
        g = S - factor.inverse_matrix(A)
        A = factor.retract(A, -0.3 * factor.gradient_of_matrix(A, g))
    covariance = factor.inverse_matrix(A)
    for k in (0, 1):
        torch.testing.assert_close(covariance.diagonal(k), S.diagonal(k), rtol=0, atol=1e-10)
    assert float((covariance - S).abs().max()) > 1e-2


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("tridiagonal", "lower_banded"),
        ("arrow", "block_lower"),
        ("toeplitz", "circulant"),
        ("symmetric_toeplitz", "lower_toeplitz"),
    ],
)
def test_structures_that_are_no_groups_are_refused_with_reason_and_mend(name, mend):
    with pytest.raises(ValueError, match=rf"{name}.*the product of two.*{mend}"):
        structured_factor(name, 5)
