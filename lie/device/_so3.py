"""Rotations of one body: the functions of ``lie.SO3`` on tuples of floats."""

from __future__ import annotations

import math

from ._angle import abc, d
from ._log import candidate, candidate_vjp, half_angle, log_vjp
from ._vector import Matrix, Quaternion, Vector, dot, product, times, torque, twice


def quadratic(phi: Vector, a: float, b: float) -> Matrix:
    """Compute I + a hat(phi) + b hat(phi)^2."""
    x, y, z = phi
    bx, by, bz = b * x, b * y, b * z
    ax, ay, az = a * x, a * y, a * z
    xy, xz, yz = bx * y, bx * z, by * z
    xx, yy, zz = bx * x, by * y, bz * z
    return (
        1.0 - (yy + zz),
        xy - az,
        xz + ay,
        xy + az,
        1.0 - (xx + zz),
        yz - ax,
        xz - ay,
        yz + ax,
        1.0 - (xx + yy),
    )


def so3_exp(phi: Vector) -> Matrix:
    """Compute the rotation by |phi| radians about phi."""
    a, b, _ = abc(dot(phi, phi))
    return quadratic(phi, a, b)


def so3_log(R: Matrix) -> Vector:
    """Compute the rotation vector of length at most pi."""
    q = candidate(R)
    f, _ = half_angle(q)
    return f * q[0], f * q[1], f * q[2]


def so3_compose(a: Matrix, b: Matrix) -> Matrix:
    """Compute the product a b, which acts with b first."""
    return product(a, b)


def so3_inverse(R: Matrix) -> Matrix:
    """Compute the transpose."""
    return R[0], R[3], R[6], R[1], R[4], R[7], R[2], R[5], R[8]


def so3_act(R: Matrix, p: Vector) -> Vector:
    """Compute R p."""
    return times(R, p)


def so3_Ad(R: Matrix) -> Matrix:
    """Give the adjoint, which is R itself."""
    return R


def so3_left_jacobian(phi: Vector) -> Matrix:
    """Compute J_l with d exp(phi) = hat(J_l dphi) exp(phi)."""
    _, b, c = abc(dot(phi, phi))
    return quadratic(phi, b, c)


def so3_left_jacobian_inverse(phi: Vector) -> Matrix:
    """Compute the inverse of the left Jacobian; singular at |phi| = 2 pi only."""
    return quadratic(phi, -0.5, d(dot(phi, phi)))


def so3_cayley(u: Vector) -> Matrix:
    """Compute the rotation by 2 atan(|u|/2) about u."""
    scale = 1.0 / (1.0 + 0.25 * dot(u, u))
    return quadratic(u, scale, 0.5 * scale)


def so3_cayley_inverse(R: Matrix) -> Vector:
    """Compute u with cayley(u) = R; a half turn has none."""
    x, y, z, w = candidate(R)
    return 2.0 * x / w, 2.0 * y / w, 2.0 * z / w


def so3_from_quaternion(q: Quaternion) -> Matrix:
    """Compute the rotation of a quaternion (x, y, z, w) of any length but zero."""
    x, y, z, w = q
    s = 2.0 / (x * x + y * y + z * z + w * w)
    xs, ys, zs = s * x, s * y, s * z
    wx, wy, wz = w * xs, w * ys, w * zs
    xx, yy, zz, xy, xz, yz = x * xs, y * ys, z * zs, x * ys, x * zs, y * zs
    return (
        1.0 - (yy + zz),
        xy - wz,
        xz + wy,
        xy + wz,
        1.0 - (xx + zz),
        yz - wx,
        xz - wy,
        yz + wx,
        1.0 - (xx + yy),
    )


def so3_to_quaternion(R: Matrix) -> Quaternion:
    """Compute the unit quaternion (x, y, z, w), w >= 0, of a rotation."""
    x, y, z, w = candidate(R)
    s = 1.0 / math.sqrt(x * x + y * y + z * z + w * w)
    if w < 0.0:
        s = -s
    return s * x, s * y, s * z, s * w


def so3_exp_vjp(phi: Vector, R_bar: Matrix) -> Vector:
    """Compute the cotangent of phi from the cotangent of exp(phi)."""
    a, b, c = abc(dot(phi, phi))
    return twice(phi, -b, c, torque(quadratic(phi, a, b), R_bar))


def so3_log_vjp(R: Matrix, phi: Vector, phi_bar: Vector) -> Matrix:
    """Compute the cotangent of R from the cotangent of phi = log(R), both as entries of ``lie.SO3.log``."""
    return candidate_vjp(R, log_vjp(candidate(R), phi, phi_bar))
