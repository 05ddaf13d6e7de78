"""Typed arithmetic as lines of source text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from lie.device import PowerSeries

Value = Any
"""A number known now (float or int), the name of one that is not (str), or a tuple of values."""


def whole_of(shifted: float) -> int:
    """Take the whole number ``k`` from ``k + 3 * 2**51``, or in float32 from ``k + 3 * 2**22``.

    Kernels take the bits of the sum, of which the lowest are those of ``k``; so the result is fit to be an
    exponent in ``math.ldexp`` and for nothing else.

    Args:
        shifted: The sum.

    Returns:
        The number.
    """
    return int(shifted - 3.0 * 2**51)


class StraightLines:
    """Collects operations on named numbers as lines of text.

    Equal operations are written once. Products with 0 and 1 and sums with 0 are left out.

    Args:
        dtype: ``torch.float32`` or ``torch.float64``.
        branches: Whether ``if`` stays a branch. Otherwise both sides are computed and one is selected.
        elementary: Functions that stand in for some of ``math``, by name.
    """

    def __init__(
        self,
        dtype: torch.dtype,
        branches: bool,
        elementary: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        self.dtype, self.branches, self.elementary = dtype, branches, dict(elementary or {})
        self._scalar = "np.float32" if dtype == torch.float32 else "np.float64"
        self._lines: list[str] = []
        self._known: dict[str, str] = {}
        self._depth = self._count = 0

    def lines(self, results: list[str]) -> list[str]:
        """Give the lines so far, without those that do not bear on the results.

        Args:
            results: Names of the numbers that are wanted.

        Returns:
            Lines of source text.
        """
        if self.branches:
            return self._lines
        needed, kept = set(results), []
        for line in reversed(self._lines):
            name, text = line.split(" = ", 1)
            if name in needed:
                needed.update(re.findall(r"\bt\d+\b", text))
                kept.append(line)
        return kept[::-1]

    def text(self, value: Value) -> str:
        """Write a value as an expression.

        Args:
            value: The value.

        Returns:
            The expression; numbers are typed.
        """
        if isinstance(value, tuple):
            return "(" + ", ".join(map(self.text, value)) + ",)"
        if isinstance(value, float):
            if math.isnan(value):
                return f"{self._scalar}(np.nan)"
            return repr(value) if self.dtype == torch.float64 else f"np.float32({value!r})"
        return f"np.int32({value})" if isinstance(value, int) else value

    def name(self, text: str) -> str:
        """Name the value of an expression, once.

        Args:
            text: The expression.

        Returns:
            The name.
        """
        if text not in self._known:
            self._known[text] = fresh = self._fresh()
            self._add(f"{fresh} = {text}")
        return self._known[text]

    def select(self, condition: str, a: Value, b: Value) -> Value:
        """Choose between two values that have been computed.

        Args:
            condition: Name of the condition.
            a: Value if it is true.
            b: Value if it is false.

        Returns:
            The value chosen.
        """
        if isinstance(a, tuple):
            return tuple(self.select(condition, x, y) for x, y in zip(a, b, strict=True))
        return a if a == b else self.name(f"{self.text(a)} if {condition} else {self.text(b)}")

    def fork(self, condition: str, sides: tuple[Callable[[], Value], Callable[[], Value]]) -> Value:
        """Compute one of two values, or both and choose.

        Args:
            condition: Name of the condition.
            sides: What computes the value if it is true, and if it is false.

        Returns:
            The value.
        """
        if not self.branches:
            return self.select(condition, sides[0](), sides[1]())
        first, second = self._side(sides[0]), self._side(sides[1])
        merged: list[tuple[str, Value, Value]] = []

        def join(a: Value, b: Value) -> Value:
            if isinstance(a, tuple):
                return tuple(map(join, a, b))
            if a == b:
                return a
            merged.append((self._fresh(), a, b))
            return merged[-1][0]

        value = join(first[0], second[0])
        pad = "    " * (self._depth + 1)
        for k, (header, (_, lines)) in enumerate(((f"if {condition}:", first), ("else:", second))):
            self._add(header)
            self._lines += lines
            tail = [f"{pad}{entry[0]} = {self.text(entry[1 + k])}" for entry in merged]
            self._lines += tail if tail or lines else [f"{pad}pass"]
        return value

    def _side(self, compute: Callable[[], Value]) -> tuple[Value, list[str]]:
        known, lines = self._known, self._lines
        self._known, self._lines, self._depth = dict(known), [], self._depth + 1
        value = compute()
        inner, self._known, self._lines, self._depth = self._lines, known, lines, self._depth - 1
        return value, inner

    def _fresh(self) -> str:
        self._count += 1
        return f"t{self._count}"

    def _add(self, line: str) -> None:
        self._lines.append("    " * self._depth + line)

    def operate(self, symbol: str, a: Value, b: Value) -> Value:
        """Add one operation.

        Args:
            symbol: The operator.
            a: Left operand.
            b: Right operand.

        Returns:
            The result.
        """
        if isinstance(a, float) and isinstance(b, float):
            return {"+": a + b, "-": a - b, "*": a * b, "/": a / (b or math.nan)}[symbol]
        if symbol == "*" and 0.0 in (a, b):
            return 0.0
        if (symbol == "*" and a == 1.0) or (symbol == "+" and a == 0.0):
            return b
        if (symbol in "*/" and b == 1.0) or (symbol in "+-" and b == 0.0):
            return a
        return self.name(f"{self.text(a)} {symbol} {self.text(b)}")

    def series(self, series: PowerSeries, x: Value) -> Value:
        """Sum a power series by Horner's rule, in fours of terms where it says so.

        Args:
            series: The series.
            x: The variable.

        Returns:
            The sum.
        """
        terms = [self.text(c) for c in series.terms(torch.finfo(self.dtype).eps)]
        if not series.fours:
            return self.name(_horner(terms, self.text(x)))
        square = self.operate("*", x, x)
        pairs = [_horner(terms[k : k + 2], self.text(x)) for k in range(0, len(terms), 2)]
        fours = [self.name(_horner(pairs[k : k + 2], square)) for k in range(0, len(pairs), 2)]
        return self.name(_horner(fours, self.operate("*", square, square)))

    def convert(self, kind: type, value: Value) -> Value:
        """Convert to a whole number, towards zero, or to a floating-point one.

        Args:
            kind: ``int`` or ``float``.
            value: The value.

        Returns:
            The value converted.
        """
        return self.name(f"{'np.int32' if kind is int else self._scalar}({self.text(value)})")

    def bits(self, value: Value) -> Value:
        """Take the bits of a number as a whole number.

        Args:
            value: The number.

        Returns:
            The whole number.
        """
        whole = "np.int32" if self._scalar == "np.float32" else "np.int64"
        return self.name(f"{self._scalar}({self.text(value)}).view({whole})")

    def scaled(self, value: Value, exponent: Value) -> Value:
        """Multiply by a power of two within the range of the dtype, built from its bits.

        Args:
            value: What to multiply.
            exponent: The exponent, a whole number.

        Returns:
            ``value * 2**exponent``.
        """
        whole, bias, place = ("np.int32", 127, 23) if self._scalar == "np.float32" else ("np.int64", 1023, 52)
        bits = f"{whole}(({whole}({self.text(exponent)}) + {bias}) << {place})"
        return self.operate("*", value, self.name(f"{bits}.view({self._scalar})"))


def _horner(terms: list[str], x: str) -> str:
    """A polynomial, lowest power first."""
    *rest, text = terms
    for c in reversed(rest):
        text = f"({text}) * {x} + {c}"
    return text
