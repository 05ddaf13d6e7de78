"""The sphere against arcs in 50-digit arithmetic, closed forms of its derivatives, and refusals."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from lie import Sphere
from lie.testing import RiemannianManifoldSuite

EPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}
ANGLES = (1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 0.05, 0.0999, 0.1001, 0.5, 1.0, 2.0, 3.0, math.pi - 1e-3)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


class TestSphere2(RiemannianManifoldSuite):
    manifold = Sphere(2)


class TestSphere4(RiemannianManifoldSuite):
    manifold = Sphere(4)
    reach = 2.5


def drawn(*batch, n=4, seed=0, dtype=torch.float64):
    return Sphere(n).random(*batch, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def exact(x):
    return [mpmath.mpf(float(entry)) for entry in x]


def true_log(x, y):
    """The logarithm of the unit vectors nearest to two vectors, in 50 digits."""
    with mpmath.workdps(50):
        x, y = exact(x), exact(y)
        norms = [mpmath.sqrt(sum(e * e for e in z)) for z in (x, y)]
        x, y = ([e / s for e in z] for z, s in zip((x, y), norms, strict=True))
        cosine = sum(a * b for a, b in zip(x, y, strict=True))
        normal = [b - cosine * a for a, b in zip(x, y, strict=True)]
        sine = mpmath.sqrt(sum(e * e for e in normal))
        ratio = mpmath.atan2(sine, cosine) / sine if sine else mpmath.mpf(1)
        return [float(e * ratio) for e in normal]


@dtypes
@pytest.mark.parametrize("angle", ANGLES)
def test_log_and_distance_agree_with_fifty_digits(angle, dtype):
    sphere = Sphere(4)
    x = drawn(8, dtype=torch.float64)
    v = sphere.random_tangent(x, generator=torch.Generator().manual_seed(1))
    y = sphere.exp(x, angle * v / v.norm(dim=-1, keepdim=True)).to(dtype)
    x = x.to(dtype)
    truth = torch.tensor([true_log(a, b) for a, b in zip(x, y, strict=True)], dtype=torch.float64)
    near_antipodal = 1 / math.sin(min(angle, 1.5)) if angle < 2 else 1 / math.sin(angle)
    # The direction is that of y - x, which two unit vectors hold to eps; next to -x it turns by eps / sine.
    bound = 8 * EPS[dtype] * (1.0 if angle < 2 else near_antipodal)
    assert float((sphere.log(x, y).double() - truth).abs().max()) <= bound
    lengths = truth.norm(dim=-1)
    assert float((sphere.distance(x, y).double() - lengths).abs().max()) <= 8 * EPS[dtype]


def test_small_steps_come_back_with_relative_accuracy():
    sphere = Sphere(3)
    x = torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64)
    v = 1e-9 * torch.tensor([1.0, 0.8, -0.6], dtype=torch.float64)
    torch.testing.assert_close(sphere.log(x, sphere.exp(x, v)), v, rtol=1e-7, atol=0)


@dtypes
@pytest.mark.parametrize("length", [0.0, 1e-8, 1e-3, 0.49, 0.51, 1.0, 3.0, 7.0, 40.0])
def test_exp_agrees_with_fifty_digits(length, dtype):
    sphere = Sphere(4)
    x = drawn(8, dtype=dtype)
    v = sphere.random_tangent(x, generator=torch.Generator().manual_seed(1))
    v = length * v / v.norm(dim=-1, keepdim=True)
    for got, point, step in zip(sphere.exp(x, v), x, v, strict=True):
        with mpmath.workdps(50):
            a, b = exact(point), exact(step)
            size = mpmath.sqrt(sum(e * e for e in b))
            ratio = mpmath.sin(size) / size if size else mpmath.mpf(1)
            truth = [float(mpmath.cos(size) * p + ratio * q) for p, q in zip(a, b, strict=True)]
        # The angle itself is held to some eps of its size.
        assert np.abs(got.double().numpy() - truth).max() <= 4 * EPS[dtype] * (1 + length)


def test_geodesic_and_transport_solve_their_equations():
    x, v, u = np.array([0.0, 0.6, 0.8]), np.array([1.2, -0.8, 0.6]), np.array([0.3, 0.4, -0.3])

    def rates(_, state):
        point, velocity, carried = np.split(state, 3)
        return np.concatenate((velocity, -(velocity @ velocity) * point, -(velocity @ carried) * point))

    end = solve_ivp(rates, (0, 1), np.concatenate((x, v, u)), "DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    sphere = Sphere(3)
    start, along, across = (torch.tensor(part) for part in (x, v, u))
    there = sphere.exp(start, along)
    truth = torch.tensor(end).reshape(3, 3)
    torch.testing.assert_close(there, truth[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(sphere.transport(start, there, across), truth[2], rtol=0, atol=1e-12)
    torch.testing.assert_close(sphere.transport_along(start, along, across), truth[2], rtol=0, atol=1e-12)
    torch.testing.assert_close(sphere.transport_along(start, along, along), truth[1], rtol=0, atol=1e-12)


def test_transport_along_goes_where_the_shorter_arc_does_not():
    sphere = Sphere(3)
    x = drawn(5, n=3)
    v, u = (sphere.random_tangent(x, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    v = 2 * math.pi * v / v.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(sphere.transport_along(x, v, u), u, rtol=0, atol=1e-14)  # once around
    torch.testing.assert_close(sphere.transport_along(x, 0 * v, u), u, rtol=0, atol=1e-15)


@dtypes
def test_hessians_in_place_are_twice_the_tangent_projection(dtype):
    x = drawn(dtype=dtype)
    sphere = Sphere(4)
    onto = torch.eye(4, dtype=dtype) - x.outer(x)
    for function in (lambda y: sphere.squared_distance(x, y), lambda y: sphere.squared_distance(y, x)):
        hessian = torch.func.hessian(function)(x)
        torch.testing.assert_close(onto @ hessian @ onto, 2 * onto, rtol=0, atol=32 * EPS[dtype])
        slope = torch.func.grad(function)(x)
        torch.testing.assert_close(onto @ slope, torch.zeros_like(x), rtol=0, atol=4 * EPS[dtype])
    mixed = torch.func.jacfwd(torch.func.grad(sphere.squared_distance), argnums=1)(x, x)
    torch.testing.assert_close(onto @ mixed @ onto, -2 * onto, rtol=0, atol=32 * EPS[dtype])


@pytest.mark.parametrize("angle", [1e-6, 0.0999, 0.1001, 1.0, 2.0, 3.1])
def test_gradient_of_the_squared_distance_is_minus_twice_the_logarithm(angle):
    sphere = Sphere(4)
    x = drawn(6).requires_grad_()
    v = sphere.random_tangent(x.detach(), generator=torch.Generator().manual_seed(1))
    y = sphere.exp(x.detach(), angle * v / v.norm(dim=-1, keepdim=True))
    (slope,) = torch.autograd.grad(sphere.squared_distance(x, y).sum(), x)
    gradient = sphere.gradient(x.detach(), slope)
    torch.testing.assert_close(gradient, -2 * sphere.log(x.detach(), y), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("angle", [0.3, 1.5, 2.9])
def test_hessian_of_half_the_squared_distance_has_the_eigenvalues_one_and_angle_over_tangent(angle):
    sphere = Sphere(4)
    x = drawn()
    v = sphere.random_tangent(x, generator=torch.Generator().manual_seed(1))
    y = sphere.exp(x, angle * v / v.norm())
    half = lambda w: 0.5 * sphere.squared_distance(sphere.exp(x, sphere.project_tangent(x, w)), y)  # noqa: E731
    values = torch.linalg.eigvalsh(torch.func.hessian(half)(torch.zeros_like(x)))
    expected = torch.tensor([0.0, *[angle / math.tan(angle)] * 2, 1.0], dtype=torch.float64).sort()[0]
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-12)


def test_antipodal_points_have_a_distance_and_no_logarithm():
    sphere = Sphere(4)
    x = drawn(3)
    y = torch.stack((x[0], x[2], -x[2]))
    with pytest.raises(ValueError, match=r"y\[2\] is antipodal to its x"):
        sphere.log(x, y)
    with pytest.raises(ValueError, match=r"y\[2\] is antipodal"):
        sphere.interpolate(x, y, 0.5)
    bare = sphere.log(x, y, check=False)
    assert bare.isnan().all(-1).tolist() == [False, False, True]
    assert sphere.transport(x, y, x).isnan().all(-1).tolist() == [False, False, True]
    far = sphere.distance(x[2], y[2])
    assert float((far - math.pi).abs()) <= 2 * EPS[torch.float64]
    for order in (torch.func.grad, torch.func.hessian):
        assert bool(torch.isfinite(order(lambda z: sphere.squared_distance(x[2], z))(y[2])).all())


@dtypes
def test_neighbours_of_antipodal_points_are_answered(dtype):
    sphere = Sphere(3)
    x = torch.tensor([0.0, 0.0, 1.0], dtype=dtype)
    y = torch.tensor([1e-5, 0.0, -1.0], dtype=dtype)
    v = sphere.log(x, sphere.project(y))
    torch.testing.assert_close(v, v.new_tensor([math.pi - 1e-5, 0, 0]), rtol=0, atol=8 * EPS[dtype])


def test_mean_on_a_circle_is_the_mean_of_the_angles():
    angles = torch.tensor([0.1, 0.4, 1.0], dtype=torch.float64)
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    mean = Sphere(2).mean(torch.stack((angles.cos(), angles.sin()), -1), weights)
    angle = (weights * angles).sum() / weights.sum()
    torch.testing.assert_close(mean, torch.stack((angle.cos(), angle.sin())), rtol=0, atol=4e-15)


def test_samples_are_uniform():
    x = Sphere(3).random(20000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # By Archimedes each coordinate is uniform on [-1, 1]: mean 0, variance 1/3, fourth moment 1/5.
    for power, moment, deviation in ((1, 0.0, 3**-0.5), (2, 1 / 3, 0.3), (4, 1 / 5, 0.27)):
        error = (x.pow(power).mean(0) - moment).abs().max()
        assert float(error) <= 5 * deviation / math.sqrt(20000)


@pytest.mark.parametrize("n", [1, 0, -3, 2.0, "3"])
def test_sizes_are_refused(n):
    with pytest.raises(ValueError, match=r"n must be an integer of at least 2.*got"):
        Sphere(n)


def test_equal_sizes_are_the_same_sphere():
    assert Sphere(3) == Sphere(3)
    assert len({Sphere(3), Sphere(3), Sphere(4)}) == 2
    assert repr(Sphere(3)) == "lie.Sphere(3)"
    assert Sphere(3).dim == 2


def test_zero_and_missing_numbers_show():
    sphere = Sphere(3)
    nan = torch.full((3,), torch.nan)
    north = torch.tensor([0.0, 0.0, 1.0])
    assert bool(sphere.project(torch.zeros(3)).isnan().all())
    assert bool(sphere.exp(north, nan).isnan().any())
    assert bool(sphere.log(north, nan, check=False).isnan().any())
    assert bool(sphere.squared_distance(north, nan, check=False).isnan())
    assert bool(sphere.distance(north, nan, check=False).isnan())
    with pytest.raises(ValueError, match=r"y has entries that are not finite"):
        sphere.log(north, nan)
    with pytest.raises(ValueError, match=r"v is not tangent to Sphere\(3\)"):
        sphere.check_tangent(north, north)
