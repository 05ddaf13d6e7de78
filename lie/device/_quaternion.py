"""Unit quaternions (x, y, z, w) of one body: the functions of ``lie.UnitQuaternion`` on tuples of floats."""

from __future__ import annotations

import math

from ._angle import abc, sw
from ._log import half_angle, log_vjp
from ._so3 import so3_from_quaternion
from ._vector import Matrix, Quaternion, Vector, combine, cross, dot, twice


def quaternion_exp(phi: Vector) -> Quaternion:
    """Compute the quaternion of the rotation by |phi| radians about phi."""
    s, w = sw(dot(phi, phi))
    return s * phi[0], s * phi[1], s * phi[2], w


def quaternion_log(q: Quaternion) -> Vector:
    """Compute the rotation vector, of length at most pi, of a quaternion of any length but zero."""
    f, _ = half_angle(q)
    return f * q[0], f * q[1], f * q[2]


def quaternion_compose(a: Quaternion, b: Quaternion) -> Quaternion:
    """Compute the product a b, the rotation by b followed by that by a."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + bw * ax + (ay * bz - az * by),
        aw * by + bw * ay + (az * bx - ax * bz),
        aw * bz + bw * az + (ax * by - ay * bx),
        aw * bw - (ax * bx + ay * by + az * bz),
    )


def quaternion_inverse(q: Quaternion) -> Quaternion:
    """Compute (-x, -y, -z, w)."""
    return -q[0], -q[1], -q[2], q[3]


def quaternion_act(q: Quaternion, p: Vector) -> Vector:
    """Turn a point: p + w t + v x t with t = 2 v x p."""
    v = q[0], q[1], q[2]
    t = cross((2.0 * q[0], 2.0 * q[1], 2.0 * q[2]), p)
    return combine(p, q[3], t, 1.0, cross(v, t))


def quaternion_Ad(q: Quaternion) -> Matrix:
    """Compute the rotation matrix of q, 9 entries row by row."""
    return so3_from_quaternion(q)


def quaternion_cayley(u: Vector) -> Quaternion:
    """Compute the rotation by 2 atan(|u|/2) about u."""
    w = 1.0 / math.sqrt(1.0 + 0.25 * dot(u, u))
    return 0.5 * w * u[0], 0.5 * w * u[1], 0.5 * w * u[2], w


def quaternion_cayley_inverse(q: Quaternion) -> Vector:
    """Compute u with cayley(u) = q; a half turn has none."""
    x, y, z, w = q
    return 2.0 * x / w, 2.0 * y / w, 2.0 * z / w


def quaternion_exp_vjp(phi: Vector, q_bar: Quaternion) -> Vector:
    """Compute the cotangent of phi from the cotangent of exp(phi)."""
    _, b, c = abc(dot(phi, phi))
    pulled = quaternion_compose(q_bar, quaternion_inverse(quaternion_exp(phi)))
    return twice(phi, -b, c, (0.5 * pulled[0], 0.5 * pulled[1], 0.5 * pulled[2]))


def quaternion_log_vjp(q: Quaternion, phi: Vector, phi_bar: Vector) -> Quaternion:
    """Compute the cotangent of q, of any length but zero, from the cotangent of phi = log(q)."""
    return log_vjp(q, phi, phi_bar)
