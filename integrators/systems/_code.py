"""Straight-line code of symbolic expressions, shared by torch functions and kernels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sympy

FUNCTIONS: dict[type, str] = {
    sympy.sin: "sin",
    sympy.cos: "cos",
    sympy.tan: "tan",
    sympy.exp: "exp",
    sympy.log: "log",
    sympy.sinh: "sinh",
    sympy.cosh: "cosh",
    sympy.tanh: "tanh",
    sympy.asin: "asin",
    sympy.acos: "acos",
    sympy.atan: "atan",
    sympy.atan2: "atan2",
    sympy.Abs: "abs",
    sympy.sign: "sign",
}
_SQUARINGS = 64  # integer powers up to here are products, as accurate as the machine's multiplication


@dataclass(frozen=True)
class Code:
    """Assignments in order, and the text of each result.

    Attributes:
        lines: Pairs of a variable and its expression in the names of ``FUNCTIONS``.
        results: One expression per output.
    """

    lines: tuple[tuple[str, str], ...]
    results: tuple[str, ...]


def generate(
    expressions: Iterable[sympy.Expr],
    prefix: str = "s",
    definitions: Sequence[tuple[sympy.Symbol, sympy.Expr]] = (),
) -> Code:
    """Turn expressions into straight-line code with common subexpressions taken out.

    Args:
        expressions: What to compute; their symbols are the variables that the code reads.
        prefix: Beginning of the names of intermediate variables.
        definitions: Values that the expressions read under symbols of their own, each of which may read
            those before it.

    Returns:
        The code.

    Raises:
        ValueError: If an expression contains something that has no code.
    """
    everything = [*(e for _, e in definitions), *expressions]
    smooth = [e.replace(sympy.Heaviside, lambda x, *_: (1 + sympy.sign(x)) / 2) for e in everything]
    replaced, reduced = sympy.cse(smooth, symbols=sympy.numbered_symbols(f"{prefix}_"))
    results = reduced[len(definitions) :]
    needed = dict(replaced) | {symbol: e for (symbol, _), e in zip(definitions, reduced)}
    writer = _Writer(prefix)

    def write(e: sympy.Expr) -> str:
        for symbol in sorted(e.free_symbols, key=str):
            value = needed.pop(symbol, None)
            if value is not None:
                writer.lines.append((symbol.name, write(value)))
        return writer.text(e)

    texts = tuple(write(e) for e in results)
    return Code(tuple(writer.lines), texts)


class _Writer:
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.lines: list[tuple[str, str]] = []
        self.known: dict[str, str] = {}

    def text(self, e: sympy.Expr) -> str:
        if e.is_Symbol:
            return e.name
        if e.is_number:
            return _number(e)
        if e.is_Add:
            return "(" + " + ".join(self.text(term) for term in e.args) + ")"
        if e.is_Mul:
            return self._quotient(e)
        if e.is_Pow:
            return self._power(e.base, e.exp)
        if e.func is sympy.exp or e.func in FUNCTIONS:
            return f"{FUNCTIONS[e.func]}({', '.join(self.text(a) for a in e.args)})"
        if isinstance(e, (sympy.Max, sympy.Min)):
            name = "maximum" if isinstance(e, sympy.Max) else "minimum"
            first, *others = (self.text(a) for a in e.args)
            for other in others:
                first = f"{name}({first}, {other})"
            return first
        if e.has(sympy.DiracDelta):
            raise ValueError(
                "expression: the derivative of sign or of a step has no code; make it smooth, as in tanh(x/w)"
            )
        raise ValueError(
            f"expression: {e.func.__name__} has no code; use sums, products, powers and "
            f"{', '.join(sorted(FUNCTIONS.values()))}, maximum and minimum"
        )

    def _quotient(self, e: sympy.Mul) -> str:
        over, under = [], []
        for factor in e.args:
            if factor.is_Pow and factor.exp.is_number and factor.exp.is_negative:
                under.append(self._power(factor.base, -factor.exp))
            elif factor.is_Rational and factor.p == 1 and factor.q != 1:
                under.append(_number(sympy.Integer(factor.q)))
            else:
                over.append(self.text(factor))
        top = " * ".join(over) or "1.0"
        if top == "-1.0" and not under:
            return "(-1.0)"
        return f"({top} / ({' * '.join(under)}))" if under else f"({top})"

    def _power(self, base: sympy.Expr, exponent: sympy.Expr) -> str:
        if exponent.is_number and exponent.is_negative:
            return f"(1.0 / {self._power(base, -exponent)})"
        quarters = 4 * exponent
        if exponent.is_number and quarters.is_Integer and int(quarters) <= 4 * _SQUARINGS:
            whole, rest = divmod(int(quarters), 4)
            name = self._variable(self.text(base))
            factors = [self._integer_power(name, whole)] if whole else []
            root = self._variable(f"sqrt({name})") if rest else ""
            factors += [[], [f"sqrt({root})"], [root], [root, f"sqrt({root})"]][rest]
            return "(" + " * ".join(factors) + ")"
        return f"power({self.text(base)}, {self.text(exponent)})"

    def _integer_power(self, name: str, n: int) -> str:
        factors, square = [], name
        while n:
            if n & 1:
                factors.append(square)
            n >>= 1
            if n:
                square = self._variable(f"{square} * {square}")
        return " * ".join(factors)

    def _variable(self, text: str) -> str:
        if text.isidentifier():
            return text
        if text not in self.known:
            name = f"{self.prefix}p_{len(self.known)}"
            self.known[text] = name
            self.lines.append((name, text))
        return self.known[text]


def _number(e: sympy.Expr) -> str:
    try:
        value = float(e)
    except TypeError as error:
        raise ValueError(f"expression: expected real numbers, got {e}") from error
    if value != value or abs(value) == float("inf"):
        raise ValueError(f"expression: expected finite numbers, got {e}")
    return repr(value)
