"""Whether an expression vanishes identically."""

from __future__ import annotations

import random

import sympy

_DIGITS = 60
_POINTS = 4


def vanishes(expression: sympy.Expr) -> bool:
    """Whether an expression is zero for all values of its symbols.

    Expanded first; what does not become zero by that is evaluated with 60 digits at random points, where an
    expression that is not zero identically is zero with probability zero.

    Args:
        expression: The expression.

    Returns:
        Whether it is zero.
    """
    e = sympy.sympify(expression)
    if e.is_zero or e == 0 or sympy.expand(e) == 0:
        return True
    if not e.free_symbols and e.is_Number:
        return False
    generator, symbols = random.Random(1), sorted(e.free_symbols, key=lambda s: s.name)
    terms = [abs(a) for a in sympy.Add.make_args(sympy.expand(e))]
    looked = 0
    for _ in range(8 * _POINTS):
        point = {s: sympy.Rational(generator.randint(1, 10**6), 10**6 + 3) for s in symbols}
        value, size = (_value(x, point) for x in (e, sum(terms, sympy.Integer(1))))
        if value is None or size is None:
            continue
        if abs(value) > 10 ** -(_DIGITS // 2) * abs(size):
            return False
        looked += 1
        if looked == _POINTS:
            break
    return looked > 0


def _value(e: sympy.Expr, point: dict[sympy.Symbol, sympy.Rational]) -> complex | None:
    value = sympy.N(e.subs(point), _DIGITS)
    if not value.is_number or value.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        return None
    return value
