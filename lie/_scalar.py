r"""Coefficient functions of the rotation angle, exact to rounding in value and derivatives at every angle.

All are entire functions (D: radius 2 pi) of x = theta^2:

    S = sin(theta/2)/theta           W = cos(theta/2)
    A = sin(theta)/theta = 2 S W     B = (1 - cos(theta))/theta^2 = 2 S^2
    C = (theta - sin(theta))/theta^3
    D = (1 - (theta/2) cot(theta/2))/theta^2

Below x = 1 they are summed as series, above in closed form. Each branch is given a harmless argument where
the other is
taken: ``torch.where`` differentiates both, and a NaN in the branch not taken would reach the gradient.
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
_B = [Fraction((-1) ** k, factorial(2 * k + 2)) for k in range(_TERMS)]
_C = [Fraction((-1) ** k, factorial(2 * k + 3)) for k in range(_TERMS)]
_D = [abs(_BERNOULLI[2 * k + 2]) / factorial(2 * k + 2) for k in range(_TERMS)]


def _slope(series: list[Fraction]) -> list[Fraction]:
    """Coefficients of twice the derivative with respect to x."""
    return [2 * (k + 1) * c for k, c in enumerate(series[1:])]


def _table(*columns: list[Fraction]) -> Series:
    return Series([[float(c) for c in column] for column in columns], radius=1.0)


_SW = _table(_S, _W)
_SWC = _table(_S, _W, _C)
_SWC_SLOPES = _table(_S, _W, _C, _slope(_B), _slope(_C))
_D_ONLY = _table(_D)
_D_SLOPE = _table(_D, _slope(_D))


def squared_norm(v: Tensor) -> Tensor:
    """Compute the squared length of a vector.

    Args:
        v: Vector, shape (..., n).

    Returns:
        Its square, shape (..., 1).
    """
    return (v * v).sum(-1, keepdim=True)


def _split(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Mask and argument of the series; x, theta, sin(theta/2) and cos(theta/2) of the closed forms."""
    small = x < 1
    closed = torch.where(small, 1, x)
    theta = closed.sqrt()
    half = 0.5 * theta
    return small, torch.where(small, x, 0), closed, theta, half.sin(), half.cos()


def sw(x: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate S and W.

    Args:
        x: Squared angle, shape (..., 1).

    Returns:
        S and W, each (..., 1).
    """
    small, xs, _, theta, sin, cos = _split(x)
    both = torch.where(small, _SW(xs), torch.cat((sin / theta, cos), -1))
    return both[..., :1], both[..., 1:]


def swc(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Evaluate S, W and C.

    Args:
        x: Squared angle, shape (..., 1).

    Returns:
        S, W and C, each (..., 1).
    """
    small, xs, xc, theta, sin, cos = _split(x)
    s = sin / theta
    c = (1 - 2 * s * cos) / xc
    s, w, c = torch.where(small, _SWC(xs), torch.cat((s, cos, c), -1)).split(1, -1)
    return s, w, c


def bc_slopes(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Evaluate B, C and their slopes B' = 2 dB/dx, C' = 2 dC/dx.

    Args:
        x: Squared angle, shape (..., 1).

    Returns:
        B, C, B' and C', each (..., 1).
    """
    small, xs, xc, theta, sin, cos = _split(x)
    s = sin / theta
    a, b = 2 * s * cos, 2 * s * s
    c = (1 - a) / xc
    closed = torch.cat((s, cos, c, (a - 2 * b) / xc, (b - 3 * c) / xc), -1)
    s, _, c, b_slope, c_slope = torch.where(small, _SWC_SLOPES(xs), closed).split(1, -1)
    return 2 * s * s, c, b_slope, c_slope


def d(x: Tensor) -> Tensor:
    """Evaluate D.

    Args:
        x: Squared angle, shape (..., 1), below (2 pi)^2.

    Returns:
        D, shape (..., 1).
    """
    small, xs, xc, theta, sin, cos = _split(x)
    return torch.where(small, _D_ONLY(xs), (1 - 0.5 * theta * cos / sin) / xc)


def d_slope(x: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate D and its slope D' = 2 dD/dx.

    Args:
        x: Squared angle, shape (..., 1), below (2 pi)^2.

    Returns:
        D and D', each (..., 1).
    """
    small, xs, xc, theta, sin, cos = _split(x)
    half = 0.5 * theta
    cot = half * cos / sin
    d0 = (1 - cot) / xc
    d1 = ((half * half / (sin * sin) - cot) / xc - 2 * d0) / xc
    value, slope = torch.where(small, _D_SLOPE(xs), torch.cat((d0, d1), -1)).split(1, -1)
    return value, slope
