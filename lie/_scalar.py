r"""Coefficient functions of the rotation angle, exact to rounding in value and derivatives at every angle.

All are entire functions (D: radius 2 pi) of x = theta^2:

    S = sin(theta/2)/theta           W = cos(theta/2)
    A = sin(theta)/theta             B = (1 - cos(theta))/theta^2
    C = (theta - sin(theta))/theta^3
    D = (1 - (theta/2) cot(theta/2))/theta^2

Below x = 1 they are summed as series, above in closed form. Each branch is given the harmless argument 1
where the other is taken: ``torch.where`` differentiates both, and a NaN in the branch not taken would reach
the gradient.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb, factorial

import torch
from torch import Tensor

from ._constants import Series

_TERMS = 18


def _bernoulli(count: int) -> list[Fraction]:
    numbers = [Fraction(1)]
    for m in range(1, count):
        numbers.append(-sum(comb(m + 1, k) * b for k, b in enumerate(numbers)) / Fraction(m + 1))
    return numbers


_BERNOULLI = _bernoulli(2 * _TERMS + 3)
_S = [Fraction((-1) ** k, 2 ** (2 * k + 1) * factorial(2 * k + 1)) for k in range(_TERMS)]
_W = [Fraction((-1) ** k, 4**k * factorial(2 * k)) for k in range(_TERMS)]
_A = [Fraction((-1) ** k, factorial(2 * k + 1)) for k in range(_TERMS)]
_B = [Fraction((-1) ** k, factorial(2 * k + 2)) for k in range(_TERMS)]
_C = [Fraction((-1) ** k, factorial(2 * k + 3)) for k in range(_TERMS)]
_D = [abs(_BERNOULLI[2 * k + 2]) / factorial(2 * k + 2) for k in range(_TERMS)]


def _slope(series: list[Fraction]) -> list[Fraction]:
    """Coefficients of twice the derivative with respect to x."""
    return [2 * (k + 1) * c for k, c in enumerate(series[1:])]


def _table(*columns: list[Fraction]) -> Series:
    return Series([[float(c) for c in column] for column in columns], radius=1.0)


_SW = _table(_S, _W)
_AB = _table(_A, _B)
_ABC = _table(_A, _B, _C)
_BC_SLOPES = _table(_B, _C, _slope(_B), _slope(_C))
_D_ONLY = _table(_D)
_D_SLOPE = _table(_D, _slope(_D))


def squared_norm(v: Tensor, dim: int = -1) -> Tensor:
    """Compute the squared length of a vector.

    Args:
        v: Vector, shape (..., n), or (n, N) for ``dim = 0``.
        dim: Dimension of the components, -1 or 0.

    Returns:
        Its square, shape (..., 1) or (1, N).
    """
    return (v * v).sum(dim, keepdim=True)


def _split(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mask and argument of the series; x and theta of the closed forms."""
    closed = x.clamp_min(1)
    return x < 1, x.clamp_max(1), closed, closed.sqrt()


def sw(x: Tensor, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Evaluate S and W.

    Args:
        x: Squared angle, shape (..., 1), or (1, N) for ``dim = 0``.
        dim: Dimension of size 1, -1 or 0.

    Returns:
        S and W, each of the shape of x.
    """
    small, xs, _, theta = _split(x)
    half = 0.5 * theta
    closed = torch.cat((half.sin() / theta, half.cos()), dim)
    s, w = torch.where(small, _SW(xs, dim), closed).split(1, dim)
    return s, w


def ab(x: Tensor, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Evaluate A and B.

    Args:
        x: Squared angle, shape (..., 1), or (1, N) for ``dim = 0``.
        dim: Dimension of size 1, -1 or 0.

    Returns:
        A and B, each of the shape of x.
    """
    small, xs, xc, theta = _split(x)
    closed = torch.cat((theta.sin() / theta, (1 - theta.cos()) / xc), dim)
    a, b = torch.where(small, _AB(xs, dim), closed).split(1, dim)
    return a, b


def abc(x: Tensor, dim: int = -1) -> tuple[Tensor, Tensor, Tensor]:
    """Evaluate A, B and C.

    Args:
        x: Squared angle, shape (..., 1), or (1, N) for ``dim = 0``.
        dim: Dimension of size 1, -1 or 0.

    Returns:
        A, B and C, each of the shape of x.
    """
    small, xs, xc, theta = _split(x)
    a = theta.sin() / theta
    closed = torch.cat((a, (1 - theta.cos()) / xc, (1 - a) / xc), dim)
    a, b, c = torch.where(small, _ABC(xs, dim), closed).split(1, dim)
    return a, b, c


def bc_slopes(x: Tensor, dim: int = -1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Evaluate B, C and their slopes B' = 2 dB/dx, C' = 2 dC/dx.

    Args:
        x: Squared angle, shape (..., 1), or (1, N) for ``dim = 0``.
        dim: Dimension of size 1, -1 or 0.

    Returns:
        B, C, B' and C', each of the shape of x.
    """
    small, xs, xc, theta = _split(x)
    a, b = theta.sin() / theta, (1 - theta.cos()) / xc
    c = (1 - a) / xc
    closed = torch.cat((b, c, (a - 2 * b) / xc, (b - 3 * c) / xc), dim)
    b, c, b_slope, c_slope = torch.where(small, _BC_SLOPES(xs, dim), closed).split(1, dim)
    return b, c, b_slope, c_slope


def d(x: Tensor, dim: int = -1) -> Tensor:
    """Evaluate D.

    Args:
        x: Squared angle below (2 pi)^2, shape (..., 1), or (1, N) for ``dim = 0``.
        dim: Dimension of size 1, -1 or 0.

    Returns:
        D, of the shape of x.
    """
    small, xs, xc, theta = _split(x)
    half = 0.5 * theta
    return torch.where(small, _D_ONLY(xs, dim), (1 - half * half.cos() / half.sin()) / xc)


def d_slope(x: Tensor, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Evaluate D and its slope D' = 2 dD/dx.

    Args:
        x: Squared angle below (2 pi)^2, shape (..., 1), or (1, N) for ``dim = 0``.
        dim: Dimension of size 1, -1 or 0.

    Returns:
        D and D', each of the shape of x.
    """
    small, xs, xc, theta = _split(x)
    half = 0.5 * theta
    ratio = half / half.sin()
    cot = ratio * half.cos()
    value = (1 - cot) / xc
    closed = torch.cat((value, ((ratio * ratio - cot) / xc - 2 * value) / xc), dim)
    value, slope = torch.where(small, _D_SLOPE(xs, dim), closed).split(1, dim)
    return value, slope
