"""Elementary functions for loops over lanes: no calls and no branches, so that the loops become vector code.

Angles are reduced in two steps in float64 and three in float32, which is exact up to ``LARGEST_ANGLE``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import factorial
from typing import Any

import torch

from lie.device import PowerSeries

LARGEST_ANGLE = {torch.float32: 8192.0, torch.float64: 1e6}

_EIGHTH = (math.pi / 4) ** 2
_SINE = PowerSeries([(-1) ** k / factorial(2 * k + 1) for k in range(12)], _EIGHTH)
_COSINE = PowerSeries([(-1) ** k / factorial(2 * k) for k in range(12)], _EIGHTH)
_ARCTANGENT = PowerSeries([(-1) ** k / (2 * k + 1) for k in range(32)], math.tan(math.pi / 8) ** 2)
_TO_QUARTERS = 2 / math.pi
_MOST = 1e6
_QUARTER = math.pi / 2
_HALF = math.pi
_OCTANT = math.pi / 4
_TAN_EIGHTH = math.tan(math.pi / 8)


def _quarters(x: float) -> int:
    count = x * _TO_QUARTERS + 0.5
    return int(count if count < _MOST else 0.0)  # NaN has no whole part


def _reduced_double(x: float) -> tuple[int, float]:
    """Number of quarter turns next to x >= 0, and the rest."""
    k = _quarters(x)
    f = float(k)
    return k, (x - f * 1.5707963267341256) - f * 6.077100506506192e-11


def _reduced_single(x: float) -> tuple[int, float]:
    """The same in float32 (constants of the Cephes library, S. Moshier)."""
    k = _quarters(x)
    f = float(k)
    return k, ((x - f * 1.5703125) - f * 4.837512969970703125e-4) - f * 7.54978995489188216e-8


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
    torch.float32: {"sin": _sine_single, "cos": _cosine_single, "atan2": _arctangent},
    torch.float64: {"sin": _sine_double, "cos": _cosine_double, "atan2": _arctangent},
}
"""What stands in for ``math.sin`` and ``math.cos`` of x >= 0, and ``math.atan2`` of y >= 0."""
