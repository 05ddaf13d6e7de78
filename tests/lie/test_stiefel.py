"""Stiefel manifolds against geodesic equations, an independent logarithm, dense formulas, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm, logm

from lie import Sphere, Stiefel
from lie.testing import RiemannianManifoldSuite

EPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}
METRICS = ("euclidean", "canonical")
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
metrics = pytest.mark.parametrize("metric", METRICS)


class TestEuclidean(RiemannianManifoldSuite):
    manifold = Stiefel(3, 2)
    reach = 1.5
    transport_keeps_lengths = False


class TestCanonical(RiemannianManifoldSuite):
    manifold = Stiefel(3, 2, "canonical")
    transport_keeps_lengths = False
    compiled = ("exp", "retract")


class TestOrthogonal(RiemannianManifoldSuite):
    manifold = Stiefel(3, 3)
    transport_keeps_lengths = False
    compiled = ("exp",)


def drawn(space, *batch, seed=0, dtype=torch.float64):
    return space.random(*batch, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def tangents(space, x, length=1.0, seed=0):
    v = space.random_tangent(x, generator=torch.Generator().manual_seed(seed + 50))
    return v * (length / space.norm(x, v))[..., None, None]


def uneven_tangents(space, x, length):
    """Tangents from mostly inside the span of x to mostly outside, half of those moving one column alone."""
    v = tangents(space, x)
    inside = x @ (x.mT @ v)
    share = torch.linspace(0, 2, len(x), dtype=x.dtype)[:, None, None]
    outside = (v - inside).clone()
    outside[::2, :, 1:] = 0
    v = share * inside + outside
    return v * (length / space.norm(x, v))[:, None, None]


def zimmermann(x, y, steps=400):
    """The canonical logarithm by the algorithm of Zimmermann (2017, SIAM J. Matrix Anal. Appl. 38(2))."""
    p = x.shape[1]
    overlap = x.T @ y
    q, rest = np.linalg.qr(y - x @ overlap)
    complete = np.linalg.qr(np.vstack((overlap, rest)), mode="complete")[0]
    turned = np.hstack((np.vstack((overlap, rest)), complete[:, p:]))
    left, _, right = np.linalg.svd(turned[p:, p:])
    turned[:, p:] = turned[:, p:] @ (right.T @ left.T)
    if np.linalg.det(turned) < 0:
        turned[:, -1] *= -1
    for _ in range(steps):
        log = np.real(logm(turned))
        corner = log[p:, p:]
        if np.linalg.norm(corner) < 1e-14:
            break
        turned[:, p:] = turned[:, p:] @ expm(-corner)
    return x @ log[:p, :p] + q @ log[p:, :p]


def dense_generator(x, v):
    half = v - 0.5 * x @ (x.mT @ v)
    return half @ x.mT - x @ half.mT


@metrics
@pytest.mark.parametrize("length", [1.0, 2.5])
def test_exp_solves_the_geodesic_equation(metric, length):
    space = Stiefel(5, 2, metric)
    x = drawn(space)
    v = tangents(space, x, length)

    def rates(_, state):
        point, velocity = state.reshape(2, 5, 2)
        square = velocity.T @ velocity
        if metric == "euclidean":  # Edelman, Arias and Smith 1998, equations 2.7 and 2.41
            acceleration = -point @ square
        else:
            along = point.T @ velocity
            acceleration = -velocity @ velocity.T @ point - point @ (along @ along + square)
        return np.concatenate((velocity, acceleration)).ravel()

    start = torch.stack((x, v)).numpy().ravel()
    end = solve_ivp(rates, (0, 1), start, "DOP853", rtol=1e-13, atol=1e-14).y[:, -1].reshape(2, 5, 2)
    one = x.new_ones(())
    y, velocity = torch.func.jvp(lambda t: space.exp(x, t * v), (one,), (one,))[:2]
    torch.testing.assert_close(y, torch.tensor(end[0]), rtol=0, atol=2e-12)
    torch.testing.assert_close(velocity, torch.tensor(end[1]), rtol=0, atol=5e-12)


@dtypes
@metrics
@pytest.mark.parametrize(("n", "p"), [(8, 3), (4, 3), (3, 3), (3, 1)])
def test_long_geodesics_keep_their_digits(n, p, metric, dtype):
    space = Stiefel(n, p, metric)
    x = drawn(space, 5)
    v = tangents(space, x, 40.0).to(dtype)
    x = x.to(dtype)
    exact, steps = x.double(), v.double()
    generator = dense_generator(exact, steps)
    if metric == "euclidean":
        along = exact @ exact.mT @ steps @ exact.mT
        generator = generator + along
        after = torch.linalg.matrix_exp(-exact.mT @ steps)
    else:
        after = torch.eye(p, dtype=torch.float64)
    truth = torch.linalg.matrix_exp(generator) @ exact @ after
    y = space.exp(x, v)
    # Forty radians are held to 40 eps, and x to some eps only.
    assert float((y.double() - truth).abs().max()) <= 16 * 40 * EPS[dtype]
    assert float(space.residual(y).max()) <= 8 * 40 * EPS[dtype]


@pytest.mark.parametrize("length", [1e-3, 0.5, 1.5])
@pytest.mark.parametrize(("n", "p"), [(6, 2), (7, 3)])
def test_canonical_logarithm_is_that_of_the_algorithm_of_zimmermann(n, p, length):
    space = Stiefel(n, p, "canonical")
    x = drawn(space, 3)
    y = space.exp(x, tangents(space, x, length))
    truth = np.stack([zimmermann(a.numpy(), b.numpy()) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(space.log(x, y), torch.tensor(truth), rtol=0, atol=1e-12)


@metrics
@dtypes
@pytest.mark.parametrize(("n", "p"), [(3, 2), (4, 3), (6, 3), (9, 4), (3, 1)])
def test_logarithm_is_found_within_the_injectivity_radius(n, p, metric, dtype):
    space = Stiefel(n, p, metric)
    x = drawn(space, 40)
    radius = math.pi if metric == "euclidean" else math.pi * 0.8**0.5
    for share in (1e-6, 0.3, 0.8, 0.97):
        v = uneven_tangents(space, x, share * radius)
        y = space.exp(x, v)
        got = space.log(x.to(dtype), y.to(dtype)).double()
        # Next to the radius the derivatives of log grow as powers of 1 / (1 - share), and rounding with them.
        assert float((got - v).abs().max()) <= 32 * EPS[dtype] / (1 - share) ** 2


@metrics
def test_logarithm_is_found_right_next_to_the_injectivity_radius(metric):
    space = Stiefel(4, 2, metric)
    x = drawn(space, 1500)
    v = uneven_tangents(space, x, 0.995 * math.pi * (1 if metric == "euclidean" else 0.8**0.5))
    torch.testing.assert_close(space.log(x, space.exp(x, v)), v, rtol=0, atol=1e-9)


@metrics
def test_frames_that_have_drifted_still_have_a_logarithm(metric):
    space = Stiefel(5, 2, metric)
    x = drawn(space, 4)
    v = tangents(space, x)
    y = space.exp(x, v)
    noise = 1e-5 * drawn(space, 4, seed=1)
    torch.testing.assert_close(space.log(x + noise, y), v, rtol=0, atol=1e-4)
    torch.testing.assert_close(space.log(x, y + noise), v, rtol=0, atol=1e-4)
    mixed = space.log(x.float(), y)
    assert mixed.dtype == torch.float64
    torch.testing.assert_close(mixed, v, rtol=0, atol=1e-6)


def test_logarithm_of_orthogonal_matrices_is_the_matrix_logarithm():
    x = drawn(Stiefel(4, 4), 6)
    for metric, root in (("euclidean", 1.0), ("canonical", 0.5**0.5)):
        space = Stiefel(4, 4, metric)
        y = space.exp(x, 3.0 * tangents(Stiefel(4, 4), x))
        truth = np.stack([np.real(logm(g.numpy())) for g in x.mT @ y])
        v = space.log(x, y)
        torch.testing.assert_close(v, x @ torch.tensor(truth), rtol=0, atol=1e-13)
        lengths = root * torch.tensor(truth).flatten(1).norm(dim=1)
        torch.testing.assert_close(space.distance(x, y), lengths, rtol=1e-13, atol=0)


@metrics
def test_one_column_is_the_sphere(metric):
    space, sphere = Stiefel(4, 1, metric), Sphere(4)
    x = drawn(space, 5)
    v = tangents(space, x, 2.7)
    y = space.exp(x, v)
    torch.testing.assert_close(y[..., 0], sphere.exp(x[..., 0], v[..., 0]), rtol=0, atol=2e-15)
    torch.testing.assert_close(space.log(x, y)[..., 0], sphere.log(x[..., 0], y[..., 0]), rtol=0, atol=5e-14)


@metrics
def test_retractions_follow_geodesics_to_the_orders_stated(metric):
    space = Stiefel(6, 3, metric)
    x = drawn(space, 4)
    v = tangents(space, x)
    orders = {
        "retract_qr": 2,
        "retract_polar": 2,
        "retract_cayley": 2,
    }  # powers of the gap, one more than order
    orders["retract_polar" if metric == "euclidean" else "retract_cayley"] = 3
    for name, power in orders.items():
        move = getattr(space, name)
        gaps = [float((move(x, h * v) - space.exp(x, h * v)).norm()) for h in (2e-2, 1e-2)]
        assert abs(math.log2(gaps[0] / gaps[1]) - power) < 0.1, name
        speed = torch.func.jvp(lambda t, m=move: m(x, t * v), (x.new_zeros(()),), (x.new_ones(()),))[1]
        torch.testing.assert_close(speed, v, rtol=0, atol=1e-14)
        for length in (1.0, 1e4):
            assert float(space.residual(move(x, length * v)).max()) <= 64 * EPS[torch.float64], name


@pytest.mark.parametrize(("n", "p"), [(7, 2), (4, 3), (3, 3), (4, 1)])
def test_retractions_are_their_dense_formulas(n, p):
    space = Stiefel(n, p)
    x = drawn(space, 4)
    v = tangents(space, x, 2.0)
    eye, generator = torch.eye(n, dtype=torch.float64), dense_generator(x, v)
    cayley = torch.linalg.solve(eye - generator / 2, (eye + generator / 2) @ x)
    torch.testing.assert_close(space.retract_cayley(x, v), cayley, rtol=0, atol=4e-15)
    values, vectors = torch.linalg.eigh(torch.eye(p, dtype=torch.float64) + v.mT @ v)
    polar = (x + v) @ (vectors / values.sqrt()[:, None]) @ vectors.mT
    torch.testing.assert_close(space.retract_polar(x, v), polar, rtol=0, atol=4e-15)
    factor = torch.linalg.cholesky((x + v).mT @ (x + v))
    qr = torch.linalg.solve_triangular(factor, (x + v).mT, upper=False).mT
    torch.testing.assert_close(space.retract_qr(x, v), qr, rtol=0, atol=4e-15)


@pytest.mark.parametrize("name", ["retract_qr", "retract_polar", "retract_cayley"])
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_retractions_differentiate_in_both_modes_twice(name, size):
    space = Stiefel(4, 2)
    x = drawn(space, 2)
    v = (size * tangents(space, x)).requires_grad_()
    move = lambda v: getattr(space, name)(x, space.project_tangent(x, v))  # noqa: E731
    assert torch.autograd.gradcheck(move, (v,), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(move, (v,))


@metrics
def test_logarithm_differentiates_in_both_modes_twice(metric):
    for n, p, length in ((4, 2, 1.0), (4, 2, 0.0), (3, 3, 1.0)):
        space = Stiefel(n, p, metric)
        x = drawn(space)
        y = space.exp(x, tangents(space, x, length)).requires_grad_()
        log = lambda y, s=space, x=x: s.log(x, s.project(y), check=False)  # noqa: E731
        assert torch.autograd.gradcheck(log, (y,), check_forward_ad=True, check_batched_grad=True)
        assert torch.autograd.gradgradcheck(log, (y,))


@metrics
def test_derivative_of_log_inverts_that_of_exp_up_to_the_third(metric):
    space = Stiefel(4, 2, metric)
    x = drawn(space)
    v = tangents(space, x)
    u = tangents(space, x, seed=1)
    there_and_back = lambda t: space.log(x, space.exp(x, v + t * u), check=False)  # noqa: E731
    function, zero = there_and_back, x.new_zeros(())
    for order in range(1, 4):
        function = torch.func.jacfwd(function)
        expected = u if order == 1 else torch.zeros_like(u)
        torch.testing.assert_close(function(zero), expected, rtol=0, atol=1e-10)


@metrics
@dtypes
def test_hessian_of_the_squared_distance_in_place_is_twice_the_metric(metric, dtype):
    space = Stiefel(4, 2, metric)
    x = drawn(space, dtype=dtype)
    u = tangents(space, x).to(dtype)
    v = tangents(space, x, seed=1).to(dtype)

    def squared(s, t):
        return space.squared_distance(x, space.exp(x, s * u + t * v), check=False)

    zero = x.new_zeros(())
    slope = torch.func.grad(squared)(zero, zero)
    mixed = torch.func.grad(torch.func.grad(squared), argnums=1)(zero, zero)
    assert float(slope.abs()) <= 32 * EPS[dtype]
    torch.testing.assert_close(mixed, 2 * space.inner(x, u, v), rtol=0, atol=128 * EPS[dtype])


@metrics
@pytest.mark.parametrize("length", [1e-4, 1.0, 2.4])
def test_gradient_of_the_squared_distance_is_minus_twice_the_logarithm(metric, length):
    space = Stiefel(5, 2, metric)
    x = drawn(space, 3)
    y = space.exp(x, tangents(space, x, length))
    slope = torch.func.grad(lambda x: space.squared_distance(x, y, check=False).sum())(x)
    torch.testing.assert_close(space.gradient(x, slope), -2 * space.log(x, y), rtol=0, atol=1e-12)


def test_metrics_and_gradients_are_those_of_the_literature():
    x = drawn(Stiefel(5, 2), 3)
    u, v = tangents(Stiefel(5, 2), x), tangents(Stiefel(5, 2), x, seed=1)
    eye = torch.eye(5, dtype=torch.float64)
    canonical = (u * ((eye - 0.5 * x @ x.mT) @ v)).sum(
        (-2, -1)
    )  # Edelman, Arias and Smith 1998, equation 2.39
    torch.testing.assert_close(Stiefel(5, 2, "canonical").inner(x, u, v), canonical)
    torch.testing.assert_close(Stiefel(5, 2).inner(x, u, v), (u * v).sum((-2, -1)))


def test_norm_has_a_slope_at_zero():
    for metric in METRICS:
        space = Stiefel(4, 2, metric)
        x = drawn(space)
        slope = torch.func.grad(space.norm, argnums=1)(x, torch.zeros_like(x))
        torch.testing.assert_close(slope, torch.zeros_like(x), rtol=0, atol=0)


def test_chordal_mean_is_nearest_to_the_points():
    space = Stiefel(5, 2)
    x = drawn(space)
    points = torch.stack([space.exp(x, tangents(space, x, 0.8, seed=k)) for k in range(4)])
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    mean = space.chordal_mean(points, weights)
    cost = lambda m: (weights * (points - m).square().sum((-2, -1))).sum()  # noqa: E731
    space.check(mean)
    slope = torch.func.grad(cost)(mean)
    torch.testing.assert_close(space.gradient(mean, slope), torch.zeros_like(x), rtol=0, atol=2e-14)
    for seed in range(20):
        assert float(cost(space.exp(mean, tangents(space, mean, 0.3, seed)))) > float(cost(mean))
    with pytest.raises(ValueError, match="points have no chordal mean"):
        space.chordal_mean(torch.stack((x, -x)))


def test_samples_are_uniform():
    # On O(3): E tr = 0 and E tr^2 = 1; on every Stiefel manifold the entries have mean 0 and variance 1/n.
    g = drawn(Stiefel(3, 3), 20000)
    trace = g.diagonal(dim1=-2, dim2=-1).sum(-1)
    assert abs(float(trace.mean())) < 5 / math.sqrt(20000)
    assert abs(float(trace.square().mean()) - 1) < 5 * 1.5 / math.sqrt(20000)
    x = drawn(Stiefel(5, 2), 20000)
    assert float(x.mean(0).abs().max()) < 5 * 5**-0.5 / math.sqrt(20000)
    assert float((x.square().mean(0) - 0.2).abs().max()) < 5 * 0.25 / math.sqrt(20000)


def test_frames_that_no_geodesic_reaches_are_refused():
    space = Stiefel(3, 3)
    x = drawn(space, 2)
    mirrored = x * x.new_tensor([1, 1, -1])
    with pytest.raises(ValueError, match=r"y\[0\] differs from its x by a reflection or a half turn"):
        space.log(x, mirrored)
    assert bool(space.log(x, mirrored, check=False).isnan().all())
    circle = Stiefel(3, 1)
    x = drawn(circle, 2)
    y = torch.stack((x[1], -x[1]))
    with pytest.raises(ValueError, match=r"y\[1\] is too far from its x.*shorter steps"):
        circle.log(x, y)
    assert circle.log(x, y, check=False).isnan().any(-1).any(-1).tolist() == [False, True]


@pytest.mark.parametrize(("n", "p"), [(2, 3), (3, 0), (3.0, 2), (3, "2"), (-1, -2)])
def test_sizes_are_refused(n, p):
    with pytest.raises(ValueError, match=r"n and p must be integers with 1 <= p <= n.*got n = "):
        Stiefel(n, p)


def test_other_arguments_are_refused():
    with pytest.raises(ValueError, match='metric must be "euclidean" or "canonical", got'):
        Stiefel(3, 2, metric="flat")
    space = Stiefel(4, 2)
    x = drawn(space, 2)
    with pytest.raises(ValueError, match=r"x\[0\] is not in Stiefel\(4, 2\).*lie\.Stiefel\(4, 2\)\.project"):
        space.log(2 * x, x)
    with pytest.raises(ValueError, match=r"y must be elements of Stiefel\(4, 2\) of shape \(\.\.\., 4, 2\)"):
        space.log(x, x.mT)
    with pytest.raises(ValueError, match=r"v\[0\] is not tangent to Stiefel\(4, 2\)"):
        space.check_tangent(x, x)
    with pytest.raises(ValueError, match=r"points\[1\] is not in Stiefel"):
        space.chordal_mean(torch.stack((x[0], 2 * x[1])))


def test_projection_tells_where_no_frame_is_nearest():
    space = Stiefel(3, 2)
    flat = torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    both = torch.stack((flat, drawn(space)))
    assert space.project(both).isnan().any(-1).any(-1).tolist() == [True, False]


def test_equal_parameters_are_the_same_manifold():
    assert Stiefel(4, 2) == Stiefel(4, 2)
    assert Stiefel(4, 2) != Stiefel(4, 2, "canonical")
    assert len({Stiefel(4, 2), Stiefel(4, 2, "euclidean"), Stiefel(4, 3)}) == 2
    assert repr(Stiefel(4, 2, "canonical")) == 'lie.Stiefel(4, 2, metric="canonical")'
    assert (Stiefel(5, 2).dim, Stiefel(3, 3).dim, Stiefel(3, 1).dim) == (7, 3, 2)
