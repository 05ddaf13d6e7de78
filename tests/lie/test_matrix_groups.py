"""SO(n), SL(n) and Sp(2n) against closed forms, 40-digit arithmetic and scipy."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import scipy.linalg
import torch

from lie import SL, SO, SO2, SO3, Sp, _sp
from lie._pairs import PairCoordinates

from . import matrix_truth as truth
from .matrix_truth import EPS

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
GROUPS = (SO(4), SO(5), SL(2), SL(3), Sp(2), Sp(4))
groups = pytest.mark.parametrize("group", GROUPS, ids=repr)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# Which group a number makes


def test_small_rotation_groups_are_the_closed_forms():
    assert SO(2) is SO2
    assert SO(3) is SO3


@groups
def test_equal_arguments_make_one_group_that_copies_and_pickles(group):
    assert type(group)(group.matrix_dim) == group
    assert pickle.loads(pickle.dumps(group)) is group
    assert copy.deepcopy(group) is group
    assert len({group, copy.copy(group)}) == 1
    assert repr(group) == f"lie.{group.name}"


def test_names_and_dimensions():
    assert [(g.name, g.dim) for g in GROUPS] == [
        ("SO(4)", 6), ("SO(5)", 10), ("SL(2)", 3), ("SL(3)", 8), ("Sp(2)", 3), ("Sp(4)", 10),
    ]  # fmt: skip
    assert SO(4) != SO(5)
    assert Sp(2) != SL(2)


@pytest.mark.parametrize("bad", [1, 0, -4, 4.0, "4", True, None])
def test_other_numbers_are_refused(bad):
    with pytest.raises(ValueError, match=r"n of SO\(n\) must be an integer of at least 2"):
        SO(bad)
    with pytest.raises(ValueError, match=r"n of SL\(n\) must be an integer of at least 2"):
        SL(bad)
    with pytest.raises(ValueError, match=r"size of Sp\(size\) must be an even positive integer"):
        Sp(bad)


def test_odd_symplectic_sizes_are_refused():
    with pytest.raises(ValueError, match=r"even.*got 3"):
        Sp(3)


# Coordinates


@groups
def test_basis_is_orthonormal_and_in_the_algebra(group):
    basis = group.basis(torch.float64)
    gram = 0.5 * torch.einsum("aij,bij->ab", basis, basis)
    torch.testing.assert_close(gram, torch.eye(group.dim, dtype=torch.float64), rtol=0, atol=1e-15)
    n = group.matrix_dim
    if group in (SO(4), SO(5)):
        torch.testing.assert_close(basis.mT, -basis, rtol=0, atol=0)
    elif group in (SL(2), SL(3)):
        assert float(basis.diagonal(dim1=-2, dim2=-1).sum(-1).abs().max()) < 1e-15
    else:
        form = scipy.linalg.block_diag(*[[[0.0]]] * n)
        form[: n // 2, n // 2 :], form[n // 2 :, : n // 2] = torch.eye(n // 2), -torch.eye(n // 2)
        product = torch.tensor(form, dtype=torch.float64) @ basis
        torch.testing.assert_close(product.mT, product, rtol=0, atol=0)


@pytest.mark.parametrize("group", [SO2, SO3], ids=repr)
def test_the_order_of_the_pairs_gives_the_angle_and_the_rotation_vector(group):
    pairs = PairCoordinates(group.matrix_dim, skew=True)
    torch.testing.assert_close(pairs.matrix(torch.eye(pairs.dim)), group.basis(torch.float32))


@pytest.mark.parametrize("n", [4, 5, 6])
def test_the_last_coordinates_turn_the_first_axes(n):
    smaller = SO(n - 1)
    xi = torch.randn(smaller.dim, generator=generator(), dtype=torch.float64)
    padded = torch.cat((torch.zeros(n - 1, dtype=torch.float64), xi))
    expected = torch.zeros(n, n, dtype=torch.float64)
    expected[:-1, :-1] = smaller.hat(xi)
    torch.testing.assert_close(SO(n).hat(padded), expected, rtol=0, atol=0)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_first_coordinates_of_the_linear_group_are_the_rotations(n):
    xi = torch.randn(SO(n).dim, generator=generator(), dtype=torch.float64)
    padded = torch.cat((xi, torch.zeros(SL(n).dim - SO(n).dim, dtype=torch.float64)))
    torch.testing.assert_close(SL(n).hat(padded), SO(n).hat(xi), rtol=0, atol=1e-15)


def test_symplectic_coordinates_are_those_of_the_energy():
    S = torch.tensor([[1.0, 2.0, 3.0, 4.0], [2, 5, 6, 7], [3, 6, 8, 9], [4, 7, 9, 10]], dtype=torch.float64)
    half = math.sqrt(0.5)
    xi = torch.tensor([half, 2, 3, 4, 5 * half, 6, 7, 8 * half, 9, 10 * half], dtype=torch.float64)
    J = torch.tensor([[0.0, 0, 1, 0], [0, 0, 0, 1], [-1, 0, 0, 0], [0, -1, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(Sp(4).hat(xi), J @ S, rtol=0, atol=1e-14)


# Exponential and its derivatives


@groups
@dtypes
@pytest.mark.parametrize("size", [1e-3, 0.03, 0.3, 1.0, 3.0])
def test_exp_of_one_element_alone(group, dtype, size):
    xi = truth.tangent(group, size, dtype=dtype)
    expected = truth.exp(sum_of_basis(group, xi))
    assert truth.error(group.exp(xi), expected) <= 12
    velocity = torch.func.jvp(group.exp, (xi,), (xi,))[1]
    assert truth.error(velocity, sum_of_basis(group, xi) * expected) <= 16


def sum_of_basis(group, xi):
    basis = group.basis(torch.float64)
    if group in (Sp(2), Sp(4), SL(3)):  # square roots among the entries: the rounded ones are meant
        basis = basis.to(xi.dtype)
    total = truth.exact(0 * basis[0])
    for x, element in zip(xi, basis, strict=True):
        total = total + truth.exact(x.reshape(1, 1))[0] * truth.exact(element)
    return total


def test_worked_exponential_of_sl2():
    A = torch.tensor([[0.3, 0.4], [0.2, -0.3]], dtype=torch.float64)
    expected = torch.tensor(
        [[1.3947835541635183, 0.4114300575093719], [0.20571502875468595, 0.77763846789946047]],
        dtype=torch.float64,
    )
    for group in (SL(2), Sp(2)):
        torch.testing.assert_close(group.exp(group.vee(A)), expected, rtol=0, atol=4e-16)


@dtypes
@pytest.mark.parametrize("d", [1.5, 0.999, 0.3, 1e-9, 0.0, -1e-9, -0.3, -0.999, -1.001, -2.0, -30.0])
def test_exp_of_sl2_on_both_sides_of_the_parabolic_elements(d, dtype):
    A = torch.tensor([[0.1, 1.0], [d - 0.01, -0.1]], dtype=dtype)
    assert truth.error(SL(2).exp(SL(2).vee(A)), truth.exp(truth.exact(A))) <= 8 * max(1, abs(d))
    xi = SL(2).vee(A).double().requires_grad_()
    assert torch.autograd.gradcheck(SL(2).exp, (xi,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(SL(2).exp, (xi,))


@pytest.mark.parametrize("group", [SO(4), SO(5), SL(3), Sp(4)], ids=repr)
@dtypes
@pytest.mark.parametrize("size", [1e-3, 1.0, 3.0])
def test_jacobians(group, dtype, size):
    xi = truth.tangent(group, size, seed=1, dtype=dtype)
    derivative = truth.phi1(truth.exact(group.ad(xi)))
    assert truth.error(group.left_jacobian(xi), derivative) <= 12
    assert truth.error(group.left_jacobian_inverse(xi), derivative**-1) <= 24


def test_jacobians_of_long_tangents():
    group = SO(4)
    xi = truth.tangent(group, 40.0, seed=1)
    assert truth.error(group.left_jacobian(xi), truth.phi1(truth.exact(group.ad(xi)))) <= 64
    assert bool(group.left_jacobian(1e4 * xi).isnan().all())


# Structure


@groups
@dtypes
def test_exp_and_cayley_stay_in_the_group(group, dtype):
    xi = torch.stack([truth.tangent(group, size, seed, dtype) for seed, size in enumerate((0.1, 0.5, 1, 1))])
    bound = 8 * group.matrix_dim * EPS[dtype]
    assert float(group.residual(group.exp(xi)).max()) <= bound
    if group.cayley_closed:
        assert float(group.residual(group.cayley(xi)).max()) <= bound


@groups
def test_inverse_and_adjoint_undo(group):
    g = group.exp(torch.stack([truth.tangent(group, 1.0, seed) for seed in range(3)]))
    eye = torch.eye(group.matrix_dim, dtype=torch.float64).expand(3, -1, -1)
    torch.testing.assert_close(group.inverse(g) @ g, eye, rtol=0, atol=1e-14)


def test_cayley_transform_of_larger_linear_groups_is_refused_with_what_to_use():
    assert SL(2).cayley_closed
    for call in (SL(3).cayley, SL(3).cayley_jacobian, SL(3).cayley_jacobian_inverse):
        with pytest.raises(ValueError, match=r"Cayley.*SL\(3\).*use exp"):
            call(torch.zeros(8))
    with pytest.raises(ValueError, match=r"Cayley.*SL\(3\).*use exp"):
        SL(3).cayley_inverse(torch.eye(3))
    U = SL(3).hat(truth.tangent(SL(3), 1.5))
    eye = torch.eye(3, dtype=torch.float64)
    left = torch.linalg.det(torch.linalg.solve(eye - U / 2, eye + U / 2))
    assert abs(float(left) - 1) > 1e-3, "the refusal has a reason"


@groups
@dtypes
def test_projection_mends_a_thousandth(group, dtype):
    g = group.random(50, generator=generator(), dtype=dtype)
    noise = torch.randn(g.shape, generator=generator(1), dtype=dtype)
    mended = group.project(g + 1e-3 * noise)
    assert float(group.residual(mended).max()) <= 4 * group.matrix_dim * EPS[dtype]
    assert float((mended - g).abs().max()) < 0.1


def test_symplectic_projection_takes_four_steps(monkeypatch):
    g = Sp(4).random(50, generator=generator(), dtype=torch.float64)
    noise = torch.randn(g.shape, generator=generator(1), dtype=torch.float64)
    monkeypatch.setattr(_sp, "_STEPS", 4)
    assert float(Sp(4).residual(Sp(4).project(g + 1e-3 * noise)).max()) <= 16 * EPS[torch.float64]


@groups
def test_projection_differentiates_twice_on_and_off_the_group(group):
    g = group.exp(truth.tangent(group, 0.7))
    off = g + 1e-2 * torch.randn(g.shape, generator=generator(), dtype=torch.float64)
    for x in (g, off):
        leaf = x.clone().requires_grad_()
        assert torch.autograd.gradcheck(group.project, (leaf,), check_forward_ad=True)
        assert torch.autograd.gradgradcheck(group.project, (leaf,))


@pytest.mark.parametrize("n", [4, 5])
def test_the_nearest_rotation_is_the_polar_factor(n):
    x = torch.randn(20, n, n, generator=generator(), dtype=torch.float64)
    x = x[torch.linalg.det(x) > 0]
    expected = torch.stack([torch.tensor(scipy.linalg.polar(m.numpy())[0]) for m in x])
    torch.testing.assert_close(SO(n).project(x), expected, rtol=0, atol=1e-13)
    mirrored = SO(n).project(-x if n % 2 else x.flip(-1))
    assert float(SO(n).residual(mirrored).max()) < 1e-13


def test_projection_says_where_there_is_none():
    assert bool(SO(4).project(torch.zeros(4, 4)).isnan().all())
    assert bool(SO(4).project(torch.diag(torch.tensor([1.0, 1, 1, -1]))).isnan().all())
    assert bool(SL(3).project(-torch.eye(3)).isnan().all())
    assert bool(SL(3).project(torch.zeros(3, 3)).isnan().all())
    assert bool(Sp(4).project(torch.zeros(4, 4)).isnan().all())
    mixed = torch.stack((torch.eye(4), torch.zeros(4, 4)))
    for group in (SO(4), SL(4), Sp(4)):
        torch.testing.assert_close(group.project(mixed)[0], torch.eye(4), rtol=0, atol=1e-6)


def test_symplectic_residual_does_not_grow_with_the_squeeze():
    squeeze = torch.diag(torch.tensor([1e3, 1e-3], dtype=torch.float64))
    turn = SO2.exp(torch.tensor([0.3], dtype=torch.float64))
    assert float(Sp(2).residual(turn @ squeeze @ turn)) < 1e-14


# Samples and distances


@pytest.mark.parametrize("n", [4, 5])
def test_random_rotations_are_uniform(n):
    count = 40000
    g = SO(n).random(count, generator=generator(), dtype=torch.float64)
    SO(n).check(g)
    trace = g.diagonal(dim1=-2, dim2=-1).sum(-1)
    fourth = {4: 4.0, 5: 3.0}[n]
    for values, mean in ((trace, 0.0), (trace**2, 1.0), (trace**4, fourth), (g[:, 0, 0] ** 2, 1 / n)):
        assert abs(float(values.mean()) - mean) < 5 * float(values.std()) / math.sqrt(count)
    shifted = (
        (SO(n).random(generator=generator(1), dtype=torch.float64) @ g).diagonal(dim1=-2, dim2=-1).sum(-1)
    )
    assert abs(float((shifted**2).mean()) - 1) < 5 * float((shifted**2).std()) / math.sqrt(count)
    minors = torch.linalg.det(g[:, :2, :2])
    spread = float((minors**2).std()) / math.sqrt(count)
    assert abs(float((minors**2).mean()) - 2 / (n * (n - 1))) < 5 * spread


@pytest.mark.parametrize("group", [SL(10), Sp(12)], ids=repr)
def test_random_elements_of_large_groups_are_well_conditioned(group):
    g = group.random(200, generator=generator(), dtype=torch.float32)
    group.check(g)
    assert float(torch.linalg.matrix_norm(g, 2).median()) < math.exp(2.5)


@pytest.mark.parametrize("n", [4, 5])
def test_distances_are_the_lengths_of_logarithms(n):
    g = SO(n).random(2, 6, generator=generator(), dtype=torch.float64)
    steps = g[0].mT @ g[1]
    expected = [scipy.linalg.norm(scipy.linalg.logm(step.numpy()).real) / math.sqrt(2) for step in steps]
    torch.testing.assert_close(
        SO(n).distance(g[0], g[1]), torch.tensor(expected, dtype=torch.float64), rtol=1e-8, atol=0
    )


def test_groups_of_many_dimensions_need_no_dense_tables():
    for group in (SO(60), Sp(40)):
        g = group.random(generator=generator(), dtype=torch.float64)
        xi = group.log(g)
        torch.testing.assert_close(group.exp(xi), g, rtol=0, atol=1e-12)
        torch.testing.assert_close(
            group.inverse(g) @ g, torch.eye(group.matrix_dim).double(), rtol=0, atol=1e-11
        )
        assert group.vee(group.hat(xi)).shape == (group.dim,)


@pytest.mark.parametrize("group", [SO(4), SL(3), Sp(4)], ids=repr)
def test_campbell_baker_hausdorff_remainder_is_of_fourth_order(group):
    x, y = truth.tangent(group, 1.0, 3), truth.tangent(group, 1.0, 4)
    bracket = group.ad(x) @ y
    nested = group.ad(x) @ bracket - group.ad(y) @ bracket
    gaps = []
    for h in (0.08, 0.04):
        series = h * (x + y) + h**2 / 2 * bracket + h**3 / 12 * nested
        gaps.append(float((group.log(group.exp(h * x) @ group.exp(h * y)) - series).norm()))
    assert math.log2(gaps[0] / gaps[1]) == pytest.approx(4, abs=0.2)


def test_worked_campbell_baker_hausdorff_value_holds_in_the_larger_group():
    pad = torch.zeros(3, dtype=torch.float64)
    x = torch.cat((pad, torch.tensor([0.03, -0.02, 0.05], dtype=torch.float64)))
    y = torch.cat((pad, torch.tensor([-0.01, 0.04, 0.02], dtype=torch.float64)))
    expected = torch.tensor(
        [0, 0, 0, 0.018797759603570005, 0.019440670201273056, 0.070484326970350305], dtype=torch.float64
    )
    product = SO(4).compose(SO(4).exp(x), SO(4).exp(y))
    torch.testing.assert_close(SO(4).log(product), expected, rtol=0, atol=4e-16)
