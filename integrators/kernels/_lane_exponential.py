"""Exponentials for loops over lanes: no calls and no branches, so that the loops become vector code.

``x = k log 2 + r`` with a whole number k; ``log 2`` is taken in two parts, so that r is right to rounding.
"""

from __future__ import annotations

import math
from math import factorial

from lie.device import PowerSeries

_HALF_LOG_2 = math.log(2) / 2
_EXPONENTIAL = PowerSeries([1 / factorial(k) for k in range(16)], _HALF_LOG_2)
_LESS_ONE = PowerSeries([1 / factorial(k + 1) for k in range(16)], _HALF_LOG_2)
"""(exp(r) - 1) / r"""
_PER_LOG_2 = 1 / math.log(2)


def _reduced_double(x: float) -> tuple[float, float]:
    k = (x * _PER_LOG_2 + 6755399441055744.0) - 6755399441055744.0  # 1.5 * 2^52
    k = k if abs(k) < 2048.0 else 0.0  # NaN has no whole part
    return k, (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10


def _reduced_single(x: float) -> tuple[float, float]:
    k = (x * _PER_LOG_2 + 12582912.0) - 12582912.0  # 1.5 * 2^23
    k = k if abs(k) < 256.0 else 0.0
    return k, (x - k * 0.693115234375) - k * 3.1946184945309415e-05


def _scaled(p: float, k: float) -> float:
    """Multiply by a power of two in two factors, since one can leave the range where the product does not."""
    half = int(k * 0.5)
    return math.ldexp(math.ldexp(p, half), int(k) - half)


def exponential_double(x: float) -> float:
    """exp(x), within 2 units in the last place, infinite and 0 beyond the range of float64."""
    x = 710.0 if x > 710.0 else x
    x = -746.0 if x < -746.0 else x
    k, r = _reduced_double(x)
    return _scaled(_EXPONENTIAL(r), k)


def exponential_single(x: float) -> float:
    """The same in float32."""
    x = 89.0 if x > 89.0 else x
    x = -104.0 if x < -104.0 else x
    k, r = _reduced_single(x)
    return _scaled(_EXPONENTIAL(r), k)


def _ratio(x: float, k: float, r: float) -> float:
    """tanh(x) from ``2 |x| = k log 2 + r``."""
    power = math.ldexp(1.0, int(k))
    grown = power * (r * _LESS_ONE(r)) + (power - 1.0)
    size = grown / (grown + 2.0)
    return -size if x < 0.0 else size


def hyperbolic_tangent_double(x: float) -> float:
    """tanh(x), within 2 units in the last place."""
    double = 2.0 * abs(x)
    k, r = _reduced_double(44.0 if double > 44.0 else double)
    return _ratio(x, k, r)


def hyperbolic_tangent_single(x: float) -> float:
    """The same in float32."""
    double = 2.0 * abs(x)
    k, r = _reduced_single(24.0 if double > 24.0 else double)
    return _ratio(x, k, r)


def logistic_double(x: float) -> float:
    """1 / (1 + exp(-x)), within 2 units in the last place."""
    return 1.0 / (1.0 + exponential_double(-x))


def logistic_single(x: float) -> float:
    """The same in float32."""
    return 1.0 / (1.0 + exponential_single(-x))
