"""Reading functions that users have decorated with ``numba.njit``."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher

BUILTINS = ("abs", "bool", "enumerate", "float", "int", "len", "max", "min", "pow", "range", "zip")
_REFUSED: dict[type[ast.AST], str] = {
    ast.FunctionDef: "a function inside",
    ast.Lambda: "a lambda inside",
    ast.ListComp: "a list comprehension",
    ast.GeneratorExp: "a generator",
    ast.DictComp: "a dict comprehension",
    ast.SetComp: "a set comprehension",
    ast.Import: "an import",
    ast.ImportFrom: "an import",
    ast.Global: "a global statement",
    ast.Nonlocal: "a nonlocal statement",
    ast.Try: "a try statement",
    ast.With: "a with statement",
    ast.Yield: "a yield",
    ast.Raise: "a raise statement",
    ast.JoinedStr: "a formatted string",
}


@dataclass(frozen=True)
class Source:
    """A function and what its names stand for.

    Attributes:
        function: The Python function.
        node: Its definition; without decorators, annotations and docstring, defaults as numbers.
        local: Names of arguments and variables.
        name: How it is called in messages.
    """

    function: FunctionType
    node: ast.FunctionDef
    local: frozenset[str]
    name: str

    @property
    def arguments(self) -> list[str]:
        """Names of the arguments in order."""
        return [a.arg for a in self.node.args.args]

    def value(self, node: ast.AST) -> Any:
        """What a global name or an attribute of a module stands for; ``None`` for anything else.

        Args:
            node: Part of the function.

        Returns:
            The object.

        Raises:
            TypeError: If the name has no value.
        """
        if isinstance(node, ast.Name) and node.id not in self.local:
            found = self.function.__globals__.get(node.id, getattr(builtins, node.id, None))
            if found is None:
                raise TypeError(f"{self.name}: {node.id} is not defined")
            return found
        if isinstance(node, ast.Attribute):
            owner = self.value(node.value)
            if isinstance(owner, ModuleType) and hasattr(owner, node.attr):
                return getattr(owner, node.attr)
        return None


def read_source(function: Any, argument: str) -> Source:
    """Read the definition of a compiled function.

    Args:
        function: What ``numba.njit`` returned.
        argument: Name of the argument of ours that it was given for, for messages.

    Returns:
        The definition.

    Raises:
        TypeError: If it is not compiled, captures variables, cannot be read, or has what kernels do not know.
    """
    if not isinstance(function, Dispatcher):
        raise TypeError(
            f"{argument}: expected a function decorated with numba.njit, got {function!r}; decorate it, or"
            " give a torch function or module as potential="
        )
    python: FunctionType = function.py_func
    name = f"{argument}: {python.__qualname__}"
    if python.__code__.co_freevars:
        captured = ", ".join(python.__code__.co_freevars)
        raise TypeError(
            f"{name} captures {captured} from the function around it, whose values a compiled kernel cannot"
            " keep up with; make them numbers of the module, or arguments with values in parameters="
        )
    node = _definition(python, name)
    for part in ast.walk(node):
        if type(part) in _REFUSED and part is not node:
            raise TypeError(
                f"{name} has {_REFUSED[type(part)]} in line {part.lineno}, which kernels do not know; "  # type: ignore[attr-defined]
                "use arithmetic, math, loops over ranges, tuples and other njit functions"
            )
    if node.args.kwonlyargs or node.args.vararg or node.args.kwarg or node.args.posonlyargs:
        raise TypeError(f"{name}: expected plain arguments, without *, / and **")
    return Source(python, node, frozenset(_assigned(node)), name)


def _assigned(node: ast.FunctionDef) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.arg):
            yield part.arg
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id


def _definition(python: FunctionType, name: str) -> ast.FunctionDef:
    anonymous = python.__name__ == "<lambda>"
    try:
        text = "".join(inspect.findsource(python)[0]) if anonymous else inspect.getsource(python)
        tree = ast.parse(textwrap.dedent(text))
    except (OSError, TypeError, SyntaxError) as error:
        raise TypeError(
            f"{name}: its source cannot be read ({error}); define it with def in a file or a notebook cell"
        ) from error
    node = _lambda(tree, python, name) if anonymous else tree.body[0]
    if not isinstance(node, ast.FunctionDef):
        raise TypeError(f"{name}: its source is no function; define it with def in a file or a notebook cell")
    node.decorator_list, node.returns = [], None
    for argument in node.args.args:
        argument.annotation = None
    node.args.defaults = [number(value, name) for value in python.__defaults__ or ()]
    if ast.get_docstring(node) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    return node


def _lambda(tree: ast.Module, python: FunctionType, name: str) -> ast.FunctionDef:
    """The lambda of a statement, as a definition."""
    line = python.__code__.co_firstlineno
    found = [part for part in ast.walk(tree) if isinstance(part, ast.Lambda) and part.lineno == line]
    same = [part for part in found if _same_code(part, python.__code__)]
    texts = {ast.unparse(part) for part in same}
    if len(texts) != 1:
        raise TypeError(f"{name}: cannot tell which of the lambdas of its line it is; define it with def")
    body: list[ast.stmt] = [ast.Return(same[0].body, lineno=same[0].lineno, col_offset=0)]
    node = ast.parse("def function(): pass").body[0]
    if not isinstance(node, ast.FunctionDef):
        raise TypeError(name)
    node.args, node.body, node.name = same[0].args, body, "function"
    return node


def _same_code(node: ast.Lambda, code: CodeType) -> bool:
    compiled = compile(ast.unparse(node), "lambda", "eval").co_consts[0]
    return all(
        getattr(compiled, key) == getattr(code, key)
        for key in ("co_code", "co_consts", "co_names", "co_varnames")
    )


def number(value: Any, name: str) -> ast.expr:
    """A number, or a tuple of numbers, as an expression.

    Args:
        value: The number.
        name: What has it, for messages.

    Returns:
        The expression.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(value, (bool, np.bool_)):
        return ast.Constant(bool(value))
    if isinstance(value, (int, np.integer)):
        return _signed(int(value))
    if isinstance(value, (float, np.floating)) and np.isfinite(value):
        return _signed(float(value))
    if isinstance(value, tuple):
        return ast.Tuple([number(v, name) for v in value], ast.Load())
    raise TypeError(
        f"{name} uses {value!r} of type {type(value).__name__}, which kernels do not know; use finite"
        " numbers, tuples of numbers, functions of math and numpy, and functions decorated with numba.njit"
    )


def _signed(value: float) -> ast.expr:
    constant = ast.Constant(abs(value))
    return ast.UnaryOp(ast.USub(), constant) if value < 0 else constant


def is_number(value: Any) -> bool:
    """Whether a global value is frozen as a literal."""
    return isinstance(value, (bool, np.bool_, int, np.integer, float, np.floating, tuple))


def elementary_name(value: Any) -> str | None:
    """The common name of a function of ``math`` or ``numpy``; ``None`` for anything else.

    Args:
        value: The function.

    Returns:
        Such as ``"sin"``, ``"maximum"``, ``"where"``.
    """
    name = getattr(value, "__name__", "")
    from_math = getattr(value, "__module__", "") == "math"
    from_numpy = getattr(np, name, None) is value
    if not callable(value) or not (from_math or from_numpy):
        return None
    return _ALIASES.get(name, name)


_ALIASES = {
    "absolute": "abs", "arccos": "acos", "arcsin": "asin", "arctan": "atan", "arctan2": "atan2",
    "fabs": "abs", "fmax": "maximum", "fmin": "minimum", "arccosh": "acosh",
    "arcsinh": "asinh", "arctanh": "atanh", "float_power": "power", "pow": "power",
}  # fmt: skip
