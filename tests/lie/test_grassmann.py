"""Grassmann manifolds against principal angles, their geodesic equations, changes of basis and refusals."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from lie import Grassmann, Sphere
from lie.testing import RiemannianManifoldSuite

EPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


class TestPlanes(RiemannianManifoldSuite):
    manifold = Grassmann(4, 2)
    reach = 1.2


class TestLines(RiemannianManifoldSuite):
    manifold = Grassmann(3, 1)
    compiled = ("exp",)


class TestHyperplanes(RiemannianManifoldSuite):
    manifold = Grassmann(4, 3)
    reach = 1.5
    compiled = ("exp",)


def drawn(space, *batch, seed=0, dtype=torch.float64):
    return space.random(*batch, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def with_angles(space, x, angles, seed=0):
    """Tangents whose singular values are given, in random directions."""
    v = space.random_tangent(x, generator=torch.Generator().manual_seed(seed + 50))
    left, _, right = torch.linalg.svd(v, full_matrices=False)
    return left @ torch.diag(torch.as_tensor(angles, dtype=x.dtype)) @ right


def turned(x, seed=0):
    """Other bases of the same subspaces, and the matrices that change them."""
    p = x.shape[-1]
    q = drawn(Grassmann(p, p), *x.shape[:-2], seed=seed).to(x.dtype)
    return x @ q, q


ANGLES = [
    (1e-9, 1e-3, 0.5), (0.7, 0.7, 0.7), (0.0, 0.0, 1.0), (1.5, 1.5, 0.1), (math.pi / 2 - 1e-5, 1.0, 0.0),
    (1e-8, 1e-8, 1e-8),
]  # fmt: skip


def principal_angles(x, y):
    """Largest first, in 50 digits, which no cosine near one takes away."""
    with mpmath.workdps(50):
        bases = [mpmath.qr(mpmath.matrix(part.tolist()), mode="skinny")[0] for part in (x, y)]
        cosines = mpmath.svd_r(bases[0].T * bases[1], compute_uv=False)
        return sorted((float(mpmath.acos(min(c, mpmath.mpf(1)))) for c in cosines), reverse=True)


@dtypes
@pytest.mark.parametrize("angles", ANGLES)
def test_distance_and_logarithm_have_the_principal_angles_of_fifty_digits(angles, dtype):
    space = Grassmann(7, 3)
    x = drawn(space, 4)
    y = turned(space.exp(x, with_angles(space, x, angles)))[0].to(dtype)
    x = x.to(dtype)
    pairs = zip(x.double(), y.double(), strict=True)
    truth = torch.tensor([principal_angles(a, b) for a, b in pairs], dtype=torch.float64)
    got = torch.linalg.svdvals(space.log(x, y)).double()
    assert float((got - truth).abs().max()) <= 32 * EPS[dtype]
    lengths = truth.square().sum(-1).sqrt()
    assert float((space.distance(x, y).double() - lengths).abs().max()) <= 32 * EPS[dtype]


@dtypes
@pytest.mark.parametrize("angles", [*ANGLES, (3.0, 10.0, 40.0)])
def test_exp_is_the_formula_of_singular_values(angles, dtype):
    space = Grassmann(7, 3)
    x = drawn(space, 4, dtype=dtype)
    v = with_angles(space, x, angles)
    left, sizes, right = torch.linalg.svd(v.double(), full_matrices=False)
    truth = x.double() @ right.mT @ torch.diag_embed(sizes.cos()) @ right
    truth = (
        truth + left @ torch.diag_embed(sizes.sin()) @ right
    )  # Edelman, Arias and Smith 1998, equation 2.65
    y = space.exp(x, v)
    assert float((y.double() - truth).abs().max()) <= 16 * EPS[dtype] * (1 + max(angles))
    assert float(space.residual(y).max()) <= 16 * EPS[dtype] * (1 + max(angles))


def test_geodesic_and_transport_solve_their_equations():
    space = Grassmann(5, 2)
    x = drawn(space)
    v, u = with_angles(space, x, (1.3, 0.4)), with_angles(space, x, (1.0, 0.5), seed=1)

    def rates(_, state):
        point, velocity, carried = state.reshape(3, 5, 2)
        return np.stack((velocity, -point @ velocity.T @ velocity, -point @ velocity.T @ carried)).ravel()

    start = torch.stack((x, v, u)).numpy().ravel()
    end = solve_ivp(rates, (0, 1), start, "DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    point, velocity, carried = torch.tensor(end).reshape(3, 5, 2)
    y = space.exp(x, v)
    torch.testing.assert_close(y, point, rtol=0, atol=1e-12)
    for there in (y, turned(y)[0]):
        change = y.mT @ there  # lifts at another basis are multiplied by the change of basis
        for w, truth in ((v, velocity), (u, carried)):
            torch.testing.assert_close(space.transport(x, there, w), truth @ change, rtol=0, atol=1e-12)
    torch.testing.assert_close(space.transport_along(x, v, u), carried, rtol=0, atol=1e-12)
    torch.testing.assert_close(space.transport_along(x, v, v), velocity, rtol=0, atol=1e-12)


def test_transport_along_goes_beyond_a_right_angle_and_all_around():
    space = Grassmann(5, 2)
    x = drawn(space, 4)
    u = with_angles(space, x, (1.0, 0.5), seed=1)
    v = with_angles(space, x, (2 * math.pi, 0.0))
    torch.testing.assert_close(space.transport_along(x, v, u), u, rtol=0, atol=1e-13)
    for angle in (math.pi / 2, math.pi, 3.0):
        v = with_angles(space, x, (angle, 0.3))
        y, moved = space.exp(x, v), space.transport_along(x, v, u)
        torch.testing.assert_close(y.mT @ moved, torch.zeros(4, 2, 2, dtype=x.dtype), rtol=0, atol=1e-14)
        torch.testing.assert_close(space.norm(y, moved), space.norm(x, u), rtol=1e-14, atol=0)


def test_the_basis_does_not_matter():
    space = Grassmann(5, 2)
    x, y = drawn(space, 4), drawn(space, 4, seed=1)
    (xq, q), (yq, r) = turned(x, 2), turned(y, 3)
    v = with_angles(space, x, (0.9, 0.4))
    close = lambda a, b: torch.testing.assert_close(a, b, rtol=0, atol=1e-13)  # noqa: E731
    close(space.distance(xq, yq), space.distance(x, y))
    close(space.log(xq, yq), space.log(x, y) @ q)
    close(space.transport(xq, yq, v @ q), space.transport(x, y, v) @ r)
    close(space.projector(space.exp(xq, v @ q)), space.projector(space.exp(x, v)))
    close(space.transport_along(xq, v @ q, v @ q), space.transport_along(x, v, v) @ q)
    for name in ("retract_polar", "retract_qr", "retract_cayley"):
        move = getattr(space, name)
        close(space.projector(move(xq, v @ q)), space.projector(move(x, v)))
    close(space.projector(xq), space.projector(x))
    assert float(space.distance(x, xq).max()) < 1e-14


def test_lines_are_points_of_the_sphere_up_to_sign():
    space, sphere = Grassmann(4, 1), Sphere(4)
    x, y = drawn(space, 6)[..., 0], drawn(space, 6, seed=1)[..., 0]
    nearer = torch.where((x * y).sum(-1, keepdim=True) < 0, -y, y)
    got = space.log(x[..., None], y[..., None])[..., 0]
    torch.testing.assert_close(got, sphere.log(x, nearer), rtol=0, atol=1e-14)
    u = sphere.random_tangent(x, generator=torch.Generator().manual_seed(5))
    moved = space.transport(x[..., None], nearer[..., None], u[..., None])[..., 0]
    torch.testing.assert_close(moved, sphere.transport(x, nearer, u), rtol=0, atol=1e-14)


def test_retractions_are_of_second_order_as_subspaces():
    space = Grassmann(6, 3)
    x = drawn(space, 4)
    v = with_angles(space, x, (1.0, 0.7, 0.2))
    for name in ("retract_polar", "retract_qr", "retract_cayley"):
        move = getattr(space, name)
        gaps = [float(space.distance(move(x, h * v), space.exp(x, h * v)).norm()) for h in (4e-2, 2e-2)]
        assert abs(math.log2(gaps[0] / gaps[1]) - 3) < 0.1, name
        assert float(space.residual(move(x, 1e4 * v)).max()) < 64 * EPS[torch.float64]


@pytest.mark.parametrize("angles", [(0.0, 0.0), (0.6, 0.6), (0.6, 0.0), (1.1, 0.2)])
def test_derivatives_at_equal_and_vanishing_principal_angles(angles):
    space = Grassmann(4, 2)
    x = drawn(space)
    y = turned(space.exp(x, with_angles(space, x, angles)))[0].requires_grad_()
    u = with_angles(space, x, (1.0, 0.5), seed=1)
    for function in (
        lambda y: space.log(x, space.project(y), check=False),
        lambda y: space.squared_distance(x, space.project(y), check=False),
        lambda y: space.transport(x, space.project(y), u),
    ):
        assert torch.autograd.gradcheck(function, (y,), check_forward_ad=True, check_batched_grad=True)
        assert torch.autograd.gradgradcheck(function, (y,))
    v = with_angles(space, x, angles).requires_grad_()
    for function in (
        lambda v: space.exp(x, space.project_tangent(x, v)),
        lambda v: space.transport_along(x, space.project_tangent(x, v), u),
    ):
        assert torch.autograd.gradcheck(function, (v,), check_forward_ad=True, check_batched_grad=True)
        assert torch.autograd.gradgradcheck(function, (v,))


@dtypes
def test_hessian_in_place_is_twice_the_horizontal_projection(dtype):
    space = Grassmann(4, 2)
    x = drawn(space, dtype=dtype)
    other = turned(x)[0]
    hessian = torch.func.hessian(lambda y: space.squared_distance(x, y, check=False))(other).reshape(8, 8)
    onto = torch.kron(torch.eye(4, dtype=dtype) - x @ x.mT, torch.eye(2, dtype=dtype))
    torch.testing.assert_close(onto @ hessian @ onto, 2 * onto, rtol=0, atol=64 * EPS[dtype])
    slope = torch.func.grad(lambda y: space.squared_distance(x, y, check=False))(other)
    torch.testing.assert_close(
        onto @ slope.flatten(), torch.zeros(8, dtype=dtype), rtol=0, atol=8 * EPS[dtype]
    )


@pytest.mark.parametrize("angles", [(1e-6, 1e-6), (0.7, 0.7), (1.5, 0.2)])
def test_gradient_of_the_squared_distance_is_minus_twice_the_logarithm(angles):
    space = Grassmann(5, 2)
    x = drawn(space, 3)
    y = turned(space.exp(x, with_angles(space, x, angles)))[0]
    slope = torch.func.grad(lambda x: space.squared_distance(x, y, check=False).sum())(x)
    torch.testing.assert_close(space.gradient(x, slope), -2 * space.log(x, y), rtol=0, atol=1e-13)


def test_subspaces_with_a_right_angle_have_a_distance_and_no_logarithm():
    space = Grassmann(4, 2)
    e = torch.eye(4, dtype=torch.float64)
    x = e[:, :2].expand(3, 4, 2)
    y = torch.stack((e[:, :2], e[:, 1:3], e[:, 2:]))
    with pytest.raises(ValueError, match=r"y\[1\] is orthogonal to a direction of its x.*pi/2"):
        space.log(x, y)
    assert space.log(x, y, check=False).isnan().any(-1).any(-1).tolist() == [False, True, True]
    assert space.transport(x, y, e[:, 2:]).isnan().any(-1).any(-1).tolist() == [False, True, True]
    expected = x.new_tensor([0, math.pi / 2, math.pi / 2 * 2**0.5])
    torch.testing.assert_close(space.distance(x, y), expected, rtol=1e-14, atol=1e-14)


def test_mean_of_lines_in_the_plane_is_the_mean_of_the_angles():
    angles = torch.tensor([0.1, 0.4, 1.0], dtype=torch.float64)
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    signs = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    space = Grassmann(2, 1)
    lines = (signs * torch.stack((angles.cos(), angles.sin()))).mT.unsqueeze(-1)
    angle = (weights * angles).sum() / weights.sum()
    truth = torch.stack((angle.cos(), angle.sin())).unsqueeze(-1)
    mean = space.mean(lines, weights)
    torch.testing.assert_close(space.projector(mean), space.projector(truth), rtol=0, atol=4e-15)


def test_samples_are_uniform():
    # The projector has mean p/n I; the squared cosine of two lines has variance 2 (n - 1) / (n^2 (n + 2)).
    space = Grassmann(4, 2)
    mean = space.projector(drawn(space, 20000)).mean(0)
    assert float((mean - 0.5 * torch.eye(4)).abs().max()) < 5 * 0.3 / math.sqrt(20000)
    square = drawn(Grassmann(4, 1), 20000)[:, 0, 0].square()
    assert abs(float(square.var()) - 6 / 96) < 0.003


def test_the_whole_space_is_one_point():
    space = Grassmann(3, 3)
    x, y = drawn(space, 2), drawn(space, 2, seed=1)
    assert space.dim == 0
    assert float(space.distance(x, y).max()) < 1e-14
    torch.testing.assert_close(space.log(x, y), torch.zeros_like(x), rtol=0, atol=1e-15)


def test_arguments_are_refused():
    with pytest.raises(ValueError, match=r"n and p must be integers with 1 <= p <= n.*got n = 2, p = 3"):
        Grassmann(2, 3)
    space = Grassmann(4, 2)
    x = drawn(space, 2)
    with pytest.raises(ValueError, match=r"y\[0\] is not in Grassmann\(4, 2\): its defect is"):
        space.distance(x, 1.1 * x)
    with pytest.raises(
        ValueError, match=r"v must be elements of Grassmann\(4, 2\) of shape \(\.\.\., 4, 2\)"
    ):
        space.transport(x, x, x.mT)
    with pytest.raises(ValueError, match=r"v\[0\] is not tangent to Grassmann\(4, 2\)"):
        space.check_tangent(x, x)
    assert Grassmann(4, 2) == Grassmann(4, 2)
    assert Grassmann(4, 2) != Grassmann(4, 1)
    assert repr(space) == "lie.Grassmann(4, 2)"
    assert space.dim == 4
