"""Small linear algebra: solutions with their derivatives under every transform, block diagonal matrices."""

from __future__ import annotations

import pytest
import torch

from lie import _linalg


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SLOPES, SIDES, TWO = 0.3 * draw(3, 4, 4), draw(4, 2, seed=1), 2 * torch.eye(4, dtype=torch.float64)


def system(x):
    """A matrix and right sides that depend on x, (..., 3)."""
    return (SLOPES * x[..., None, None]).sum(-3) + TWO, 1 + SIDES * x[..., None, :1]


@pytest.mark.parametrize("condition", [1.0, 1e3, 1e6])
def test_solutions_have_the_residual_of_elimination(condition):
    left, right = (torch.linalg.qr(draw(50, 5, 5, seed=k))[0] for k in (0, 1))
    sizes = torch.logspace(0, 1, 5, base=1 / condition, dtype=torch.float64)
    a = left @ torch.diag(sizes) @ right
    b = a @ draw(50, 5, 3, seed=2)
    residual = float((a @ _linalg.solve(a, b) - b).abs().max())
    assert residual <= 16 * 2.0**-52


def test_singular_systems_have_no_finite_solution():
    a = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]])
    x = _linalg.solve(a, torch.ones(3, 2, 1))
    assert not bool(torch.isfinite(x).all((1, 2)).any())


def test_derivatives_under_nested_vmap_are_those_of_autograd():
    x = draw(5, 3, seed=3)
    function = lambda v: _linalg.solve(*system(v)).sin().sum()  # noqa: E731
    truth = torch.stack([torch.autograd.functional.hessian(function, row) for row in x])
    for outer in (torch.func.jacfwd, torch.func.jacrev):
        for inner in (torch.func.jacfwd, torch.func.jacrev):
            got = torch.vmap(outer(inner(function)))(x)
            torch.testing.assert_close(got, truth, rtol=1e-12, atol=1e-13)
    leaf = x.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: _linalg.solve(*system(v)), (leaf,), check_forward_ad=True)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_determinants_and_their_derivatives_under_nested_vmap(n):
    a = draw(5, n, n, seed=4)
    torch.testing.assert_close(_linalg.determinant(a), torch.linalg.det(a), rtol=1e-13, atol=0)
    function = lambda m: _linalg.determinant(m).sin()  # noqa: E731
    truth = torch.stack(
        [torch.autograd.functional.hessian(lambda m: torch.linalg.det(m).sin(), m) for m in a]
    )
    for order in (torch.func.hessian, lambda f: torch.func.jacrev(torch.func.jacrev(f))):
        got = torch.vmap(order(function))(a)
        torch.testing.assert_close(got, truth, rtol=1e-10, atol=1e-11)
    # det(a + t h) = det a det(I + t a^-1 h), whose third derivative is 6 e_3(eigenvalues) det a
    along = draw(n, n, seed=5)
    line = lambda t: _linalg.determinant(a[0] + t * along)  # noqa: E731
    third = torch.func.jacfwd(torch.func.hessian(line))(torch.tensor(0.0, dtype=torch.float64))
    values = torch.linalg.eigvals(torch.linalg.solve(a[0], along))
    products = torch.combinations(values, 3).prod(-1).sum() if n > 2 else torch.tensor(0.0)
    expected = 6 * products.real * torch.linalg.det(a[0])
    torch.testing.assert_close(third, expected.double(), rtol=1e-10, atol=1e-11)
    assert float(_linalg.determinant(torch.ones(n, n)).abs()) <= 1e-6


def test_block_diagonal_matrices():
    blocks = [draw(2, k, k, seed=k) for k in (1, 3, 2)]
    got = _linalg.block_diagonal(blocks)
    for row in range(2):
        assert torch.equal(got[row], torch.block_diag(*(block[row] for block in blocks)))
    repeated = draw(2, 4, 3, 3)
    got = _linalg.repeated_diagonal(repeated)
    for row in range(2):
        assert torch.equal(got[row], torch.block_diag(*repeated[row]))
    assert _linalg.repeated_diagonal(repeated[:0]).shape == (0, 12, 12)
    assert torch.equal(torch.vmap(_linalg.repeated_diagonal, in_dims=1)(repeated.transpose(0, 1)), got)
