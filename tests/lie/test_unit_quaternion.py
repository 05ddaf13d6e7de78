"""Unit quaternions and vectors against the laws of a group, scipy and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from lie import SO3, Euclidean, UnitQuaternion, quaternion
from lie.testing import LieGroupSuite

from . import reference

EPS = 2.0**-52


class TestUnitQuaternion(LieGroupSuite):
    group = UnitQuaternion


class TestEuclidean(LieGroupSuite):
    group = Euclidean(3)
    stranger = None
    compiled = ("exp", "log", "inverse")


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(got, expected, eps=16.0):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(got, expected, rtol=0, atol=eps * EPS)


def test_the_algebra_is_half_the_rotation_vector():
    close(UnitQuaternion.hat(torch.tensor([1.0, -2.0, 3.0]).double()), [0.5, -1.0, 1.5, 0.0], eps=0)
    xi = reference.points(torch.float64)[:, 3:]
    pure = UnitQuaternion.hat(xi)
    # exp(v) of a pure quaternion v is (v sin|v|/|v|, cos|v|)
    length = torch.linalg.vector_norm(pure, dim=-1, keepdim=True)
    closed = torch.cat((torch.sinc(length / math.pi) * pure[:, :3], length.cos()), -1)
    close(UnitQuaternion.exp(xi), closed, eps=2)


def test_it_is_the_double_cover_of_the_rotations():
    a, b = UnitQuaternion.exp(draw(20, 3)), UnitQuaternion.exp(draw(20, 3, seed=1))
    turn = quaternion.to_matrix
    close(turn(UnitQuaternion.compose(a, b)), turn(a) @ turn(b))
    close(turn(UnitQuaternion.inverse(a)), turn(a).mT)
    close(UnitQuaternion.act(a, draw(20, 3, seed=2)), SO3.act(turn(a), draw(20, 3, seed=2)))
    close(UnitQuaternion.Ad(a), turn(a))
    close(UnitQuaternion.distance(a, b), SO3.distance(turn(a), turn(b)))
    u = draw(20, 3, seed=3)
    close(turn(UnitQuaternion.cayley(u)), SO3.cayley(u))
    for name in (
        "ad",
        "left_jacobian",
        "left_jacobian_inverse",
        "cayley_jacobian",
        "cayley_jacobian_inverse",
    ):
        same = torch.equal(getattr(UnitQuaternion, name)(u), getattr(SO3, name)(u))
        assert same, name


def test_both_signs_are_the_same_rotation():
    a, b = UnitQuaternion.exp(draw(20, 3)), UnitQuaternion.exp(draw(20, 3, seed=1))
    close(UnitQuaternion.log(-a), UnitQuaternion.log(a), eps=0)
    close(UnitQuaternion.minus(-b, a), UnitQuaternion.minus(b, a), eps=0)
    close(UnitQuaternion.cayley_inverse(-a), UnitQuaternion.cayley_inverse(a), eps=0)
    close(UnitQuaternion.distance(a, -a), torch.zeros(20), eps=4)
    close(UnitQuaternion.squared_distance(a, -b), UnitQuaternion.squared_distance(a, b), eps=0)
    close(UnitQuaternion.act(-a, b[:, :3]), UnitQuaternion.act(a, b[:, :3]), eps=0)
    points = UnitQuaternion.exp(0.5 * draw(4, 5, 3))
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0], dtype=torch.float64)[:, None]
    mean, other = UnitQuaternion.mean(points), UnitQuaternion.mean(points * signs)
    close(quaternion.canonical(other), quaternion.canonical(mean))
    assert float(UnitQuaternion.log(a).norm(dim=-1).max()) <= math.pi


def test_interpolation_takes_the_shorter_way_as_scipy_does():
    a, b = UnitQuaternion.random(generator=torch.Generator().manual_seed(0), dtype=torch.float64), draw(4)
    b = quaternion.normalize(b)
    s = torch.linspace(0, 1, 7, dtype=torch.float64)
    for end in (b, -b):
        path = UnitQuaternion.interpolate(a, end, s)
        slerp = Slerp([0, 1], Rotation.from_quat(torch.stack((a, end)).numpy()))
        close(quaternion.to_matrix(path), slerp(s.numpy()).as_matrix())
        assert bool(((path[1:] * path[:-1]).sum(-1) > 0).all())


def test_mean_is_that_of_the_rotations():
    points = UnitQuaternion.exp(0.6 * draw(6, 3))
    weights = torch.linspace(1, 3, 6, dtype=torch.float64)
    mean = UnitQuaternion.mean(points, weights)
    close(quaternion.to_matrix(mean), SO3.mean(quaternion.to_matrix(points), weights), eps=64)


def test_half_turns():
    axes = torch.tensor(reference.axes(), dtype=torch.float64)
    q = torch.cat((axes, torch.zeros_like(axes[:, :1])), -1)
    phi = UnitQuaternion.log(q)
    close(phi, math.pi * axes, eps=8)
    close(UnitQuaternion.log(-q), -math.pi * axes, eps=8)
    for order in (torch.func.jacrev, torch.func.hessian):
        assert bool(torch.isfinite(torch.vmap(order(UnitQuaternion.log))(q)).all())
    one = UnitQuaternion.identity(dtype=torch.float64)
    for order in (torch.func.grad, torch.func.hessian):
        for function in (UnitQuaternion.distance, UnitQuaternion.squared_distance):
            slope = torch.vmap(order(lambda x, function=function: function(one, x)))(q)
            assert bool(torch.isfinite(slope).all())
    with pytest.raises(ValueError, match=r"g\[0\] has the eigenvalue -1.*use log"):
        UnitQuaternion.cayley_inverse(q)
    assert not bool(torch.isfinite(UnitQuaternion.cayley_inverse(q, check=False)).all(-1).any())


def test_projection_is_the_nearest_unit_quaternion_with_its_derivative():
    q = 3 * draw(8, 4)
    unit = UnitQuaternion.project(q)
    close(unit, q / q.norm(dim=-1, keepdim=True), eps=2)
    across = torch.eye(4, dtype=torch.float64) - unit[:, :, None] * unit[:, None, :]
    closed = across / q.norm(dim=-1)[:, None, None]
    close(torch.vmap(torch.func.jacrev(UnitQuaternion.project))(q), closed, eps=4)
    close(UnitQuaternion.residual(2 * unit), torch.ones(8), eps=4)
    with pytest.raises(ValueError, match=r"pose\[0\] is not in UnitQuaternion: its defect is"):
        UnitQuaternion.check(2 * unit, "pose")


def test_random_quaternions_are_uniform():
    n = 40000
    q = UnitQuaternion.random(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    angle = UnitQuaternion.log(q).norm(dim=-1)
    # Uniform on the sphere in four dimensions: mean 0, second moment I/4; the angle as for rotations.
    assert float(q.mean(0).abs().max()) < 5 * 0.5 / math.sqrt(n)
    assert float((q.mT @ q / n - torch.eye(4) / 4).abs().max()) < 5 * 0.25 / math.sqrt(n)
    assert abs(float(angle.mean()) - (math.pi / 2 + 2 / math.pi)) < 5 * 0.65 / math.sqrt(n)


def test_vectors_add():
    group = Euclidean(2)
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([[0.5, -1.0], [3.0, 4.0]])
    assert torch.equal(group.compose(a, b), a + b)
    assert torch.equal(group.act(a, b), a + b)
    assert torch.equal(group.minus(a, b), a - b)
    assert torch.equal(group.distance(a, b[0]), torch.tensor([0.5, 3.0]).norm())
    assert torch.equal(group.mean(b), torch.tensor([1.75, 1.5]))
    assert torch.equal(group.interpolate(b[0], b[1], 0.5), torch.tensor([1.75, 1.5]))
    assert torch.equal(group.left_jacobian(b), torch.eye(2).expand(2, 2, 2))
    assert torch.equal(group.ad(b), torch.zeros(2, 2, 2))
    assert Euclidean(2) == group
    assert Euclidean(3) != group
    assert repr(group) == "lie.Euclidean(2)"


@pytest.mark.parametrize("n", [0, -1, 2.0, "3"])
def test_the_number_of_entries_must_be_a_positive_integer(n):
    with pytest.raises(ValueError, match="n must be a positive integer"):
        Euclidean(n)
