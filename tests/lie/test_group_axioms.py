"""Properties over drawn tangents and elements of SO(3) and SE(3), sampling, projection and interpolation."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lie import SE3, SO3

EPS = 2.0**-52
numbers = st.floats(-3, 3, allow_subnormal=False)
vectors = st.lists(numbers, min_size=3, max_size=3).map(lambda v: torch.tensor(v, dtype=torch.float64))
scales = st.sampled_from([0.0, 1e-12, 1e-8, 1e-4, 0.3, 1.0])
tangents = st.tuples(vectors, vectors, scales).map(lambda p: torch.cat((p[0], p[2] * p[1])))
quick = settings(max_examples=60, deadline=None)


def close(a, b, eps=32.0):
    assert float((a - b).abs().max()) <= eps * EPS * max(1.0, float(b.abs().max()))


@quick
@given(tangents)
def test_exp_is_in_the_group_at_any_angle_and_log_brings_it_back(xi):
    g = SE3.exp(xi)
    assert float(SE3.residual(g)) <= 16 * EPS
    again = SE3.exp(SE3.log(g))
    close(again, g, 128)
    assert float(SE3.log(g)[3:].norm()) <= math.pi + 1e-15
    if float(xi[3:].norm()) < math.pi - 1e-6:
        close(SE3.log(g), xi, 64)


@quick
@given(tangents, tangents, tangents)
def test_group_laws(x, y, z):
    a, b, c = SE3.exp(x), SE3.exp(y), SE3.exp(z)
    close(SE3.compose(SE3.compose(a, b), c), SE3.compose(a, SE3.compose(b, c)))
    close(SE3.compose(a, SE3.inverse(a)), SE3.identity(dtype=torch.float64))
    close(SE3.inverse(SE3.compose(a, b)), SE3.compose(SE3.inverse(b), SE3.inverse(a)))
    close(SE3.Ad(SE3.compose(a, b)), SE3.Ad(a) @ SE3.Ad(b), 64)
    close(SE3.ad(x) @ y, -SE3.ad(y) @ x)
    jacobi = SE3.ad(x) @ SE3.ad(y) @ z + SE3.ad(y) @ SE3.ad(z) @ x + SE3.ad(z) @ SE3.ad(x) @ y
    assert float(jacobi.abs().max()) <= 1e-12


@quick
@given(tangents, tangents)
def test_pairing_is_kept_by_the_coadjoint_action(x, mu):
    g = SE3.exp(x)
    eta = torch.linspace(-1, 1, 6, dtype=torch.float64)
    assert abs(float(SE3.coadjoint(g, mu) @ eta - mu @ (SE3.Ad(g) @ eta))) <= 1e-13
    assert abs(float(SE3.coadjoint_algebra(x, mu) @ x)) <= 1e-12


@quick
@given(vectors)
def test_logarithm_keeps_relative_accuracy_at_every_size(v):
    for scale in (1e-300, 1e-30, 1e-9, 1e-3, 0.5):
        phi = scale * v
        assert float((SO3.log(SO3.exp(phi)) - phi).abs().max()) <= 8 * EPS * float(phi.norm())


@quick
@given(vectors, vectors)
def test_squared_distance_is_the_square_of_the_distance(x, y):
    r, q = SO3.exp(x), SO3.exp(y)
    close(SO3.squared_distance(r, q), SO3.distance(r, q) ** 2)
    close(SO3.distance(r, q), SO3.minus(q, r).norm())


def test_random_rotations_are_uniform():
    n = 40000
    r = SO3.random(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    SO3.check(r)
    trace = r.diagonal(dim1=-2, dim2=-1).sum(-1)
    angle = SO3.log(r).norm(dim=-1)
    # Standard deviations: trace 1, its square sqrt(2) at most, angle 0.65.
    assert abs(float(trace.mean())) < 5 / math.sqrt(n)
    assert abs(float((trace**2).mean()) - 1) < 10 / math.sqrt(n)
    assert abs(float(angle.mean()) - (math.pi / 2 + 2 / math.pi)) < 5 * 0.65 / math.sqrt(n)
    for quantile in (0.5, 1.0, 2.0, 3.0):
        share = (quantile - math.sin(quantile)) / math.pi
        assert abs(float((angle < quantile).double().mean()) - share) < 5 * 0.5 / math.sqrt(n)
    assert float(r.mean(0).abs().max()) < 5 * 0.58 / math.sqrt(n)


def test_polish_squares_the_defect():
    r = SO3.random(50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    near = r + 1e-3 * torch.randn(50, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    defects = []
    for _ in range(4):
        defects.append(float(SO3.residual(near).max()))
        near = SO3.polish(near)
    assert defects[1] < 4 * defects[0] ** 2
    assert defects[2] < 4 * defects[1] ** 2
    assert float(SO3.residual(near).max()) <= 12 * EPS
    motion = SE3.from_parts(r * (1 + 1e-8), torch.ones(3))
    assert float(SE3.residual(SE3.polish(motion)).max()) <= 12 * EPS


def test_projection_is_the_nearest_rotation_of_any_matrix():
    generator = torch.Generator().manual_seed(3)
    m = torch.randn(
        20, 3, 3, generator=generator, dtype=torch.float64
    )  # half of them with negative determinant
    nearest = SO3.project(m)
    assert float(SO3.residual(nearest).max()) <= 12 * EPS
    distance = torch.linalg.matrix_norm(m - nearest)
    others = SO3.random(500, 1, generator=generator, dtype=torch.float64)
    beside = nearest @ SO3.exp(0.01 * torch.randn(500, 20, 3, generator=generator, dtype=torch.float64))
    assert bool((torch.linalg.matrix_norm(m - others) >= distance).all())
    assert bool((torch.linalg.matrix_norm(m - beside) >= distance).all())
    with pytest.raises(ValueError, match="not in SO3"):
        SO3.check(-SO3.identity(dtype=torch.float64))


def test_screw_and_split_interpolation_differ_between_their_common_ends():
    g = SE3.identity(dtype=torch.float64)
    h = SE3.exp(torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 2.0], dtype=torch.float64))
    for path in (SE3.interpolate, SE3.interpolate_split):
        close(path(g, h, 0.0), g)
        close(path(g, h, 1.0), h)
    s = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    split, screw = SE3.interpolate_split(g, h, s), SE3.interpolate(g, h, s)
    close(SE3.rotation(split), SE3.rotation(screw))
    close(SE3.translation(split), s[:, None] * SE3.translation(h))
    assert float((SE3.translation(split) - SE3.translation(screw)).abs().max()) > 0.05
