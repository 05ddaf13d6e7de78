"""What the loops apply to one element: values with the number that tells a bad one, and cotangents.

Cotangents are those of the formulas of ``lie`` in every entry but the last row of a rigid motion, where they
are 0.
"""

from __future__ import annotations

import math

from lie.device import (
    Matrix,
    Motion,
    Quaternion,
    Twist,
    Vector,
    quaternion_compose,
    quaternion_exp,
    quaternion_exp_vjp,
    quaternion_inverse,
    quaternion_log,
    quaternion_log_vjp,
    se3_compose,
    se3_exp,
    se3_exp_vjp,
    se3_from_parts,
    se3_log,
    se3_log_vjp,
    se3_rotation,
    se3_translation,
    so3_act,
    so3_compose,
    so3_exp,
    so3_exp_vjp,
    so3_from_quaternion,
    so3_inverse,
    so3_log,
    so3_log_vjp,
)

Numbers = tuple[float, ...]
Whole = tuple[
    float,
    float,
    float,
    float,
    float,
    float,
    float,
    float,
    float,
    float,
    float,
    float,
    float,
    float,
    float,
    float,
]


def _square(v: Numbers) -> float:
    return v[0] * v[0] + v[1] * v[1] + v[2] * v[2]


def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _outer(a: Vector, b: Vector) -> Matrix:
    x, y, z = b
    return a[0] * x, a[0] * y, a[0] * z, a[1] * x, a[1] * y, a[1] * z, a[2] * x, a[2] * y, a[2] * z


def _sum(a: Matrix, s: float, b: Matrix) -> Matrix:
    """The 9 entries of a + s b."""
    return (
        a[0] + s * b[0], a[1] + s * b[1], a[2] + s * b[2],
        a[3] + s * b[3], a[4] + s * b[4], a[5] + s * b[5],
        a[6] + s * b[6], a[7] + s * b[7], a[8] + s * b[8],
    )  # fmt: skip


def _axial(a: Matrix, b: Matrix) -> Vector:
    """The vector whose product with v is <a, hat(v) b>."""
    m = so3_compose(a, so3_inverse(b))
    return m[7] - m[5], m[2] - m[6], m[3] - m[1]


# Defects: at least as large as the residuals of the groups, and NaN where an entry is not finite


def _so3_defect(R: Matrix) -> float:
    m = so3_compose(so3_inverse(R), R)
    third = _cross((R[0], R[3], R[6]), (R[1], R[4], R[7]))
    volume = R[2] * third[0] + R[5] * third[1] + R[8] * third[2]
    diagonal = abs(m[0] - 1.0) + abs(m[4] - 1.0) + abs(m[8] - 1.0)
    return diagonal + abs(m[1]) + abs(m[2]) + abs(m[5]) + abs(volume - 1.0)


def _se3_defect(g: Whole) -> float:
    size = g[3] + g[7] + g[11]
    row = abs(g[12]) + abs(g[13]) + abs(g[14]) + abs(g[15] - 1.0)
    return _so3_defect(se3_rotation(g[:12])) + row + (size - size)


def _quaternion_defect(q: Quaternion) -> float:
    return abs(_square(q) + q[3] * q[3] - 1.0)


# SO(3)


def so3_exp_checked(xi: Vector) -> Numbers:
    return *so3_exp(xi), _square(xi)


def so3_log_checked(g: Matrix) -> Numbers:
    return *so3_log(g), _so3_defect(g)


def so3_compose_left(b: Matrix, c: Matrix) -> Matrix:
    """Cotangent of a in a b."""
    return so3_compose(c, so3_inverse(b))


def so3_compose_right(a: Matrix, c: Matrix) -> Matrix:
    """Cotangent of b in a b."""
    return so3_compose(so3_inverse(a), c)


def so3_act_left(p: Vector, c: Vector) -> Matrix:
    """Cotangent of g in g p."""
    return _outer(c, p)


def so3_act_right(g: Matrix, c: Vector) -> Vector:
    """Cotangent of p in g p."""
    return so3_act(so3_inverse(g), c)


def so3_plus_checked(g: Matrix, xi: Vector) -> Numbers:
    return *so3_compose(g, so3_exp(xi)), _square(xi)


def so3_plus_left(xi: Vector, c: Matrix) -> Matrix:
    """Cotangent of g in g exp(xi)."""
    return so3_compose_left(so3_exp(xi), c)


def so3_plus_right(g: Matrix, xi: Vector, c: Matrix) -> Vector:
    """Cotangent of xi in g exp(xi)."""
    return so3_exp_vjp(xi, so3_compose_right(g, c))


def so3_minus_checked(h: Matrix, g: Matrix) -> Numbers:
    return *so3_log(so3_compose(so3_inverse(g), h)), _so3_defect(h) + _so3_defect(g)


def so3_minus_left(h: Matrix, g: Matrix, xi: Vector, c: Vector) -> Matrix:
    """Cotangent of h in log(g^-1 h)."""
    return so3_compose(g, so3_log_vjp(so3_compose(so3_inverse(g), h), xi, c))


def so3_minus_right(h: Matrix, g: Matrix, xi: Vector, c: Vector) -> Matrix:
    """Cotangent of g in log(g^-1 h)."""
    return so3_compose_left(so3_log_vjp(so3_compose(so3_inverse(g), h), xi, c), h)


def _sine_cosine(x: Matrix, y: Matrix) -> Quaternion:
    """Axis times sine, and cosine, of the angle of x^-1 y."""
    m = so3_compose(so3_inverse(x), y)
    return 0.5 * (m[7] - m[5]), 0.5 * (m[2] - m[6]), 0.5 * (m[3] - m[1]), 0.5 * (m[0] + m[4] + m[8] - 1.0)


def so3_distance_checked(x: Matrix, y: Matrix) -> Numbers:
    s = _sine_cosine(x, y)
    return math.atan2(math.sqrt(_square(s)), s[3]), _so3_defect(x) + _so3_defect(y)


def so3_distance_right(x: Matrix, y: Matrix, c: tuple[float]) -> Matrix:
    """Cotangent of y in the angle of x^-1 y; at x = y it is taken as 0."""
    s = _sine_cosine(x, y)
    n2 = _square(s)
    n = math.sqrt(n2)
    scale = c[0] / (n2 + s[3] * s[3])
    along = 0.5 * scale * s[3] / (n if n > 0.0 else 1.0)
    v = along * s[0], along * s[1], along * s[2]
    hat = 0.0, -v[2], v[1], v[2], 0.0, -v[0], -v[1], v[0], 0.0
    return _sum(so3_compose(x, hat), -0.5 * scale * n, x)


def so3_distance_left(x: Matrix, y: Matrix, c: tuple[float]) -> Matrix:
    """Cotangent of x in the angle of x^-1 y; at x = y it is taken as 0."""
    return so3_distance_right(y, x, c)


# SE(3)


def se3_exp_checked(xi: Twist) -> Numbers:
    return *se3_exp(xi), _square(xi[3:])


def se3_log_checked(g: Whole) -> Numbers:
    return *se3_log(g[:12]), _se3_defect(g)


def se3_compose_left(b: Motion, c: Motion) -> Motion:
    """Cotangent of a in a b."""
    turn, shift = se3_rotation(c), se3_translation(c)
    R_bar = _sum(so3_compose_left(se3_rotation(b), turn), 1.0, _outer(shift, se3_translation(b)))
    return se3_from_parts(R_bar, shift)


def se3_compose_right(a: Motion, c: Motion) -> Motion:
    """Cotangent of b in a b."""
    back = so3_inverse(se3_rotation(a))
    return se3_from_parts(so3_compose(back, se3_rotation(c)), so3_act(back, se3_translation(c)))


def se3_inverse_vjp(g: Motion, c: Motion) -> Motion:
    """Cotangent of g in g^-1."""
    shift = se3_translation(c)
    R_bar = _sum(so3_inverse(se3_rotation(c)), -1.0, _outer(se3_translation(g), shift))
    x, y, z = so3_act(se3_rotation(g), shift)
    return se3_from_parts(R_bar, (-x, -y, -z))


def se3_act_left(p: Vector, c: Vector) -> Motion:
    """Cotangent of g in R p + t."""
    return se3_from_parts(_outer(c, p), c)


def se3_act_right(g: Motion, c: Vector) -> Vector:
    """Cotangent of p in R p + t."""
    return so3_act(so3_inverse(se3_rotation(g)), c)


def se3_Ad_vjp(g: Motion, c: Numbers) -> Motion:
    """Cotangent of g in [[R, hat(t) R], [0, R]]."""
    R, t = se3_rotation(g), se3_translation(g)
    corner = c[3], c[4], c[5], c[9], c[10], c[11], c[15], c[16], c[17]
    hat = 0.0, t[2], -t[1], -t[2], 0.0, t[0], t[1], -t[0], 0.0
    upper = c[0], c[1], c[2], c[6], c[7], c[8], c[12], c[13], c[14]
    lower = c[21], c[22], c[23], c[27], c[28], c[29], c[33], c[34], c[35]
    R_bar = _sum(_sum(upper, 1.0, lower), 1.0, so3_compose(hat, corner))
    return se3_from_parts(R_bar, _axial(corner, R))


def se3_plus_checked(g: Motion, xi: Twist) -> Numbers:
    return *se3_compose(g, se3_exp(xi)), _square(xi[3:])


def se3_plus_left(xi: Twist, c: Motion) -> Motion:
    """Cotangent of g in g exp(xi)."""
    return se3_compose_left(se3_exp(xi), c)


def se3_plus_right(g: Motion, xi: Twist, c: Motion) -> Twist:
    """Cotangent of xi in g exp(xi)."""
    return se3_exp_vjp(xi, se3_compose_right(g, c))


def _se3_between(h: Motion, g: Motion) -> Motion:
    """The motion g^-1 h, its translation without cancellation: R_g^T (t_h - t_g)."""
    back = so3_inverse(se3_rotation(g))
    shift = h[3] - g[3], h[7] - g[7], h[11] - g[11]
    return se3_from_parts(so3_compose(back, se3_rotation(h)), so3_act(back, shift))


def se3_minus_checked(h: Whole, g: Whole) -> Numbers:
    return *se3_log(_se3_between(h[:12], g[:12])), _se3_defect(h) + _se3_defect(g)


def se3_minus_left(h: Motion, g: Motion, xi: Twist, c: Twist) -> Motion:
    """Cotangent of h in log(g^-1 h)."""
    k = se3_log_vjp(_se3_between(h, g), xi, c)
    R = se3_rotation(g)
    return se3_from_parts(so3_compose(R, se3_rotation(k)), so3_act(R, se3_translation(k)))


def se3_minus_right(h: Motion, g: Motion, xi: Twist, c: Twist) -> Motion:
    """Cotangent of g in log(g^-1 h)."""
    k = se3_log_vjp(_se3_between(h, g), xi, c)
    back, pull = se3_rotation(k), se3_translation(k)
    shift = h[3] - g[3], h[7] - g[7], h[11] - g[11]
    x, y, z = so3_act(se3_rotation(g), pull)
    return se3_from_parts(
        _sum(so3_compose_left(back, se3_rotation(h)), 1.0, _outer(shift, pull)), (-x, -y, -z)
    )


# Unit quaternions


def quaternion_exp_checked(xi: Vector) -> Numbers:
    return *quaternion_exp(xi), _square(xi)


def quaternion_log_checked(g: Quaternion) -> Numbers:
    return *quaternion_log(g), _quaternion_defect(g)


def quaternion_compose_left(b: Quaternion, c: Quaternion) -> Quaternion:
    """Cotangent of a in a b."""
    return quaternion_compose(c, quaternion_inverse(b))


def quaternion_compose_right(a: Quaternion, c: Quaternion) -> Quaternion:
    """Cotangent of b in a b."""
    return quaternion_compose(quaternion_inverse(a), c)


def quaternion_act_left(g: Quaternion, p: Vector, c: Vector) -> Quaternion:
    """Cotangent of g in p + w t + v x t with t = 2 v x p."""
    v, w = g[0:3], g[3]
    once = _cross(v, p)
    t_bar = _cross(c, v)
    t_bar = w * c[0] + t_bar[0], w * c[1] + t_bar[1], w * c[2] + t_bar[2]
    a, b = _cross(once, c), _cross(p, t_bar)
    dot = once[0] * c[0] + once[1] * c[1] + once[2] * c[2]
    return 2.0 * (a[0] + b[0]), 2.0 * (a[1] + b[1]), 2.0 * (a[2] + b[2]), 2.0 * dot


def quaternion_act_right(g: Quaternion, c: Vector) -> Vector:
    """Cotangent of p in the turned point."""
    v, w = g[0:3], g[3]
    t = _cross(c, v)
    t = w * c[0] + t[0], w * c[1] + t[1], w * c[2] + t[2]
    back = _cross(t, v)
    return c[0] + 2.0 * back[0], c[1] + 2.0 * back[1], c[2] + 2.0 * back[2]


def quaternion_Ad_vjp(g: Quaternion, c: Matrix) -> Quaternion:
    """Cotangent of g in its rotation matrix, which does not depend on the length."""
    scale = 2.0 / (_square(g) + g[3] * g[3])
    m = _axial(c, so3_from_quaternion(g))
    return quaternion_compose((scale * m[0], scale * m[1], scale * m[2], 0.0), g)


def quaternion_plus_checked(g: Quaternion, xi: Vector) -> Numbers:
    return *quaternion_compose(g, quaternion_exp(xi)), _square(xi)


def quaternion_plus_left(xi: Vector, c: Quaternion) -> Quaternion:
    """Cotangent of g in g exp(xi)."""
    return quaternion_compose_left(quaternion_exp(xi), c)


def quaternion_plus_right(g: Quaternion, xi: Vector, c: Quaternion) -> Vector:
    """Cotangent of xi in g exp(xi)."""
    return quaternion_exp_vjp(xi, quaternion_compose_right(g, c))


def quaternion_minus_checked(h: Quaternion, g: Quaternion) -> Numbers:
    k = quaternion_compose(quaternion_inverse(g), h)
    return *quaternion_log(k), _quaternion_defect(h) + _quaternion_defect(g)


def quaternion_minus_left(h: Quaternion, g: Quaternion, xi: Vector, c: Vector) -> Quaternion:
    """Cotangent of h in log(g^-1 h)."""
    return quaternion_compose(g, quaternion_log_vjp(quaternion_compose_right(g, h), xi, c))


def quaternion_minus_right(h: Quaternion, g: Quaternion, xi: Vector, c: Vector) -> Quaternion:
    """Cotangent of g in log(g^-1 h)."""
    k = quaternion_log_vjp(quaternion_compose_right(g, h), xi, c)
    return quaternion_inverse(quaternion_compose_left(h, k))


def quaternion_distance_checked(x: Quaternion, y: Quaternion) -> Numbers:
    k = quaternion_compose_right(x, y)
    angle = 2.0 * math.atan2(math.sqrt(_square(k)), abs(k[3]))
    return angle, _quaternion_defect(x) + _quaternion_defect(y)


def quaternion_distance_right(x: Quaternion, y: Quaternion, c: tuple[float]) -> Quaternion:
    """Cotangent of y in the angle of x^-1 y; at x = y or x = -y it is taken as 0."""
    k = quaternion_compose_right(x, y)
    n2 = _square(k)
    n = math.sqrt(n2)
    scale = 2.0 * c[0] / (n2 + k[3] * k[3])
    along = scale * abs(k[3]) / (n if n > 0.0 else 1.0)
    across = scale * n if k[3] < 0.0 else -scale * n
    return quaternion_compose(x, (along * k[0], along * k[1], along * k[2], across))


def quaternion_distance_left(x: Quaternion, y: Quaternion, c: tuple[float]) -> Quaternion:
    """Cotangent of x in the angle of x^-1 y; at x = y or x = -y it is taken as 0."""
    return quaternion_distance_right(y, x, c)
