"""Logarithms of matrices against 40-digit arithmetic: values, two derivatives, half turns, refusals."""

from __future__ import annotations

import math

import pytest
import torch

from lie import SL, SO, Sp, _generic

from . import matrix_truth as truth
from .matrix_truth import EPS

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
groups = pytest.mark.parametrize("group", [SO(4), SO(5), SL(2), SL(3), Sp(4)], ids=repr)
GENERAL = (SL(2), SL(3), SL(5), Sp(4), Sp(6), SO(4), SO(5))


def rotation(angles, n, dtype=torch.float64, seed=0):
    """A rotation by given angles, rounded from 40 digits, and its logarithm."""
    skew = truth.turned(angles, n, seed)
    return truth.rounded(truth.exp(truth.exact(skew)), dtype), skew


# Values


@pytest.mark.parametrize("group", GENERAL, ids=repr)
@dtypes
@pytest.mark.parametrize("size", [0.3, 1.0, 2.0, 2.8])
def test_the_general_logarithm(group, dtype, size):
    for seed in range(2):
        matrix = torch.linalg.matrix_exp(group.hat(truth.tangent(group, size, seed)).expand(2, -1, -1))[0].to(
            dtype
        )
        assert truth.error(_generic.logarithm(matrix), truth.log(truth.exact(matrix))) <= 16


@groups
@dtypes
def test_logarithms_of_the_groups(group, dtype):
    for size in (0.3, 1.0, 2.8):
        g = group.exp(truth.tangent(group, size, seed=3, dtype=dtype))
        assert truth.error(group.hat(group.log(g)), truth.log(truth.exact(g))) <= 16


def test_the_rotation_of_a_motion_keeps_its_digits_next_to_a_large_translation():
    A = torch.zeros(4, 4, dtype=torch.float64)
    A[:3, :3] = torch.tensor([[0, -1, 0.5], [1, 0, -2.0], [-0.5, 2, 0]])
    A[:3, 3] = 1e9 * torch.tensor([1.0, 2, 3])
    matrix = truth.rounded(truth.exp(truth.exact(A)), torch.float64)
    log = _generic.logarithm(matrix)
    torch.testing.assert_close(log[:3, :3], A[:3, :3], rtol=0, atol=32 * EPS[torch.float64])
    torch.testing.assert_close(log, A, rtol=1e-14, atol=32 * EPS[torch.float64])


@dtypes
def test_an_element_does_not_depend_on_its_neighbours(dtype):
    far = SL(3).exp(truth.tangent(SL(3), 4.0, dtype=dtype))
    near = SL(3).exp(truth.tangent(SL(3), 0.1, dtype=dtype))
    none = torch.diag(torch.tensor([-2.0, -1.0, 0.5], dtype=dtype))
    alone = _generic.logarithm(near)
    together = _generic.logarithm(torch.stack((far, near, none)))
    torch.testing.assert_close(together[1], alone, rtol=0, atol=EPS[dtype])
    assert torch.isfinite(together).flatten(1).all(1).tolist() == [True, True, False]


def test_square_roots_are_principal():
    for group in (SL(3), Sp(4), SO(5)):
        xi = truth.tangent(group, 2.5, seed=5)
        root = _generic.square_root(group.exp(xi))
        torch.testing.assert_close(root, group.exp(0.5 * xi), rtol=0, atol=1e-13)


@dtypes
@pytest.mark.parametrize("d", [-9.8, -9.0, -1.0, -0.1, -1e-6, 0.0, 1e-6, 0.09, 0.11, 1.0, 9.0])
def test_logarithm_of_sl2_on_both_sides_of_the_parabolic_elements(d, dtype):
    A = torch.tensor([[0.3, 0.7], [(d - 0.09) / 0.7, -0.3]], dtype=torch.float64)  # A^2 = d I
    matrix = truth.rounded(truth.exp(truth.exact(A)), dtype)
    condition = 1 / math.sin(math.sqrt(-d)) ** 2 if d < -1 else 1.0
    assert truth.error(SL(2).hat(SL(2).log(matrix)), truth.exact(A)) <= 16 * condition


# Rotations


@dtypes
@pytest.mark.parametrize("n", [4, 5, 7])
def test_rotations_next_to_half_turns(n, dtype):
    for gap in (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10):
        if dtype == torch.float32 and gap < 1e-4:
            continue  # a half turn, as far as float32 can tell
        g, skew = rotation([math.pi - gap, 1.3, 0.0][: n // 2], n, dtype)
        assert truth.error(SO(n).hat(SO(n).log(g)), truth.exact(skew)) <= 8, gap


@dtypes
@pytest.mark.parametrize(
    "angles",
    [(2.0, 2.0), (2.0, 2.0 + 1e-9), (1.0, 1e-9), (1.0, 0.0), (1e-7, 1e-7), (math.pi - 1e-3, math.pi - 0.1)],
)
def test_rotations_by_equal_and_small_angles(angles, dtype):
    for n in (4, 5):
        g, skew = rotation(angles, n, dtype)
        error = float((SO(n).hat(SO(n).log(g)).double() - skew).abs().max())
        assert error <= 32 * EPS[dtype], "the angles are known to the rounding of the matrix"


def test_worked_logarithm_of_a_rotation_by_three_radians():
    g, skew = rotation([3.0, 1.1], 5)
    torch.testing.assert_close(SO(5).log(g), SO(5).vee(skew), rtol=0, atol=2e-15)


@dtypes
@pytest.mark.parametrize("n", [4, 5, 8])
def test_half_turns_are_refused(n, dtype):
    frame = SO(n).random(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    signs = torch.ones(n, dtype=torch.float64)
    signs[:2] = -1
    g = ((frame * signs) @ frame.mT).to(dtype)
    assert bool(SO(n).log(g, check=False).isnan().all())
    with pytest.raises(ValueError, match=rf"g\[1\] turns a plane by pi.*SO\({n}\)"):
        SO(n).log(torch.stack((torch.eye(n, dtype=dtype), g[0])))
    with pytest.raises(ValueError, match=r"x\^-1 y\[0\] turns a plane by pi"):
        SO(n).distance(torch.eye(n, dtype=dtype), g[:1])
    mixed = SO(n).log(torch.stack((torch.eye(n, dtype=dtype), g[0])), check=False)
    assert mixed.isnan().all(-1).tolist() == [False, True]
    exact = torch.diag(signs.to(dtype))
    with pytest.raises(ValueError, match=r"g turns a plane by pi"):
        SO(n).log(exact)


def test_uniform_rotations_come_back():
    for n in (4, 5, 9):
        g = SO(n).random(300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        torch.testing.assert_close(SO(n).exp(SO(n).log(g)), g, rtol=0, atol=2e-14)


# What has no logarithm


def test_elements_without_a_principal_logarithm_are_refused():
    flip = torch.diag(torch.tensor([-2.0, -0.5], dtype=torch.float64))
    cases = (
        (SL(2), flip),
        (SL(2), -torch.eye(2, dtype=torch.float64)),
        (SL(2), torch.tensor([[-1.0, 1.0], [0.0, -1.0]], dtype=torch.float64)),
        (Sp(2), flip),
        (SL(3), torch.block_diag(flip, torch.ones(1, 1, dtype=torch.float64))),
        (SL(3), torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64))),
        (Sp(4), torch.diag(torch.tensor([-2.0, 1.0, -0.5, 1.0], dtype=torch.float64))),
        (Sp(4), -torch.eye(4, dtype=torch.float64)),
    )
    for group, g in cases:
        shear = group.exp(0.7 * torch.ones(group.dim, dtype=torch.float64) / group.dim)
        for element in (g, shear @ g @ group.inverse(shear)):
            with pytest.raises(ValueError, match=r"g\[1\] has no real principal logarithm.*negative"):
                group.log(torch.stack((torch.eye(len(g), dtype=torch.float64), element)))
            assert bool(group.log(element, check=False).isnan().all())


@dtypes
def test_no_matrix_with_a_negative_eigenvalue_gets_a_logarithm(dtype):
    generator = torch.Generator().manual_seed(0)
    for n in (2, 3, 4, 5):
        frame = torch.randn(50, n, n, generator=generator, dtype=torch.float64)
        values = 0.3 + torch.rand(50, n, generator=generator, dtype=torch.float64)
        values[:, 0] *= -1
        values[::2, 1] = values[::2, 0]
        matrix = (frame * values.unsqueeze(-2)) @ torch.linalg.inv(frame)
        assert bool(_generic.logarithm(matrix.to(dtype)).isnan().all())


# Derivatives


@groups
@dtypes
@pytest.mark.parametrize("size", [0.0, 1e-6, 0.4, 1.0, 2.0])
def test_log_after_exp_is_linear_to_second_order(group, dtype, size):
    xi = truth.tangent(group, size, seed=2, dtype=dtype)
    w = torch.randn(group.dim, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(dtype)
    w = w / w.norm()

    def weighted(x):
        return w @ group.log(group.exp(x))

    gradient, hessian = torch.func.grad(weighted)(xi), torch.func.hessian(weighted)(xi)
    assert float((gradient - w).abs().max()) <= 24 * EPS[dtype]
    assert float(hessian.abs().max()) <= 48 * EPS[dtype]


@dtypes
@pytest.mark.parametrize("gap", [0.1, 1e-2, 1e-3])
def test_gradients_next_to_half_turns(gap, dtype):
    for n in (4, 5):
        xi = SO(n).vee(truth.turned([math.pi - gap, 1.3], n)).to(dtype)
        w = torch.linspace(-1, 1, SO(n).dim, dtype=dtype)
        gradient = torch.func.grad(lambda x, n=n, w=w: w @ SO(n).log(SO(n).exp(x)))(xi)
        torch.testing.assert_close(gradient, w, rtol=0, atol=100 * EPS[dtype])


@pytest.mark.parametrize("angles", [(2.0, 2.0), (0.0, 0.0), (1.0, 0.0), (1e-9, 1e-9)])
def test_derivatives_at_equal_angles(angles):
    g, _ = rotation(angles, 5)
    xi = SO(5).log(g)
    v = torch.linspace(-1, 1, 10, dtype=torch.float64)
    velocity = torch.func.jvp(SO(5).log, (g,), (SO(5).hat(v) @ g,))[1]
    torch.testing.assert_close(velocity, SO(5).left_jacobian_inverse(xi) @ v, rtol=0, atol=1e-14)
    assert bool(torch.isfinite(torch.func.hessian(lambda x: SO(5).log(x).sum())(g)).all())


@groups
def test_second_derivatives_of_a_batch_are_those_of_its_elements(group):
    xi = torch.stack([truth.tangent(group, size, seed=6) for size in (0.3, 1.4, 2.0)])
    for function in (
        lambda x: group.log(group.exp(x)).sin().sum(),
        lambda x: group.left_jacobian_inverse(x).sin().sum() + group.left_jacobian(x).sin().sum(),
    ):
        batch = torch.vmap(torch.func.hessian(function))(xi)
        single = torch.stack([torch.autograd.functional.hessian(function, x) for x in xi])
        torch.testing.assert_close(batch, single, rtol=1e-11, atol=1e-11)


def test_distance_of_rotations_differentiates_through_the_batch():
    g = SO(4).random(3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    h = SO(4).plus(g, torch.stack([truth.tangent(SO(4), size) for size in (0.1, 1.0, 2.9)]))

    def squared(x):
        return SO(4).squared_distance(g, h @ SO(4).exp(x), check=False)

    zero = torch.zeros(3, 6, dtype=torch.float64)
    slope = torch.func.jacrev(squared)(zero).diagonal(dim1=0, dim2=1).mT
    torch.testing.assert_close(slope, 2 * SO(4).minus(h, g), rtol=0, atol=1e-13)


def test_autocast_leaves_the_logarithm_alone():
    for group in (SO(4), SL(3), Sp(4)):
        g = group.exp(truth.tangent(group, 1.5, dtype=torch.float32))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast = group.log(g)
        assert torch.equal(cast, group.log(g))
