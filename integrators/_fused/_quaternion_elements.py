"""What the loops of unit quaternions apply to one element.

A name that ends in ``checked`` gives the value and a number that tells bad elements: the squared angle, or a
sum of defects no less than half the residual of the group, NaN where an entry is not finite. Cotangents
are those of the formulas of ``lie``.
"""

from __future__ import annotations

import math

from lie.device import (
    Matrix,
    Quaternion,
    Vector,
    quaternion_compose,
    quaternion_exp,
    quaternion_exp_vjp,
    quaternion_inverse,
    quaternion_log,
    quaternion_log_vjp,
    so3_from_quaternion,
)

from ._element_parts import Numbers, axial, cross, square


def _quaternion_defect(q: Quaternion) -> float:
    return abs(square(q) + q[3] * q[3] - 1.0)


def quaternion_exp_checked(xi: Vector) -> Numbers:
    return *quaternion_exp(xi), square(xi)


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
    once = cross(v, p)
    t_bar = cross(c, v)
    t_bar = w * c[0] + t_bar[0], w * c[1] + t_bar[1], w * c[2] + t_bar[2]
    a, b = cross(once, c), cross(p, t_bar)
    dot = once[0] * c[0] + once[1] * c[1] + once[2] * c[2]
    return 2.0 * (a[0] + b[0]), 2.0 * (a[1] + b[1]), 2.0 * (a[2] + b[2]), 2.0 * dot


def quaternion_act_right(g: Quaternion, c: Vector) -> Vector:
    """Cotangent of p in the turned point."""
    v, w = g[0:3], g[3]
    t = cross(c, v)
    t = w * c[0] + t[0], w * c[1] + t[1], w * c[2] + t[2]
    back = cross(t, v)
    return c[0] + 2.0 * back[0], c[1] + 2.0 * back[1], c[2] + 2.0 * back[2]


def quaternion_Ad_vjp(g: Quaternion, c: Matrix) -> Quaternion:
    """Cotangent of g in its rotation matrix, which does not depend on the length."""
    scale = 2.0 / (square(g) + g[3] * g[3])
    m = axial(c, so3_from_quaternion(g))
    return quaternion_compose((scale * m[0], scale * m[1], scale * m[2], 0.0), g)


def quaternion_plus_checked(g: Quaternion, xi: Vector) -> Numbers:
    return *quaternion_compose(g, quaternion_exp(xi)), square(xi)


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
    angle = 2.0 * math.atan2(math.sqrt(square(k)), abs(k[3]))
    return angle, _quaternion_defect(x) + _quaternion_defect(y)


def quaternion_distance_right(x: Quaternion, y: Quaternion, c: tuple[float]) -> Quaternion:
    """Cotangent of y in the angle of x^-1 y; at x = y or x = -y it is taken as 0."""
    k = quaternion_compose_right(x, y)
    n2 = square(k)
    n = math.sqrt(n2)
    scale = 2.0 * c[0] / (n2 + k[3] * k[3])
    along = scale * abs(k[3]) / (n if n > 0.0 else 1.0)
    across = scale * n if k[3] < 0.0 else -scale * n
    return quaternion_compose(x, (along * k[0], along * k[1], along * k[2], across))


def quaternion_distance_left(x: Quaternion, y: Quaternion, c: tuple[float]) -> Quaternion:
    """Cotangent of x in the angle of x^-1 y; at x = y or x = -y it is taken as 0."""
    return quaternion_distance_right(y, x, c)
