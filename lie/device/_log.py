"""The logarithm of a quaternion of any length, and of the quaternion that a rotation matrix gives."""

from __future__ import annotations

import math

from .. import _turn
from ._angle import d
from ._series import PowerSeries
from ._vector import Matrix, Quaternion, Vector, dot, twice

# With r = |v|^2 / w^2: 2 atan(sqrt r) / sqrt r, and (1 - atan(sqrt r) / sqrt r) / r.
_ATAN = PowerSeries(_turn.ATAN_COLUMN, 0.01)
_ATAN_D = PowerSeries([-0.5 * c for c in _turn.ATAN_COLUMN[1:]], 0.01)


def candidate(R: Matrix) -> Quaternion:
    """Compute a quaternion of a rotation, of length between 2 and 4 and either sign."""
    # The pivot is the larger entry of the pair (x, y) or (z, w) with the larger sum of squares.
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = R
    if r22 < 0.0:
        if r00 > r11:
            return 1.0 + r00 - r11 - r22, r01 + r10, r02 + r20, r21 - r12
        return r01 + r10, 1.0 - r00 + r11 - r22, r12 + r21, r02 - r20
    if r00 + r11 < 0.0:
        return r02 + r20, r12 + r21, 1.0 - r00 - r11 + r22, r10 - r01
    return r21 - r12, r02 - r20, r10 - r01, 1.0 + r00 + r11 + r22


def half_angle(q: Quaternion) -> tuple[float, float]:
    """Compute the f with log(q) = f (x, y, z) for a quaternion of any length, and the coefficient D there."""
    v = q[0], q[1], q[2]
    n2, sign, w = dot(v, v), 1.0, q[3]
    if w < 0.0:
        sign, w = -1.0, -w
    if n2 < 0.01 * (w * w):
        r = n2 / (w * w)
        first = _ATAN(r)
        return sign * first / w, _ATAN_D(r) / (first * first)
    n = math.sqrt(n2)
    half = math.atan2(n, w)
    return sign * 2.0 * half / n, (1.0 - half * w / n) / (4.0 * half * half)


def candidate_vjp(R: Matrix, q_bar: Quaternion) -> Matrix:
    """Compute the cotangent of R from that of its candidate."""
    x, y, z, w = q_bar
    if R[8] < 0.0:
        if R[0] > R[4]:
            return x, y, z, y, -x, -w, z, w, -x
        return -y, x, w, x, y, z, -w, z, -y
    if R[0] + R[4] < 0.0:
        return -z, -w, x, w, -z, y, x, y, z
    return w, -z, y, z, w, -x, -y, x, w


def log_vjp(q: Quaternion, phi: Vector, phi_bar: Vector) -> Quaternion:
    """Compute the cotangent of a quaternion of any length from that of its logarithm: s (m, 0) q."""
    x, y, z, w = q
    s = 2.0 / (x * x + y * y + z * z + w * w)
    m = twice(phi, 0.5, d(dot(phi, phi)), phi_bar)
    a, b, c = s * m[0], s * m[1], s * m[2]
    return (
        w * a + (b * z - c * y),
        w * b + (c * x - a * z),
        w * c + (a * y - b * x),
        -(a * x + b * y + c * z),
    )
