"""What the loops of rigid motions apply to one element.

A name that ends in ``checked`` gives the value and a number that tells bad elements: the squared angle, or a
sum of defects no less than half the residual of the group, NaN where an entry is not finite. Cotangents
are those of the formulas of ``lie`` in every entry but the last row, where they are 0.
"""

from __future__ import annotations

from lie.device import (
    Motion,
    Twist,
    Vector,
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
    so3_inverse,
)

from ._element_parts import Numbers, axial, combine, compose_left, outer, so3_defect, square

Whole = tuple[
    float, float, float, float, float, float, float, float,
    float, float, float, float, float, float, float, float,
]  # fmt: skip


def _se3_defect(g: Whole) -> float:
    size = g[3] + g[7] + g[11]
    row = abs(g[12]) + abs(g[13]) + abs(g[14]) + abs(g[15] - 1.0)
    return so3_defect(se3_rotation(g[:12])) + row + (size - size)


def se3_exp_checked(xi: Twist) -> Numbers:
    return *se3_exp(xi), square(xi[3:])


def se3_log_checked(g: Whole) -> Numbers:
    return *se3_log(g[:12]), _se3_defect(g)


def se3_compose_left(b: Motion, c: Motion) -> Motion:
    """Cotangent of a in a b."""
    turn, shift = se3_rotation(c), se3_translation(c)
    R_bar = combine(compose_left(se3_rotation(b), turn), 1.0, outer(shift, se3_translation(b)))
    return se3_from_parts(R_bar, shift)


def se3_compose_right(a: Motion, c: Motion) -> Motion:
    """Cotangent of b in a b."""
    back = so3_inverse(se3_rotation(a))
    return se3_from_parts(so3_compose(back, se3_rotation(c)), so3_act(back, se3_translation(c)))


def se3_inverse_vjp(g: Motion, c: Motion) -> Motion:
    """Cotangent of g in g^-1."""
    shift = se3_translation(c)
    R_bar = combine(so3_inverse(se3_rotation(c)), -1.0, outer(se3_translation(g), shift))
    x, y, z = so3_act(se3_rotation(g), shift)
    return se3_from_parts(R_bar, (-x, -y, -z))


def se3_act_left(p: Vector, c: Vector) -> Motion:
    """Cotangent of g in R p + t."""
    return se3_from_parts(outer(c, p), c)


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
    R_bar = combine(combine(upper, 1.0, lower), 1.0, so3_compose(hat, corner))
    return se3_from_parts(R_bar, axial(corner, R))


def se3_plus_checked(g: Motion, xi: Twist) -> Numbers:
    return *se3_compose(g, se3_exp(xi)), square(xi[3:])


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
    return se3_from_parts(combine(compose_left(back, se3_rotation(h)), 1.0, outer(shift, pull)), (-x, -y, -z))
