"""Scalar functions as straight lines of typed arithmetic, with all that they call written out in place.

In float32 every literal must say so, or numba computes in float64; and a loop over lanes becomes vector code
only when no call and no branch is left in it.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import re
import textwrap
from collections.abc import Callable, Mapping
from functools import cache
from types import FunctionType
from typing import Any, get_args, get_type_hints

import torch

from lie.device import PowerSeries

Value = Any
"""A number known now (float or int), the name of one that is not (str), or a tuple of values."""

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.BitAnd: "&",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==",
}  # fmt: skip


class Flattener:
    """Collects the lines of scalar functions applied to named numbers.

    A function may assign, branch and return; use arithmetic, comparisons, tuples indexed by constants,
    ``math``, ``PowerSeries`` (written out with the terms that the dtype needs), constants of its module and
    other such functions. Equal operations are written once. Products with 0 and 1 and sums with 0 are left
    out.

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

    def apply(self, function: Callable[..., Any], *values: Value) -> Value:
        """Add the lines of a function of given arguments.

        Args:
            function: The function.
            *values: Its arguments.

        Returns:
            Its value.

        Raises:
            TypeError: If it uses what kernels do not know.
        """
        body = _definition(function)
        scope = dict(zip((a.arg for a in body.args.args), values, strict=True))
        result = _Call(self, function, scope).run(body.body)
        if result is None:
            raise TypeError(f"{function.__qualname__} must return a value.")
        return result

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
            self._lines += [f"{pad}{entry[0]} = {self.text(entry[1 + k])}" for entry in merged]
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
        """Sum a power series by Horner's rule.

        Args:
            series: The series.
            x: The variable.

        Returns:
            The sum.
        """
        text, *rest = [self.text(c) for c in reversed(series.terms(torch.finfo(self.dtype).eps))]
        for c in rest:
            text = f"({text}) * {self.text(x)} + {c}"
        return self.name(text)

    def convert(self, kind: type, value: Value) -> Value:
        """Convert to a whole number, towards zero, or to a floating-point one.

        Args:
            kind: ``int`` or ``float``.
            value: The value.

        Returns:
            The value converted.
        """
        return self.name(f"{'np.int32' if kind is int else self._scalar}({self.text(value)})")


class _Call:
    """Evaluates the statements of one call."""

    def __init__(self, out: Flattener, function: Callable[..., Any], scope: dict[str, Value]) -> None:
        self._out, self._function, self._scope = out, function, scope

    def run(self, statements: list[ast.stmt]) -> Value:
        for k, statement in enumerate(statements):
            if isinstance(statement, ast.Return) and statement.value is not None:
                return self.value(statement.value)
            if isinstance(statement, ast.If):
                rest = statements[k + 1 :]
                if _returns(statement.body):
                    return self._out.fork(
                        self.value(statement.test),
                        (self._later(statement.body), self._later([*statement.orelse, *rest])),
                    )
                self._merge(statement)
            elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                self._assign(statement.targets[0], self.value(statement.value))
            elif not isinstance(statement, ast.Expr):
                raise self._refusal(statement)
        return None

    def _later(self, statements: list[ast.stmt]) -> Callable[[], Value]:
        return lambda: _Call(self._out, self._function, dict(self._scope)).run(statements)

    def _merge(self, statement: ast.If) -> None:
        """An ``if`` that assigns: the names that differ afterwards are chosen."""
        scopes = []

        def side(statements: list[ast.stmt]) -> Callable[[], Value]:
            def compute() -> Value:
                call = _Call(self._out, self._function, dict(self._scope))
                call.run(statements)
                scopes.append(call._scope)
                return tuple(call._scope[name] for name in names)

            return compute

        names = sorted(self._scope)
        chosen = self._out.fork(self.value(statement.test), (side(statement.body), side(statement.orelse)))
        self._scope.update(zip(names, chosen, strict=True))

    def _assign(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Tuple):
            for part, item in zip(target.elts, value, strict=True):
                self._assign(part, item)
        elif isinstance(target, ast.Name):
            self._scope[target.id] = value
        else:
            raise self._refusal(target)

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=float() | int()):
                return node.value
            case ast.Tuple():
                return sum((self._parts(part) for part in node.elts), ())
            case ast.Name():
                return self._look_up(node)
            case ast.Subscript(slice=ast.Constant(value=int(index))):
                return self.value(node.value)[index]
            case ast.Subscript(slice=ast.Slice(lower=lower, upper=upper, step=None)):
                return self.value(node.value)[_constant(lower) : _constant(upper)]
            case ast.UnaryOp(op=ast.USub()):
                value = self.value(node.operand)
                return -value if isinstance(value, float) else self._out.name(f"-{self._out.text(value)}")
            case ast.BinOp() if type(node.op) in _OPERATORS:
                return self._out.operate(
                    _OPERATORS[type(node.op)], self.value(node.left), self.value(node.right)
                )
            case ast.Compare(ops=[op], comparators=[right]) if type(op) in _OPERATORS:
                a, b = self._out.text(self.value(node.left)), self._out.text(self.value(right))
                return self._out.name(f"{a} {_OPERATORS[type(op)]} {b}")
            case ast.IfExp():
                condition = self.value(node.test)
                return self._out.select(condition, self.value(node.body), self.value(node.orelse))
            case ast.Call(keywords=[]):
                return self._call(node)
        raise self._refusal(node)

    def _parts(self, node: ast.expr) -> tuple[Value, ...]:
        return self.value(node.value) if isinstance(node, ast.Starred) else (self.value(node),)

    def _call(self, node: ast.Call) -> Value:
        arguments = tuple(map(self.value, node.args))
        called: Any = None
        match node.func:
            case ast.Name(id=name) if name not in self._scope:
                called = self._function.__globals__.get(name, getattr(builtins, name, None))
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                called = getattr(self._function.__globals__.get(module), name, None)
        if getattr(called, "__module__", None) == "math":
            stand_in = self._out.elementary.get(name)
            if stand_in is None:
                return self._out.name(f"math.{name}({', '.join(map(self._out.text, arguments))})")
            called = stand_in
        if called is float or called is int:
            return self._out.convert(called, *arguments)
        if called is abs:
            return self._out.name(f"abs({self._out.text(arguments[0])})")
        if called is max and len(arguments) == 2:
            return self._out.select(self._out.name(f"{arguments[0]} > {arguments[1]}"), *arguments)
        if isinstance(called, PowerSeries):
            return self._out.series(called, *arguments)
        if isinstance(called, FunctionType):
            return self._out.apply(called, *arguments)
        raise self._refusal(node)

    def _look_up(self, node: ast.Name) -> Value:
        value = self._scope.get(node.id, self._function.__globals__.get(node.id))
        if isinstance(value, (float, str, tuple)):
            return value
        raise self._refusal(node)

    def _refusal(self, node: ast.AST) -> TypeError:
        return TypeError(
            f"{self._function.__qualname__} uses '{ast.unparse(node)}', which kernels do not know."
        )


def _constant(node: ast.expr | None) -> int | None:
    return None if node is None else ast.literal_eval(node)


def _returns(statements: list[ast.stmt]) -> bool:
    return isinstance(statements[-1], ast.Return)


@cache
def _definition(function: Callable[..., Any]) -> ast.FunctionDef:
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(node, ast.FunctionDef) or getattr(function, "__closure__", None):
        raise TypeError(f"{function!r} must be a def statement that captures no variables.")
    return node


def arguments(function: Callable[..., Any]) -> dict[str, int]:
    """Read from its annotations how many numbers each argument of a function has.

    Args:
        function: Its arguments are annotated as ``float`` or as tuples of floats.

    Returns:
        The length of each tuple; 0 for a float.
    """
    hints = get_type_hints(function)
    return {a.arg: len(get_args(hints[a.arg])) for a in _definition(function).args.args}


def function_text(function: Callable[..., Any], name: str, dtype: torch.dtype) -> str:
    """Write a scalar function out as one, with nothing but ``math`` called.

    Args:
        function: The function, its arguments annotated.
        name: Name of the result.
        dtype: ``torch.float32`` or ``torch.float64``.

    Returns:
        Source text.
    """
    out = Flattener(dtype, branches=True)
    sizes = arguments(function)
    unpacked = {a: tuple(f"{a}_{k}" for k in range(n)) if n else a for a, n in sizes.items()}
    result = out.text(out.apply(function, *unpacked.values()))
    heads = [f"{out.text(parts)} = {a}" for a, parts in unpacked.items() if sizes[a]]
    lines = [f"def {name}({', '.join(sizes)}):", *heads, *out.lines([]), f"return {result}"]
    return "\n    ".join(lines)
