"""Elementary functions for loops over lanes: no calls and no branches, so that the loops become vector code.

An angle is reduced to the nearest quarter turn in parts whose products are exact, up to ``LARGEST_ANGLE`` of
either sign; beyond it the sine and the cosine are no number, which stops a trajectory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import factorial
from typing import Any

import torch

from lie.device import PowerSeries

from ._lane_exponential import (
    exponential_double,
    exponential_single,
    hyperbolic_tangent_double,
    hyperbolic_tangent_single,
    logistic_double,
    logistic_single,
)

LARGEST_ANGLE = {torch.float32: 8e5, torch.float64: 1e12}

_EIGHTH = (math.pi / 4) ** 2
_SINE = PowerSeries([(-1) ** k / factorial(2 * k + 1) for k in range(12)], _EIGHTH)
_COSINE = PowerSeries([(-1) ** k / factorial(2 * k) for k in range(12)], _EIGHTH)
_ARCTANGENT = PowerSeries([(-1) ** k / (2 * k + 1) for k in range(32)], math.tan(math.pi / 8) ** 2)
_TO_QUARTERS = 2 / math.pi
_QUARTER = math.pi / 2
_HALF = math.pi
_OCTANT = math.pi / 4
_TAN_EIGHTH = math.tan(math.pi / 8)
_NAN = math.nan


def _reduced_double(x: float) -> tuple[int, float]:
    """Number of quarter turns next to x, up to a multiple of four, and the rest."""
    turns = x * _TO_QUARTERS
    near = abs(turns) < 1099511627776.0  # 2^40
    k = (turns + 6755399441055744.0) - 6755399441055744.0 if near else 0.0  # 1.5 * 2^52
    high = (k + 7083549724304467820544.0) - 7083549724304467820544.0  # 1.5 * 2^72: multiples of 2^20
    low = k - high
    r = (x - high * 1.5707963267341256) - low * 1.5707963267341256
    r = (r - high * 6.077100506303966e-11) - low * 6.077100506303966e-11
    r = r - k * 2.0222662487959506e-21
    return int(low), r if near else _NAN


def _reduced_single(x: float) -> tuple[int, float]:
    """The same in float32."""
    turns = x * _TO_QUARTERS
    near = abs(turns) < 524288.0  # 2^19
    k = (turns + 12582912.0) - 12582912.0 if near else 0.0  # 1.5 * 2^23
    high = (k + 51539607552.0) - 51539607552.0  # 1.5 * 2^35: multiples of 2^12
    low = k - high
    r = (x - high * 1.5703125) - low * 1.5703125
    r = (r - high * 4.837512969970703e-4) - low * 4.837512969970703e-4
    r = (r - high * 7.549533620476723e-08) - low * 7.549533620476723e-08
    r = r - k * 2.563344151594519e-12
    return int(low), r if near else _NAN


def _turned(k: int, r: float) -> float:
    """The sine of k quarter turns and r."""
    x = r * r
    value = _COSINE(x) if (k & 1) == 1 else r * _SINE(x)
    return -value if (k & 2) == 2 else value


def _sine_double(x: float) -> float:
    k, r = _reduced_double(x)
    return _turned(k, r)


def _cosine_double(x: float) -> float:
    k, r = _reduced_double(x)
    return _turned(k + 1, r)


def _sine_single(x: float) -> float:
    k, r = _reduced_single(x)
    return _turned(k, r)


def _cosine_single(x: float) -> float:
    k, r = _reduced_single(x)
    return _turned(k + 1, r)


def _arctangent(y: float, x: float) -> float:
    """atan2(y, x) for y >= 0."""
    across = abs(x)
    steep = y > across
    low, high = across if steep else y, y if steep else across
    far = low > _TAN_EIGHTH * high
    u = (low - high if far else low) / (low + high if far else high)
    square = u * u
    value = u * _ARCTANGENT(square) + (_OCTANT if far else 0.0)
    value = _QUARTER - value if steep else value
    return _HALF - value if x < 0.0 else value


LANE_FUNCTIONS: dict[torch.dtype, dict[str, Callable[..., Any]]] = {
    torch.float32: {
        "sin": _sine_single,
        "cos": _cosine_single,
        "exp": exponential_single,
        "tanh": hyperbolic_tangent_single,
        "logistic": logistic_single,
        "atan2": _arctangent,
    },
    torch.float64: {
        "sin": _sine_double,
        "cos": _cosine_double,
        "exp": exponential_double,
        "tanh": hyperbolic_tangent_double,
        "logistic": logistic_double,
        "atan2": _arctangent,
    },
}
"""What stands in for functions of ``math``, for ``math.atan2`` where y >= 0, and the logistic function."""
