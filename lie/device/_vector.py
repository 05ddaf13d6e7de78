"""Products of three components."""

from __future__ import annotations

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Twist = tuple[float, float, float, float, float, float]
Matrix = tuple[float, float, float, float, float, float, float, float, float]
Motion = tuple[float, float, float, float, float, float, float, float, float, float, float, float]


def dot(a: Vector, b: Vector) -> float:
    """Compute a . b."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    """Compute a x b."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def combine(a: Vector, s: float, b: Vector, t: float, c: Vector) -> Vector:
    """Compute a + s b + t c."""
    return (
        a[0] + s * b[0] + t * c[0],
        a[1] + s * b[1] + t * c[1],
        a[2] + s * b[2] + t * c[2],
    )


def twice(phi: Vector, s: float, t: float, v: Vector) -> Vector:
    """Compute v + s phi x v + t phi x (phi x v)."""
    once = cross(phi, v)
    return combine(v, s, once, t, cross(phi, once))


def times(m: Matrix, v: Vector) -> Vector:
    """Compute m v."""
    return (
        m[0] * v[0] + m[1] * v[1] + m[2] * v[2],
        m[3] * v[0] + m[4] * v[1] + m[5] * v[2],
        m[6] * v[0] + m[7] * v[1] + m[8] * v[2],
    )


def times_transposed(m: Matrix, v: Vector) -> Vector:
    """Compute m^T v."""
    return (
        m[0] * v[0] + m[3] * v[1] + m[6] * v[2],
        m[1] * v[0] + m[4] * v[1] + m[7] * v[2],
        m[2] * v[0] + m[5] * v[1] + m[8] * v[2],
    )


def product(a: Matrix, b: Matrix) -> Matrix:
    """Compute a b."""
    return (
        a[0] * b[0] + a[1] * b[3] + a[2] * b[6],
        a[0] * b[1] + a[1] * b[4] + a[2] * b[7],
        a[0] * b[2] + a[1] * b[5] + a[2] * b[8],
        a[3] * b[0] + a[4] * b[3] + a[5] * b[6],
        a[3] * b[1] + a[4] * b[4] + a[5] * b[7],
        a[3] * b[2] + a[4] * b[5] + a[5] * b[8],
        a[6] * b[0] + a[7] * b[3] + a[8] * b[6],
        a[6] * b[1] + a[7] * b[4] + a[8] * b[7],
        a[6] * b[2] + a[7] * b[5] + a[8] * b[8],
    )


def turn(m: Matrix, v: Vector) -> Matrix:
    """Compute hat(v) m."""
    return (
        v[1] * m[6] - v[2] * m[3],
        v[1] * m[7] - v[2] * m[4],
        v[1] * m[8] - v[2] * m[5],
        v[2] * m[0] - v[0] * m[6],
        v[2] * m[1] - v[0] * m[7],
        v[2] * m[2] - v[0] * m[8],
        v[0] * m[3] - v[1] * m[0],
        v[0] * m[4] - v[1] * m[1],
        v[0] * m[5] - v[1] * m[2],
    )


def torque(m: Matrix, w: Matrix) -> Vector:
    """Compute the vector whose product with v is <w, hat(v) m>."""
    return (
        w[6] * m[3] + w[7] * m[4] + w[8] * m[5] - w[3] * m[6] - w[4] * m[7] - w[5] * m[8],
        w[0] * m[6] + w[1] * m[7] + w[2] * m[8] - w[6] * m[0] - w[7] * m[1] - w[8] * m[2],
        w[3] * m[0] + w[4] * m[1] + w[5] * m[2] - w[0] * m[3] - w[1] * m[4] - w[2] * m[5],
    )
