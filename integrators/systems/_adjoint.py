"""Gradients of expressions backwards through their inner sums, which are computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy


@dataclass(frozen=True)
class Staged:
    """Expressions of variables and of inner values.

    Attributes:
        definitions: Symbols of the inner values and their expressions, each of variables and of symbols
            before it.
        outputs: The expressions.
    """

    definitions: tuple[tuple[sympy.Symbol, sympy.Expr], ...]
    outputs: tuple[sympy.Expr, ...]

    def __neg__(self) -> Staged:
        """The opposite expressions."""
        return Staged(self.definitions, tuple(-e for e in self.outputs))


def staged_gradient(expression: sympy.Expr, variables: Sequence[sympy.Symbol]) -> Staged:
    """Differentiate in reverse mode with respect to the sums inside powers and functions.

    The stretch of a spring or the distance of two bodies is computed once, and so is the force along it that
    acts on both ends; differentiating with respect to each variable would multiply the sums out.

    Args:
        expression: What to differentiate.
        variables: With respect to what.

    Returns:
        The gradient.
    """
    wanted = set(variables)
    inner: dict[sympy.Expr, sympy.Symbol] = {}

    def stage(e: sympy.Expr, inside: bool) -> sympy.Expr:
        if e.is_Atom or not (e.free_symbols & wanted):
            return e
        nonlinear = e.is_Pow or e.is_Function
        staged = e.func(*[stage(a, inside=inside or nonlinear) for a in e.args])
        if not (inside and staged.is_Add):
            return staged
        sign = -1 if staged.could_extract_minus_sign() else 1
        return sign * inner.setdefault(sign * staged, sympy.Dummy(f"w_{len(inner)}", real=True))

    outer = stage(expression, inside=False)
    definitions = [(symbol, value) for value, symbol in inner.items()]
    slopes: list[tuple[sympy.Symbol, sympy.Expr]] = []
    total: dict[sympy.Symbol, list[sympy.Expr]] = {}

    def spread(value: sympy.Expr, slope: sympy.Expr) -> None:
        for symbol in sorted(value.free_symbols & {*wanted, *inner.values()}, key=str):
            total.setdefault(symbol, []).append(slope * sympy.diff(value, symbol))

    spread(outer, sympy.Integer(1))
    for symbol, value in reversed(definitions):
        if symbol in total:
            slope = sympy.Dummy(f"g{symbol.name}", real=True)
            factor, rest = sympy.Add(*total[symbol]).as_coeff_Mul()
            slopes.append((slope, rest))
            spread(value, factor * slope)
    gradient = tuple(sympy.Add(*total.get(v, [])) for v in variables)
    return Staged((*definitions, *slopes), gradient)
