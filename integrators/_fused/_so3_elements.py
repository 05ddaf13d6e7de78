"""What the loops of rotations apply to one element.

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
    so3_act,
    so3_compose,
    so3_exp,
    so3_exp_vjp,
    so3_inverse,
    so3_log,
    so3_log_vjp,
)

from ._element_parts import Numbers, combine, outer, so3_defect, square
from ._element_parts import compose_left as so3_compose_left


def so3_exp_checked(xi: Vector) -> Numbers:
    return *so3_exp(xi), square(xi)


def so3_log_checked(g: Matrix) -> Numbers:
    return *so3_log(g), so3_defect(g)


def so3_compose_right(a: Matrix, c: Matrix) -> Matrix:
    """Cotangent of b in a b."""
    return so3_compose(so3_inverse(a), c)


def so3_act_left(p: Vector, c: Vector) -> Matrix:
    """Cotangent of g in g p."""
    return outer(c, p)


def so3_act_right(g: Matrix, c: Vector) -> Vector:
    """Cotangent of p in g p."""
    return so3_act(so3_inverse(g), c)


def so3_plus_checked(g: Matrix, xi: Vector) -> Numbers:
    return *so3_compose(g, so3_exp(xi)), square(xi)


def so3_plus_left(xi: Vector, c: Matrix) -> Matrix:
    """Cotangent of g in g exp(xi)."""
    return so3_compose_left(so3_exp(xi), c)


def so3_plus_right(g: Matrix, xi: Vector, c: Matrix) -> Vector:
    """Cotangent of xi in g exp(xi)."""
    return so3_exp_vjp(xi, so3_compose_right(g, c))


def so3_minus_checked(h: Matrix, g: Matrix) -> Numbers:
    return *so3_log(so3_compose(so3_inverse(g), h)), so3_defect(h) + so3_defect(g)


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
    return math.atan2(math.sqrt(square(s)), s[3]), so3_defect(x) + so3_defect(y)


def so3_distance_right(x: Matrix, y: Matrix, c: tuple[float]) -> Matrix:
    """Cotangent of y in the angle of x^-1 y; at x = y it is taken as 0."""
    s = _sine_cosine(x, y)
    n2 = square(s)
    n = math.sqrt(n2)
    scale = c[0] / (n2 + s[3] * s[3])
    along = 0.5 * scale * s[3] / (n if n > 0.0 else 1.0)
    v = along * s[0], along * s[1], along * s[2]
    hat = 0.0, -v[2], v[1], v[2], 0.0, -v[0], -v[1], v[0], 0.0
    return combine(so3_compose(x, hat), -0.5 * scale * n, x)


def so3_distance_left(x: Matrix, y: Matrix, c: tuple[float]) -> Matrix:
    """Cotangent of x in the angle of x^-1 y; at x = y it is taken as 0."""
    return so3_distance_right(y, x, c)
