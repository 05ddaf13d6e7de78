"""Elementary functions in double precision that vectorise over lanes: no branches, no library calls.

Their text is copied into every generated kernel module.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(forceinline=True)
def exponential(x: Any) -> Any:
    """exp(x) within 2 ulp; the argument is clamped to [-700, 700], NaN stays NaN."""
    x = min(max(x, -700.0), 700.0)
    k = (x * 1.4426950408889634 + 6755399441055744.0) - 6755399441055744.0
    r = (x - k * 6.931471803691238e-1) - k * 1.9082149292705877e-10
    p = 1.6059043836821613e-10
    p = p * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.755731922398589e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 1.984126984126984e-04
    p = p * r + 1.388888888888889e-03
    p = p * r + 8.333333333333333e-03
    p = p * r + 4.1666666666666664e-02
    p = p * r + 1.6666666666666666e-01
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    bits = (np.int64(k) + np.int64(1023)) << np.int64(52)
    return p * np.int64(bits).view(np.float64)


@njit(forceinline=True)
def sine(x: Any) -> Any:
    """sin(x) within 2 ulp of an argument changed by less than its last bit; NaN stays NaN."""
    k = (x * 0.6366197723675814 + 6755399441055744.0) - 6755399441055744.0
    r = (x - k * 1.5707963267341256) - k * 6.077100506506192e-11
    return _quadrant(r, np.int64(k))


@njit(forceinline=True)
def cosine(x: Any) -> Any:
    """cos(x), as accurate as ``sine``."""
    k = (x * 0.6366197723675814 + 6755399441055744.0) - 6755399441055744.0
    r = (x - k * 1.5707963267341256) - k * 6.077100506506192e-11
    return _quadrant(r, np.int64(k) + np.int64(1))


@njit(forceinline=True)
def _quadrant(r: Any, k: Any) -> Any:
    """sin(r + k pi/2) for |r| <= pi/4."""
    x = r * r
    s = 2.811457254345521e-15
    s = s * x - 7.647163731819816e-13
    s = s * x + 1.6059043836821613e-10
    s = s * x - 2.505210838544172e-08
    s = s * x + 2.7557319223985893e-06
    s = s * x - 1.984126984126984e-04
    s = s * x + 8.333333333333333e-03
    s = s * x - 1.6666666666666666e-01
    s = r + r * (x * s)
    c = 4.779477332387385e-14
    c = c * x - 1.1470745597729725e-11
    c = c * x + 2.08767569878681e-09
    c = c * x - 2.755731922398589e-07
    c = c * x + 2.48015873015873e-05
    c = c * x - 1.388888888888889e-03
    c = c * x + 4.1666666666666664e-02
    c = 1.0 - (0.5 * x - x * x * c)
    value = c if k & 1 else s
    return -value if k & 2 else value


@njit(forceinline=True)
def hyperbolic_tangent(x: Any) -> Any:
    """tanh(x) within 4e-16 absolute."""
    return 1.0 - 2.0 / (exponential(2.0 * min(max(x, -20.0), 20.0)) + 1.0)


@njit(forceinline=True)
def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + exponential(-x))
