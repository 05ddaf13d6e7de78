"""Elementary functions of compiled kernels against 50-digit arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numba
import numpy as np
import pytest

from integrators.kernels import _math

Values = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(scope="module")
def compiled() -> Callable[[Values], Values]:
    """The three functions with the options of generated kernels."""

    @numba.njit(error_model="numpy", fastmath={"contract", "nsz"})
    def evaluate(x: Values) -> Values:
        out = np.empty((3, x.size))
        for i in range(x.size):
            out[0, i] = _math.exponential(x[i])
            out[1, i] = _math.hyperbolic_tangent(x[i])
            out[2, i] = _math.logistic(x[i])
        return out

    return evaluate


def spread(limit: float, count: int) -> Values:
    """Numbers of all sizes up to a limit and both signs."""
    random = np.random.default_rng(0)
    wide = random.uniform(-limit, limit, count)
    small = random.choice([-1.0, 1.0], count) * 10.0 ** random.uniform(-18, math.log10(limit), count)
    ties = (np.arange(-60, 60) + 0.5) * math.log(2.0)
    return np.concatenate([wide, small, ties[np.abs(ties) < limit], [0.0]])


def exact(function: Callable[[Any], Any], x: Values) -> list[Any]:
    with mpmath.workdps(50):
        return [function(mpmath.mpf(float(v))) for v in x]


def test_exponential_is_within_2_ulp_between_its_clamps(compiled: Callable[[Values], Values]) -> None:
    x = np.concatenate([spread(700.0, 800), [700.0, -700.0]])
    errors = [
        abs(mpmath.mpf(float(y)) - true) / math.ulp(float(true))
        for y, true in zip(compiled(x)[0], exact(mpmath.exp, x), strict=True)
    ]
    assert max(errors) <= 2


def test_hyperbolic_tangent_is_within_4e_16(compiled: Callable[[Values], Values]) -> None:
    x = spread(25.0, 800)
    errors = [
        abs(mpmath.mpf(float(y)) - true)
        for y, true in zip(compiled(x)[1], exact(mpmath.tanh, x), strict=True)
    ]
    assert max(errors) <= 4e-16


def test_logistic_function_is_within_4_ulp(compiled: Callable[[Values], Values]) -> None:
    x = spread(300.0, 800)
    errors = [
        abs(mpmath.mpf(float(y)) - true) / math.ulp(float(true))
        for y, true in zip(compiled(x)[2], exact(lambda v: 1 / (1 + mpmath.exp(-v)), x), strict=True)
    ]
    assert max(errors) <= 4


def test_nan_stays_nan(compiled: Callable[[Values], Values]) -> None:
    assert np.isnan(compiled(np.full(64, np.nan))).all()
    assert np.isnan(compiled(np.array([np.nan]))).all()


def test_extreme_arguments_end_at_the_clamps(compiled: Callable[[Values], Values]) -> None:
    x = np.array([np.inf, 1e300, 701.0, -701.0, -1e300, -np.inf])
    exponential, tangent, logistic = compiled(x)
    assert np.allclose(exponential, [math.exp(700)] * 3 + [math.exp(-700)] * 3, rtol=1e-15, atol=0)
    assert tangent.tolist() == [1.0, 1.0, 1.0, -1.0, -1.0, -1.0]
    assert logistic[:3].tolist() == [1.0, 1.0, 1.0]
    assert (logistic[3:] < 1e-300).all()
