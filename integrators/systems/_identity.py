"""Whether an expression vanishes identically."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import mpmath
import sympy

from ._code import FUNCTIONS

_DIGITS = 60
_POINTS = 6
_EXACT, _MEASURED = mpmath.mpf(10) ** -30, mpmath.mpf(10) ** -11
Values = dict[sympy.Symbol, Any]


def vanishes(expression: sympy.Expr) -> bool:
    """Whether an expression is zero for all values of its symbols.

    It is evaluated with 60 digits at random points where it is real, with positive, negative and mixed
    coordinates: what is not zero identically is zero there with probability zero. Numbers with a decimal
    point are taken to be known to eleven digits.

    Args:
        expression: The expression.

    Returns:
        Whether it is zero.
    """
    e = sympy.sympify(expression)
    if e.is_Number or not e.free_symbols:
        return bool(e == 0) or (not e.is_Number and _zero(e, {}) is True)
    generator, symbols = random.Random(1), sorted(e.free_symbols, key=lambda s: s.name)
    looked = 0
    for k in range(8 * _POINTS):
        signs = [(1, -1, generator.choice((1, -1)))[k % 3] for _ in symbols]
        with mpmath.workdps(_DIGITS):
            point = {
                s: sign * mpmath.mpf(generator.randint(1, 10**6)) / (10**6 + 3)
                for s, sign in zip(symbols, signs, strict=True)
            }
        zero = _zero(e, point)
        if zero is False:
            return False
        looked += zero is True
        if looked == _POINTS:
            break
    return looked > 0


def depends_on(expression: sympy.Expr, symbols: Iterable[sympy.Symbol]) -> bool:
    """Whether an expression changes with any of some symbols.

    Args:
        expression: The expression.
        symbols: The symbols.

    Returns:
        Whether a derivative does not vanish.
    """
    own = expression.free_symbols
    return any(s in own and not vanishes(sympy.diff(expression, s)) for s in symbols)


def _zero(e: sympy.Expr, point: Values) -> bool | None:
    """Whether it is zero to rounding at a point; None where it has no value."""
    with mpmath.workdps(_DIGITS):
        try:
            value, size = _value(e, point, {})
        except (ZeroDivisionError, OverflowError, ValueError):
            return None
        if not (mpmath.isfinite(value) and mpmath.isfinite(size)):
            return None
        return bool(abs(value) <= (_MEASURED if e.has(sympy.Float) else _EXACT) * size)


def _value(e: sympy.Expr, point: Values, known: dict[sympy.Expr, tuple[Any, Any]]) -> tuple[Any, Any]:
    """Value, and a size that does not shrink where terms cancel."""
    if e not in known:
        known[e] = _combined(e, point, known)
        if isinstance(known[e][0], mpmath.mpc):
            raise ValueError(f"{e} is not real")
    return known[e]


def _combined(e: sympy.Expr, point: Values, known: dict[sympy.Expr, tuple[Any, Any]]) -> tuple[Any, Any]:
    if e in point:
        return point[e], abs(point[e])
    if not e.args:
        number = mpmath.mpmathify(str(e)) if e.is_Float else mpmath.mpmathify(sympy.N(e, _DIGITS))
        return number, abs(number)
    values, sizes = zip(*(_value(a, point, known) for a in e.args), strict=True)
    if e.is_Add:
        return mpmath.fsum(values), mpmath.fsum(sizes)
    if e.is_Mul:
        return mpmath.fprod(values), mpmath.fprod(sizes)
    if e.is_Pow:
        value = values[0] ** values[1]
        return value, abs(value) * (sizes[0] / abs(values[0]) if values[0] else 1)
    value = _function(e, values)
    return value, max([abs(value), *(min(size, mpmath.mpf(1)) for size in sizes)])


def _function(e: sympy.Expr, values: tuple[Any, ...]) -> Any:
    if isinstance(e, (sympy.Max, sympy.Min)):
        return (max if isinstance(e, sympy.Max) else min)(values)
    if e.func is sympy.Abs:
        return abs(values[0])
    name = FUNCTIONS.get(e.func)
    if name is not None:
        return getattr(mpmath, name)(*values)
    return mpmath.mpmathify(sympy.N(e.func(*(sympy.Float(str(v), _DIGITS) for v in values)), _DIGITS))
