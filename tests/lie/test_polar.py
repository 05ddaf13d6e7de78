"""The polar factor against what defines it, and its derivatives where singular values are equal."""

from __future__ import annotations

import pytest
import torch

from lie._polar import polar

EPS = 2.0**-52


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(("n", "p"), [(1, 1), (3, 3), (5, 3), (4, 1), (6, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_factor_is_orthonormal_and_leaves_a_positive_symmetric_matrix(n, p, dtype):
    M = drawn(20, n, p, dtype=dtype)
    U, margin = polar(M)
    eps = torch.finfo(dtype).eps
    assert U.dtype == dtype
    assert float((U.mT @ U - torch.eye(p)).abs().max()) <= 8 * eps
    stretch = U.mT @ M
    assert float((stretch - stretch.mT).abs().max()) <= 64 * eps
    values = torch.linalg.eigvalsh(stretch)
    assert float(values.min()) > 0
    torch.testing.assert_close(margin, values[:, 0] / values[:, -1], rtol=1e-3, atol=16 * eps)


def test_special_factor_is_the_best_of_many_rotations():
    M = drawn(4, 3, 3)
    M[0] *= -torch.linalg.det(M[0]).sign()  # at least one whose nearest orthogonal matrix is a reflection
    U, _ = polar(M, special=True)
    torch.testing.assert_close(torch.linalg.det(U), torch.ones(4, dtype=torch.float64), rtol=0, atol=8 * EPS)
    others = polar(drawn(2000, 1, 3, 3, seed=1), special=True)[0]
    nearest = U + 0.3 * (others - U)
    nearest = polar(nearest, special=True)[0]
    best = (U * M).sum((-2, -1))
    for candidates in (others, nearest):
        assert bool(((candidates * M).sum((-2, -1)) <= best + 1e-12).all())


def test_an_ill_conditioned_matrix_keeps_the_accuracy_of_its_decomposition():
    basis = torch.linalg.qr(drawn(3, 3))[0]
    M = torch.linalg.qr(drawn(8, 3, seed=1))[0] @ torch.diag(drawn(3).new_tensor([1, 1, 1e-7])) @ basis
    U, _ = polar(M)
    stretch = U.mT @ M
    assert float((stretch - stretch.mT).abs().max()) <= 32 * EPS
    assert float((U.mT @ U - torch.eye(3)).abs().max()) <= 8 * EPS


@pytest.mark.parametrize(("n", "p", "special"), [(3, 3, False), (3, 3, True), (5, 2, False), (2, 1, False)])
@pytest.mark.parametrize("equal", [False, True])
def test_derivatives_in_both_modes(n, p, special, equal):
    M = drawn(2, n, p, seed=2)
    M = (polar(M, special=special)[0] if equal else M).requires_grad_()
    function = lambda x: polar(x, special=special)[0]  # noqa: E731
    assert torch.autograd.gradcheck(function, (M,), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, (M,))


def test_derivatives_up_to_the_third_are_those_of_the_normalised_vector():
    x = drawn(3, 1)
    function, truth = (lambda v: polar(v)[0]), (lambda v: v / v.square().sum().sqrt())
    for _ in range(3):
        function, truth = torch.func.jacfwd(function), torch.func.jacrev(truth)
        torch.testing.assert_close(function(x), truth(x), rtol=0, atol=1e-13)


def test_zero_and_missing_numbers_have_no_margin():
    for bad in (torch.zeros(3, 2), torch.full((3, 2), torch.nan)):
        assert not bool(polar(bad)[1] > 0)
    assert bool(polar(torch.full((3, 2), torch.nan))[0].isnan().all())
    assert polar(torch.zeros(0, 3, 2))[0].shape == (0, 3, 2)


def test_vmap_and_compile_give_the_same():
    torch._dynamo.reset()
    M = drawn(3, 4, 2)
    compiled = torch.compile(lambda x: polar(x)[0], fullgraph=True, backend="aot_eager")
    x = M.clone().requires_grad_()
    for U in (torch.vmap(polar)(M)[0], compiled(x)):
        torch.testing.assert_close(U, polar(M)[0], rtol=0, atol=8 * EPS)
    (slope,) = torch.autograd.grad(compiled(x).sin().sum(), x)
    torch.testing.assert_close(
        slope, torch.func.grad(lambda y: polar(y)[0].sin().sum())(M), rtol=0, atol=1e-14
    )
