"""Scalar functions written out as straight lines."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from integrators.kernels._flatten import Flattener, arguments, function_text
from integrators.kernels._straight_lines import whole_of
from lie.device import PowerSeries

_SERIES = PowerSeries([1 / math.factorial(k) for k in range(30)], 1.0)
_FOURS = PowerSeries([1 / math.factorial(k) for k in range(30)], 1.0, fours=True)
_SHIFT = 0.25
Pair = tuple[float, float]


def add(a: Pair, b: Pair) -> Pair:
    return a[0] + b[0], a[1] + b[1]


def choose(x: float) -> tuple[float, float]:
    """A branch that returns, with another inside."""
    if x < 0.0:
        if x < -1.0:
            return math.cos(x), 2.0
        return -x, 1.0
    return x, 0.0


def flip(x: float, y: float) -> float:
    """A branch that assigns."""
    sign = 1.0
    if y > x:
        sign, x = -1.0, y * 2.0
    else:
        x = x - y
    return sign * x


def everything(p: Pair, x: float) -> tuple[float, ...]:
    first, (second, third) = x, p
    total = add(p, (x, _SHIFT))
    whole = int(x * 3.0 + 7.5)
    last = (whole & 1) == 1
    return (
        *choose(x),
        flip(second, third),
        *total[:1],
        max(first, second),
        abs(third),
        _SERIES(x),
        _FOURS(abs(x)),
        math.ldexp(third, whole_of(float(whole) + 6755399441055744.0)),
        float(whole),
        (1.0 if last else second) / (third + 3.0),
        0.0 * third + 1.0 * first - 0.0,
    )


def evaluated(function: Callable[..., Any], dtype: torch.dtype, branches: bool) -> Callable[..., Any]:
    sizes = arguments(function)
    values = [tuple(f"{a}_{k}" for k in range(n)) if n else a for a, n in sizes.items()]
    out = Flattener(dtype, branches)
    results = [out.text(value) for value in out.apply(function, *values)]
    names = [name for value in values for name in (value if isinstance(value, tuple) else (value,))]
    lines = [f"def flat({', '.join(names)}):", *out.lines(results), f"return ({', '.join(results)},)"]
    scope: dict[str, Any] = {"np": np, "math": math}
    exec("\n    ".join(lines), scope)
    flat: Callable[..., Any] = scope["flat"]
    return flat


@pytest.mark.parametrize("branches", [True, False], ids=["branches", "selections"])
@pytest.mark.parametrize("x", [-2.5, -0.5, 0.0, 0.3, 0.9])
def test_the_lines_give_the_values_of_the_function(x: float, branches: bool) -> None:
    flat = evaluated(everything, torch.float64, branches)
    assert flat(0.5, 1.5, x) == pytest.approx(everything((0.5, 1.5), x), abs=0, rel=1e-15)
    assert flat(2.5, 1.5, x) == pytest.approx(everything((2.5, 1.5), x), abs=0, rel=1e-15)


def test_arguments_are_counted() -> None:
    assert arguments(everything) == {"p": 2, "x": 0}


def test_literals_and_series_have_the_dtype() -> None:
    text = function_text(everything, "f", torch.float32)
    bare = text.replace("np.float32(", "(").replace("np.int32(", "(")
    assert text.count("np.float32(") > 5
    assert bare.count("(") == text.count("(")
    single, double = (
        function_text(everything, "f", dtype).count(") *") for dtype in (torch.float32, torch.float64)
    )
    assert single < double  # fewer terms


def test_what_no_result_needs_is_left_out_where_nothing_branches() -> None:
    out = Flattener(torch.float64, branches=False)
    first, second = out.apply(choose, "x")
    assert len(out.lines([second])) < len(out.lines([first, second])) < 12
    assert not any("cos" in line for line in out.lines([second]))


def test_equal_operations_are_written_once() -> None:
    out = Flattener(torch.float64, branches=False)
    assert out.operate("*", "a", "b") == out.operate("*", "a", "b")
    assert len(out.lines(["t1"])) == 1


def uses_a_list(x: float) -> float:
    return [x][0]


def uses_a_loop(x: float) -> float:
    for _ in range(3):
        x = x * x
    return x


def uses_numpy(x: float) -> float:
    return float(np.sin(x))


def uses_an_unknown_name(x: float) -> float:
    return x + NOWHERE  # type: ignore[name-defined]  # noqa: F821


def returns_nothing(x: float) -> None:
    del x


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (uses_a_list, r"\[x\]"),
        (uses_a_loop, "for _"),
        (uses_numpy, r"np.sin"),
        (uses_an_unknown_name, "NOWHERE"),
    ],
)
def test_what_kernels_do_not_know_is_refused(function: Callable[..., Any], what: str) -> None:
    with pytest.raises(
        TypeError, match=rf"(?s){function.__name__} uses '.*{what}.*which kernels do not know"
    ):
        Flattener(torch.float64, branches=True).apply(function, "x")


def test_functions_without_a_source_text_of_their_own_are_refused() -> None:
    shift = 1.0

    def captures(x: float) -> float:
        return x + shift

    with pytest.raises(TypeError, match="captures no variables"):
        Flattener(torch.float64, branches=True).apply(captures, "x")
