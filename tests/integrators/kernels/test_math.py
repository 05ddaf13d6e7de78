"""Elementary functions of compiled kernels against 50-digit arithmetic, in both precisions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from integrators.kernels import load_source, module_source

Values = np.ndarray[Any, np.dtype[Any]]
NAMES = ("exponential", "hyperbolic_tangent", "logistic", "sine", "cosine")
EXACT: dict[str, Callable[[Any], Any]] = {
    "exponential": mpmath.exp,
    "hyperbolic_tangent": mpmath.tanh,
    "logistic": lambda v: 1 / (1 + mpmath.exp(-v)),
    "sine": mpmath.sin,
    "cosine": mpmath.cos,
}
LARGEST = {"float32": {"exp": 88.5, "angle": 8e5}, "float64": {"exp": 709.5, "angle": 1e12}}
precisions = pytest.mark.parametrize("precision", ["float32", "float64"])


@cache
def compiled(precision: str) -> Callable[[Values], Values]:
    """All functions with the options of generated kernels, in a loop that becomes vector code."""
    lines = [f"        out[{k}, i] = {name}(x[i])" for k, name in enumerate(NAMES)]
    text = "\n".join(["def evaluate(x, out):", "    for i in range(x.size):", *lines])
    evaluate = load_source(module_source([text], 1, 1, dtype=getattr(torch, precision))).evaluate

    def call(x: Values) -> Values:
        out = np.empty((len(NAMES), x.size), dtype=precision)
        evaluate(x.astype(precision), out)
        return out

    return call


def spread(limit: float, least: float = 1e-18, count: int = 400) -> Values:
    """Numbers of all sizes up to a limit and both signs, and both neighbours of every kind of tie."""
    random = np.random.default_rng(0)
    sizes = 10.0 ** random.uniform(math.log10(least), math.log10(limit), count)
    small = random.choice([-1.0, 1.0], count) * sizes
    ties = np.concatenate([(np.arange(-60, 60) + 0.5) * math.log(2.0), np.arange(-60, 60) * math.pi / 4])
    near = ties[np.abs(ties) < limit]
    return np.concatenate([random.uniform(-limit, limit, count), small, near, np.nextafter(near, 99), [0.0]])


def worst(name: str, precision: str, x: Values, floor: float = 0.0) -> float:
    """Largest error in units of the last place of the true value, or of a floor under it."""
    found = compiled(precision)(x)[NAMES.index(name)]
    errors = []
    with mpmath.workdps(50):
        for argument, value in zip(x.astype(precision), found, strict=True):
            true = EXACT[name](mpmath.mpf(float(argument)))
            unit = float(np.spacing(np.asarray(max(abs(float(true)), floor), dtype=precision)))
            errors.append(float(abs(mpmath.mpf(float(value)) - true) / unit))
    return max(errors)


@precisions
def test_exponential_is_within_2_units(precision: str) -> None:
    limit = LARGEST[precision]["exp"]
    tiny = np.finfo(precision).tiny
    x = np.concatenate([spread(limit), [limit]])
    assert worst("exponential", precision, x[x > math.log(tiny)]) <= 2
    assert worst("exponential", precision, x) <= 2  # numbers without their full precision too


@precisions
def test_hyperbolic_tangent_is_within_2_units_of_small_values_too(precision: str) -> None:
    assert worst("hyperbolic_tangent", precision, spread(25.0)) <= 2


@precisions
def test_hyperbolic_tangent_keeps_the_sign_of_zero(precision: str) -> None:
    zeros = compiled(precision)(np.array([-0.0, 0.0] * 32))[NAMES.index("hyperbolic_tangent")]
    assert np.signbit(zeros).tolist() == [True, False] * 32


@precisions
def test_logistic_function_is_within_3_units(precision: str) -> None:
    x = spread(LARGEST[precision]["exp"] - 3)
    assert worst("logistic", precision, x[x > -80 if precision == "float32" else x > -700]) <= 3


@precisions
@pytest.mark.parametrize("name", ["sine", "cosine"])
def test_sines_are_within_2_units_for_either_sign_and_large_angles(name: str, precision: str) -> None:
    for limit in (8.0, 1e4, LARGEST[precision]["angle"]):
        assert worst(name, precision, spread(limit), floor=1e-3) <= 2


@precisions
def test_angles_without_a_meaning_have_no_sine(precision: str) -> None:
    x = np.array([1e14, -1e14, np.inf, -np.inf, np.nan] * 16)
    assert np.isnan(compiled(precision)(x)[3:]).all()


@precisions
def test_nan_stays_nan(precision: str) -> None:
    assert np.isnan(compiled(precision)(np.full(64, np.nan))).all()
    assert np.isnan(compiled(precision)(np.array([np.nan]))).all()


@precisions
def test_what_leaves_the_range_is_infinite_or_zero(precision: str) -> None:
    x = np.array([np.inf, 1e30, 711.0, -751.0, -1e30, -np.inf])
    exponential, tangent, logistic = compiled(precision)(x)[:3]
    assert exponential.tolist() == [math.inf] * 3 + [0.0] * 3
    assert tangent.tolist() == [1.0, 1.0, 1.0, -1.0, -1.0, -1.0]
    assert logistic.tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
