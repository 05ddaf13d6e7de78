"""Conventions against scipy's rotations, an independent implementation, and the named converters."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial.transform import Rotation

import lie
from lie import SE3, SO3, quaternion

from . import reference

EPS = 2.0**-52


def phi():
    """Rotation vectors shorter than pi."""
    every = reference.points(torch.float64)[:, 3:]
    return every[torch.linalg.vector_norm(every, dim=-1) < math.pi - 1e-4]


def close(got, expected, atol=16 * EPS):
    torch.testing.assert_close(got, torch.as_tensor(expected, dtype=torch.float64), rtol=0, atol=atol)


def test_rotations_agree_with_scipy():
    vectors = phi()
    peer = Rotation.from_rotvec(vectors.numpy())
    rotation = SO3.exp(vectors)
    close(rotation, peer.as_matrix())
    close(SO3.log(rotation), peer.as_rotvec())
    close(SO3.to_quaternion(rotation), peer.as_quat(canonical=True))
    close(SO3.from_quaternion(torch.tensor(peer.as_quat())), peer.as_matrix())
    close(quaternion.exp(vectors), peer.as_quat())
    close(quaternion.log(torch.tensor(peer.as_quat())), peer.as_rotvec())
    points = torch.linspace(-1, 1, 3 * len(vectors), dtype=torch.float64).reshape(-1, 3)
    close(SO3.act(rotation, points), peer.apply(points.numpy()))
    close(quaternion.rotate(quaternion.exp(vectors), points), peer.apply(points.numpy()))


def test_products_and_distances_agree_with_scipy():
    a, b = phi(), phi().flip(0)
    peer_a, peer_b = Rotation.from_rotvec(a.numpy()), Rotation.from_rotvec(b.numpy())
    product = quaternion.multiply(quaternion.exp(a), quaternion.exp(b))
    close(quaternion.to_matrix(product), (peer_a * peer_b).as_matrix())
    angle = (peer_a.inv() * peer_b).magnitude()
    close(SO3.distance(SO3.exp(a), SO3.exp(b)), angle)
    close(quaternion.distance(-3 * quaternion.exp(a), quaternion.exp(b)), angle)
    close(SO3.squared_distance(SO3.exp(a), SO3.exp(b)), angle**2, atol=64 * EPS)


def test_chordal_distance_is_two_root_two_sine_of_half_the_angle():
    r, q = SO3.exp(phi()), SO3.exp(phi().flip(0))
    chord = torch.linalg.matrix_norm(r - q)
    close(chord, 2 * math.sqrt(2) * torch.sin(SO3.distance(r, q) / 2))


def test_quaternion_algebra():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(5, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    one = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    i, j, k = torch.eye(4, dtype=torch.float64)[:3]
    close(quaternion.multiply(i, j), k)
    close(quaternion.multiply(a, quaternion.inverse(a)), one.expand(5, 4))
    close(
        quaternion.conjugate(quaternion.multiply(a, b)),
        quaternion.multiply(quaternion.conjugate(b), quaternion.conjugate(a)),
    )
    close(quaternion.normalize(a).norm(dim=-1), torch.ones(5))
    assert quaternion.multiply(a[:, None], b).shape == (5, 5, 4)
    assert quaternion.rotate(a[:, None].float(), b[:, :3]).dtype == torch.float64


def test_canonical_sign():
    pairs = [
        ([0.1, 0.2, 0.3, -0.4], [-0.1, -0.2, -0.3, 0.4]),
        ([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]),
        ([-1.0, 2.0, 0.0, 0.0], [1.0, -2.0, 0.0, 0.0]),
        ([0.0, -1.0, 2.0, 0.0], [0.0, 1.0, -2.0, 0.0]),
        ([0.0, 0.0, -1.0, 0.0], [0.0, 0.0, 1.0, 0.0]),
        ([0.0, 0.0, 0.0, -1.0], [0.0, 0.0, 0.0, 1.0]),
    ]
    given, expected = (torch.tensor(side, dtype=torch.float64) for side in zip(*pairs))
    close(quaternion.canonical(given), expected, atol=0)


def test_named_reorderings():
    q = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    xi = torch.arange(6, dtype=torch.float64)
    close(lie.quat_wxyz_from_xyzw(q), [4.0, 1.0, 2.0, 3.0], atol=0)
    close(lie.quat_xyzw_from_wxyz(lie.quat_wxyz_from_xyzw(q)), q, atol=0)
    close(quaternion.wxyz_from_xyzw(q), [4.0, 1.0, 2.0, 3.0], atol=0)
    close(quaternion.xyzw_from_wxyz(q), [2.0, 3.0, 4.0, 1.0], atol=0)
    close(lie.tangent_rot_trans_from_trans_rot(xi), [3.0, 4.0, 5.0, 0.0, 1.0, 2.0], atol=0)
    close(lie.tangent_trans_rot_from_rot_trans(lie.tangent_rot_trans_from_trans_rot(xi)), xi, atol=0)


def test_motions_agree_with_scipy():
    transform = pytest.importorskip("scipy.spatial.transform").RigidTransform
    xi = reference.points(torch.float64)
    xi = xi[torch.linalg.vector_norm(xi[:, 3:], dim=-1) < math.pi - 1e-4]
    peer = transform.from_exp_coords(lie.tangent_rot_trans_from_trans_rot(xi).numpy())
    # scipy 1.17 sums its coefficients to fewer digits at small angles.
    close(SE3.exp(xi), peer.as_matrix(), atol=1e-12)
    points = torch.ones(len(xi), 3, dtype=torch.float64)
    close(SE3.act(SE3.exp(xi), points), peer.apply(points.numpy()), atol=1e-12)


def test_parts_of_a_motion():
    r, t = SO3.random(2, 1, dtype=torch.float64), torch.ones(3, 3)
    g = SE3.from_parts(r, t)
    assert g.shape == (2, 3, 4, 4)
    assert g.dtype == torch.float64
    SE3.check(g)
    close(SE3.rotation(g), r.expand(2, 3, 3, 3), atol=0)
    close(SE3.translation(g), t.expand(2, 3, 3).double(), atol=0)
    close(SE3.from_quaternion(SO3.to_quaternion(r), t), g)
