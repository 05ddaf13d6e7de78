"""Exponentials for loops over lanes: no calls and no branches, so that the loops become vector code.

``x = k log 2 + r`` with a whole number k; ``log 2`` is taken in two parts, so that r is right to rounding.
"""

from __future__ import annotations

import math
from math import factorial

from lie.device import PowerSeries

from ._straight_lines import whole_of

_HALF_LOG_2 = math.log(2) / 2
_CURVED = PowerSeries([1 / factorial(k + 2) for k in range(16)], _HALF_LOG_2, fours=True)
"""(exp(r) - 1 - r) / r**2"""
_PER_LOG_2 = 1 / math.log(2)


def _less_one(r: float) -> float:
    """Compute exp(r) - 1."""
    return r * r * _CURVED(r) + r


def exponential_double(x: float) -> float:
    """exp(x), within 2 units in the last place, infinite and 0 beyond the range of float64."""
    x = 710.0 if x > 710.0 else x
    x = -746.0 if x < -746.0 else x
    k = (x * _PER_LOG_2 + 6755399441055744.0) - 6755399441055744.0  # 3 * 2^51
    r = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    half = 0.5 * k + 6755399441055744.0
    rest = k - (half - 6755399441055744.0) + 6755399441055744.0
    return math.ldexp(math.ldexp(1.0 + _less_one(r), whole_of(half)), whole_of(rest))


def exponential_single(x: float) -> float:
    """The same in float32."""
    x = 89.0 if x > 89.0 else x
    x = -104.0 if x < -104.0 else x
    k = (x * _PER_LOG_2 + 12582912.0) - 12582912.0  # 3 * 2^22
    r = (x - k * 0.693115234375) - k * 3.1946184945309415e-05
    half = 0.5 * k + 12582912.0
    rest = k - (half - 12582912.0) + 12582912.0
    return math.ldexp(math.ldexp(1.0 + _less_one(r), whole_of(half)), whole_of(rest))


def _ratio(x: float, power: float, r: float) -> float:
    """tanh(x) from ``exp(2 |x|) = power * exp(r)``."""
    grown = power * _less_one(r) + (power - 1.0)
    return math.copysign(grown / (grown + 2.0), x)


def hyperbolic_tangent_double(x: float) -> float:
    """tanh(x), within 2 units in the last place."""
    double = 2.0 * abs(x)
    double = 44.0 if double > 44.0 else double
    shifted = double * _PER_LOG_2 + 6755399441055744.0
    k = shifted - 6755399441055744.0
    r = (double - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    return _ratio(x, math.ldexp(1.0, whole_of(shifted)), r)


def hyperbolic_tangent_single(x: float) -> float:
    """The same in float32."""
    double = 2.0 * abs(x)
    double = 24.0 if double > 24.0 else double
    shifted = double * _PER_LOG_2 + 12582912.0
    k = shifted - 12582912.0
    r = (double - k * 0.693115234375) - k * 3.1946184945309415e-05
    return _ratio(x, math.ldexp(1.0, whole_of(shifted)), r)


def logistic_double(x: float) -> float:
    """1 / (1 + exp(-x)), within 2 units in the last place."""
    return 1.0 / (1.0 + exponential_double(-x))


def logistic_single(x: float) -> float:
    """The same in float32."""
    return 1.0 / (1.0 + exponential_single(-x))
