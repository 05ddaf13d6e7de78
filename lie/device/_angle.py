r"""Coefficients of the rotation angle for one element, functions of x = theta^2; see ``lie._scalar``.

Each is a series below x = 1 and a closed form above.
"""

from __future__ import annotations

import math

from .. import _scalar
from ._series import PowerSeries

_S = PowerSeries(_scalar._S, 1.0)
_W = PowerSeries(_scalar._W, 1.0)
_B = PowerSeries(_scalar._B, 1.0)
_C = PowerSeries(_scalar._C, 1.0)
_D = PowerSeries(_scalar._D, 1.0)
_B_SLOPE = PowerSeries(_scalar._slope(_scalar._B), 1.0)
_C_SLOPE = PowerSeries(_scalar._slope(_scalar._C), 1.0)
_D_SLOPE = PowerSeries(_scalar._slope(_scalar._D), 1.0)


def sw(x: float) -> tuple[float, float]:
    """Evaluate S = sin(theta/2)/theta and W = cos(theta/2)."""
    if x < 1.0:
        return _S(x), _W(x)
    theta = math.sqrt(x)
    half = 0.5 * theta
    return math.sin(half) / theta, math.cos(half)


def abc(x: float) -> tuple[float, float, float]:
    """Evaluate A = sin(theta)/theta, B = (1 - cos(theta))/theta^2 and C = (1 - A)/theta^2."""
    if x < 1.0:
        c = _C(x)
        return 1.0 - x * c, _B(x), c
    theta = math.sqrt(x)
    a = math.sin(theta) / theta
    return a, (1.0 - math.cos(theta)) / x, (1.0 - a) / x


def bc_slopes(x: float) -> tuple[float, float, float, float]:
    """Evaluate B, C and their slopes 2 dB/dx, 2 dC/dx."""
    a, b, c = abc(x)
    if x < 1.0:
        return b, c, _B_SLOPE(x), _C_SLOPE(x)
    return b, c, (a - 2.0 * b) / x, (b - 3.0 * c) / x


def d(x: float) -> float:
    """Evaluate D = (1 - (theta/2) cot(theta/2))/theta^2, for theta below 2 pi."""
    if x < 1.0:
        return _D(x)
    half = 0.5 * math.sqrt(x)
    return (1.0 - half * math.cos(half) / math.sin(half)) / x


def d_slope(x: float) -> tuple[float, float]:
    """Evaluate D and its slope 2 dD/dx, for theta below 2 pi."""
    if x < 1.0:
        return _D(x), _D_SLOPE(x)
    half = 0.5 * math.sqrt(x)
    ratio = half / math.sin(half)
    cot = ratio * math.cos(half)
    value = (1.0 - cot) / x
    return value, ((ratio * ratio - cot) / x - 2.0 * value) / x
