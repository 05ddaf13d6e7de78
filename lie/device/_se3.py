"""Rigid motions of one body: the functions of ``lie.SE3`` on tuples of floats."""

from __future__ import annotations

from ._angle import abc, bc_slopes, d_slope
from ._log import candidate, half_angle
from ._so3 import quadratic, so3_cayley, so3_cayley_inverse, so3_log_vjp
from ._vector import (
    Matrix,
    Motion,
    Twist,
    Vector,
    combine,
    cross,
    dot,
    product,
    times,
    times_transposed,
    torque,
    turn,
    twice,
)

Square = tuple[float, ...]


def se3_rotation(g: Motion) -> Matrix:
    """Take the rotation of a rigid motion."""
    return g[0], g[1], g[2], g[4], g[5], g[6], g[8], g[9], g[10]


def se3_translation(g: Motion) -> Vector:
    """Take the translation of a rigid motion."""
    return g[3], g[7], g[11]


def se3_from_parts(R: Matrix, t: Vector) -> Motion:
    """Assemble a rigid motion from its rotation and translation."""
    return R[0], R[1], R[2], t[0], R[3], R[4], R[5], t[1], R[6], R[7], R[8], t[2]


def halves(xi: Twist) -> tuple[Vector, Vector]:
    """Split coordinates in translation and rotation."""
    return (xi[0], xi[1], xi[2]), (xi[3], xi[4], xi[5])


def derivative(
    phi: Vector, rho: Vector, first: float, second: float, first_slope: float, second_slope: float
) -> Matrix:
    """Compute the derivative of I + first hat(phi) + second hat(phi)^2 at phi along rho.

    Args:
        phi: Vector.
        rho: Direction.
        first: Coefficient, a function of |phi|^2.
        second: Coefficient, a function of |phi|^2.
        first_slope: Twice the derivative of the first with respect to |phi|^2.
        second_slope: Twice the derivative of the second.

    Returns:
        The derivative.
    """
    along = dot(phi, rho)
    f, s = along * first_slope, 0.5 * along * second_slope
    linear = first * rho[0] + f * phi[0], first * rho[1] + f * phi[1], first * rho[2] + f * phi[2]
    left = second * rho[0] + s * phi[0], second * rho[1] + s * phi[1], second * rho[2] + s * phi[2]
    xx, yy, zz = 2.0 * left[0] * phi[0], 2.0 * left[1] * phi[1], 2.0 * left[2] * phi[2]
    xy = left[0] * phi[1] + left[1] * phi[0]
    xz = left[0] * phi[2] + left[2] * phi[0]
    yz = left[1] * phi[2] + left[2] * phi[1]
    return (
        -(yy + zz), xy - linear[2], xz + linear[1],
        xy + linear[2], -(xx + zz), yz - linear[0],
        xz - linear[1], yz + linear[0], -(xx + yy),
    )  # fmt: skip


def blocks(m: Matrix, corner: Matrix) -> Square:
    """Assemble [[m, corner], [0, m]] row by row."""
    return (
        m[0], m[1], m[2], corner[0], corner[1], corner[2],
        m[3], m[4], m[5], corner[3], corner[4], corner[5],
        m[6], m[7], m[8], corner[6], corner[7], corner[8],
        0.0, 0.0, 0.0, m[0], m[1], m[2],
        0.0, 0.0, 0.0, m[3], m[4], m[5],
        0.0, 0.0, 0.0, m[6], m[7], m[8],
    )  # fmt: skip


def se3_exp(xi: Twist) -> Motion:
    """Compute (exp(phi), J_l(phi) rho) for xi = (rho, phi)."""
    rho, phi = halves(xi)
    a, b, c = abc(dot(phi, phi))
    return se3_from_parts(quadratic(phi, a, b), twice(phi, b, c, rho))


def se3_log(g: Motion) -> Twist:
    """Compute (J_l(phi)^-1 t, phi) with phi = log R of length at most pi."""
    q = candidate(se3_rotation(g))
    f, dd = half_angle(q)
    phi = f * q[0], f * q[1], f * q[2]
    rho = twice(phi, -0.5, dd, se3_translation(g))
    return rho[0], rho[1], rho[2], phi[0], phi[1], phi[2]


def se3_compose(a: Motion, b: Motion) -> Motion:
    """Compute the product a b, which acts with b first."""
    return se3_from_parts(product(se3_rotation(a), se3_rotation(b)), se3_act(a, se3_translation(b)))


def se3_inverse(g: Motion) -> Motion:
    """Compute (R^T, -R^T t)."""
    t = times_transposed(se3_rotation(g), se3_translation(g))
    return g[0], g[4], g[8], -t[0], g[1], g[5], g[9], -t[1], g[2], g[6], g[10], -t[2]


def se3_act(g: Motion, p: Vector) -> Vector:
    """Compute R p + t."""
    turned = times(se3_rotation(g), p)
    return turned[0] + g[3], turned[1] + g[7], turned[2] + g[11]


def se3_Ad(g: Motion) -> Square:
    """Compute [[R, hat(t) R], [0, R]], 36 entries row by row."""
    R = se3_rotation(g)
    return blocks(R, turn(R, se3_translation(g)))


def se3_left_jacobian(xi: Twist) -> Square:
    """Compute J_l with d exp(xi) = hat(J_l dxi) exp(xi), 36 entries row by row."""
    rho, phi = halves(xi)
    b, c, b_slope, c_slope = bc_slopes(dot(phi, phi))
    return blocks(quadratic(phi, b, c), derivative(phi, rho, b, c, b_slope, c_slope))


def se3_left_jacobian_inverse(xi: Twist) -> Square:
    """Compute the inverse of the left Jacobian, 36 entries row by row; singular at |phi| = 2 pi only."""
    rho, phi = halves(xi)
    dd, slope = d_slope(dot(phi, phi))
    return blocks(quadratic(phi, -0.5, dd), derivative(phi, rho, -0.5, dd, 0.0, slope))


def se3_cayley(u: Twist) -> Motion:
    """Compute (cay(phi), (I - hat(phi)/2)^-1 rho) for u = (rho, phi)."""
    rho, phi = halves(u)
    scale = 0.5 / (1.0 + 0.25 * dot(phi, phi))
    return se3_from_parts(so3_cayley(phi), twice(phi, scale, 0.5 * scale, rho))


def se3_cayley_inverse(g: Motion) -> Twist:
    """Compute u with cayley(u) = g; a half turn has none."""
    phi, t = so3_cayley_inverse(se3_rotation(g)), se3_translation(g)
    once = cross(phi, t)
    return t[0] - 0.5 * once[0], t[1] - 0.5 * once[1], t[2] - 0.5 * once[2], phi[0], phi[1], phi[2]


def se3_exp_vjp(xi: Twist, g_bar: Motion) -> Twist:
    """Compute the cotangent of xi from the cotangent of exp(xi)."""
    rho, phi = halves(xi)
    a, b, c = abc(dot(phi, phi))
    _, _, b_slope, c_slope = bc_slopes(dot(phi, phi))
    t_bar = se3_translation(g_bar)
    rho_bar = twice(phi, -b, c, t_bar)
    m = torque(quadratic(phi, a, b), se3_rotation(g_bar))
    phi_bar = twice(phi, -b, c, m)
    phi_bar = pull(phi, rho, t_bar, phi_bar, b, c, b_slope, c_slope)
    return rho_bar[0], rho_bar[1], rho_bar[2], phi_bar[0], phi_bar[1], phi_bar[2]


def se3_log_vjp(g: Motion, xi: Twist, xi_bar: Twist) -> Motion:
    """Compute the cotangent of g from the cotangent of xi = log(g), as entries of ``lie.SE3.log``."""
    _, phi = halves(xi)
    rho_bar, phi_bar = halves(xi_bar)
    dd, slope = d_slope(dot(phi, phi))
    phi_bar = pull(phi, se3_translation(g), rho_bar, phi_bar, -0.5, dd, 0.0, slope)
    return se3_from_parts(so3_log_vjp(se3_rotation(g), phi, phi_bar), twice(phi, 0.5, dd, rho_bar))


def pull(
    phi: Vector,
    v: Vector,
    w: Vector,
    start: Vector,
    first: float,
    second: float,
    first_slope: float,
    second_slope: float,
) -> Vector:
    """Add to a cotangent of phi that of w . (v + first phi x v + second phi x (phi x v)).

    Args:
        phi: Vector.
        v: Vector.
        w: Cotangent of the sum.
        start: What is added to.
        first: Coefficient, a function of |phi|^2.
        second: Coefficient, a function of |phi|^2.
        first_slope: Twice the derivative of the first with respect to |phi|^2.
        second_slope: Twice the derivative of the second.

    Returns:
        The cotangent of phi.
    """
    once = cross(phi, v)
    turned = cross(v, w)
    folded = cross(once, w)
    crossed = cross(v, cross(w, phi))
    slope = first_slope * dot(w, once) + second_slope * dot(w, cross(phi, once))
    return combine(combine(start, first, turned, second, folded), second, crossed, slope, phi)
