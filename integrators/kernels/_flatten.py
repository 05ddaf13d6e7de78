"""Scalar functions as straight lines of typed arithmetic, with all that they call written out in place.

In float32 every literal must say so, or numba computes in float64; and a loop over lanes becomes vector code
only when no call and no branch is left in it.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, get_args, get_type_hints

import torch

from lie.device import PowerSeries

from ._straight_lines import StraightLines, Value, whole_of

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.BitAnd: "&",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==",
}  # fmt: skip


class Flattener(StraightLines):
    """Collects the lines of scalar functions applied to named numbers.

    A function may assign, branch and return; use arithmetic, comparisons, tuples indexed by constants,
    ``math``, ``PowerSeries`` (written out with the terms that the dtype needs), constants of its module and
    other such functions.
    """

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
            if name == "ldexp":
                return self._out.scaled(*arguments)
            stand_in = self._out.elementary.get(name)
            if stand_in is None:
                return self._out.name(f"math.{name}({', '.join(map(self._out.text, arguments))})")
            called = stand_in
        if called is float or called is int:
            return self._out.convert(called, *arguments)
        if called is whole_of:
            return self._out.bits(*arguments)
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
