"""Elementary functions of loops over lanes against 50-digit arithmetic, in both precisions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from integrators.kernels._flatten import function_text
from integrators.kernels._lane_math import LANE_FUNCTIONS, LARGEST_ANGLE

Values = np.ndarray[Any, np.dtype[Any]]
SCALARS = {torch.float32: np.float32, torch.float64: np.float64}
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def typed(name: str, dtype: torch.dtype) -> Callable[..., Any]:
    scope: dict[str, Any] = {"np": np, "math": math}
    exec(function_text(LANE_FUNCTIONS[dtype][name], "f", dtype), scope)
    function: Callable[..., Any] = scope["f"]
    return function


def errors(name: str, dtype: torch.dtype, true: Callable[..., Any], *columns: Values, floor: float) -> float:
    """Largest error in epsilons of the value, or of a floor under it."""
    eps = torch.finfo(dtype).eps
    function, worst = typed(name, dtype), 0.0
    with mpmath.workdps(50), np.errstate(all="ignore"):
        for row in zip(*columns, strict=True):
            exact = true(*[mpmath.mpf(float(x)) for x in row])
            got = function(*row)
            assert type(got) is SCALARS[dtype] or dtype == torch.float64
            worst = max(worst, float(abs(mpmath.mpf(float(got)) - exact) / max(abs(exact), floor)) / eps)
    return worst


@dtypes
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sines_are_right_up_to_the_largest_angle(name: str, dtype: torch.dtype) -> None:
    random = np.random.default_rng(0)
    near = random.uniform(0, 7, 1500)
    quarters = np.arange(12) * math.pi / 4
    wide = 10.0 ** random.uniform(-8, math.log10(LARGEST_ANGLE[dtype]), 500)
    x = np.concatenate([near, quarters, np.nextafter(quarters, 9), wide]).astype(SCALARS[dtype])
    assert errors(name, dtype, getattr(mpmath, name), x, floor=1e-3) <= 2


@dtypes
def test_arctangents_are_right_in_the_upper_half_plane(dtype: torch.dtype) -> None:
    random = np.random.default_rng(1)
    angle = np.concatenate([random.uniform(0, math.pi, 1500), 10.0 ** random.uniform(-30, 0, 300)])
    radius = 10.0 ** random.uniform(-3, 3, angle.size)
    y, x = (radius * f(angle) for f in (np.sin, np.cos))
    y, x = (
        np.concatenate([v, e]).astype(SCALARS[dtype]) for v, e in ((y, [0, 1, 1, 0]), (x, [1, 0, -1, -1]))
    )
    assert errors("atan2", dtype, mpmath.atan2, y, x, floor=1e-300) <= 2


@dtypes
def test_what_is_not_a_number_stays_so(dtype: torch.dtype) -> None:
    nan = SCALARS[dtype](math.nan)
    with np.errstate(all="ignore"):
        assert all(math.isnan(typed(name, dtype)(nan)) for name in ("sin", "cos"))
        assert math.isnan(typed("atan2", dtype)(nan, nan))
