"""Products of three components and defects, shared by the functions of one element."""

from __future__ import annotations

from lie.device import Matrix, Vector, so3_compose, so3_inverse

Numbers = tuple[float, ...]


def square(v: Numbers) -> float:
    return v[0] * v[0] + v[1] * v[1] + v[2] * v[2]


def cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def outer(a: Vector, b: Vector) -> Matrix:
    x, y, z = b
    return a[0] * x, a[0] * y, a[0] * z, a[1] * x, a[1] * y, a[1] * z, a[2] * x, a[2] * y, a[2] * z


def combine(a: Matrix, s: float, b: Matrix) -> Matrix:
    """The 9 entries of a + s b."""
    return (
        a[0] + s * b[0], a[1] + s * b[1], a[2] + s * b[2],
        a[3] + s * b[3], a[4] + s * b[4], a[5] + s * b[5],
        a[6] + s * b[6], a[7] + s * b[7], a[8] + s * b[8],
    )  # fmt: skip


def compose_left(b: Matrix, c: Matrix) -> Matrix:
    """Cotangent of a in a b."""
    return so3_compose(c, so3_inverse(b))


def axial(a: Matrix, b: Matrix) -> Vector:
    """The vector whose product with v is <a, hat(v) b>."""
    m = so3_compose(a, so3_inverse(b))
    return m[7] - m[5], m[2] - m[6], m[3] - m[1]


def so3_defect(R: Matrix) -> float:
    m = so3_compose(so3_inverse(R), R)
    third = cross((R[0], R[3], R[6]), (R[1], R[4], R[7]))
    volume = R[2] * third[0] + R[5] * third[1] + R[8] * third[2]
    diagonal = abs(m[0] - 1.0) + abs(m[4] - 1.0) + abs(m[8] - 1.0)
    return diagonal + abs(m[1]) + abs(m[2]) + abs(m[5]) + abs(volume - 1.0)
