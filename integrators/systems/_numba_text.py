"""User functions decorated with ``numba.njit`` as text of kernels and as torch functions."""

from __future__ import annotations

import ast
import builtins
import copy
import hashlib
import math
import re
from collections.abc import Callable
from typing import Any

import torch
from numba.core.dispatcher import Dispatcher
from torch import Tensor

from ._float_literals import write_floats
from ._function import KERNEL_FUNCTIONS, TORCH_FUNCTIONS
from ._numba_source import BUILTINS, Source, elementary_name, is_number, number, read_source

_RESERVED = ("exponential", "sine", "cosine", "hyperbolic_tangent", "logistic", "math", "np")


class _Translator(ast.NodeTransformer):
    """Replaces what the global names of a function stand for; a subclass knows the target."""

    def __init__(self, source: Source, active: tuple[Any, ...]) -> None:
        self.source, self.active = source, active

    def translate(self) -> ast.FunctionDef:
        node: ast.FunctionDef = self.visit(copy.deepcopy(self.source.node))
        return ast.fix_missing_locations(node)

    def helper(self, function: Dispatcher) -> str:
        """Translate another compiled function and give the name by which it is called."""
        raise NotImplementedError

    def elementary(self, name: str) -> ast.expr:
        """A function of ``math`` or ``numpy``."""
        raise NotImplementedError

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return node if node.id in self.source.local else self._global(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return self._global(node)

    def _global(self, node: ast.Name | ast.Attribute) -> ast.expr:
        value, name = self.source.value(node), self.source.name
        if isinstance(value, Dispatcher):
            if value in self.active:
                raise TypeError(f"{name}: {value.py_func.__name__} calls itself, which kernels do not know")
            return ast.Name(self.helper(value), ast.Load())
        if is_number(value):
            return number(value, name)
        if isinstance(node, ast.Name) and node.id in BUILTINS:
            return self.elementary(node.id)
        elementary = elementary_name(value)
        if elementary is not None:
            return self.elementary(elementary)
        what = f"'{ast.unparse(node)}'" + ("" if value is None else f", a {type(value).__name__}")
        raise TypeError(
            f"{name} uses {what}, which kernels do not know; use finite numbers, tuples of numbers,"
            " functions of math and numpy, and functions decorated with numba.njit"
        )


class _KernelTranslator(_Translator):
    """Text of a kernel: functions of our own that become vector code, helpers as functions beside it."""

    def __init__(self, source: Source, active: tuple[Any, ...], functions: dict[str, str]) -> None:
        super().__init__(source, active)
        self.functions = functions

    def helper(self, function: Dispatcher) -> str:
        return kernel_function(
            read_source(function, self.source.name), self.functions, (*self.active, function)
        )

    def elementary(self, name: str) -> ast.expr:
        if name in BUILTINS and name != "pow":
            return ast.Name(name, ast.Load())
        text = KERNEL_FUNCTIONS.get(name)
        if text is None and hasattr(math, name):
            text = f"math.{name}"
        if text is None:
            raise TypeError(f"{self.source.name} uses numpy.{name}, which kernels do not know; use math")
        return ast.parse(text, mode="eval").body

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.source.local and node.id in _RESERVED:
            return ast.Name(f"{node.id}_", node.ctx)
        return super().visit_Name(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(f"{node.arg}_") if node.arg in _RESERVED else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if elementary_name(self.source.value(node.func)) == "where" and len(node.args) == 3:
            test, yes, no = (self.visit(argument) for argument in node.args)
            return ast.IfExp(test, yes, no)
        node = ast.Call(self.visit(node.func), [self.visit(a) for a in node.args], node.keywords)
        return node


class _TorchTranslator(_Translator):
    """A function of tensors: helpers and elementary functions live in the namespace of its own."""

    def __init__(self, source: Source, active: tuple[Any, ...], namespace: dict[str, Any]) -> None:
        super().__init__(source, active)
        self.namespace = namespace

    def helper(self, function: Dispatcher) -> str:
        inner = torch_function(read_source(function, self.source.name), (*self.active, function))
        name = f"_helper_{len(self.namespace)}"
        self.namespace[name] = inner
        return name

    def elementary(self, name: str) -> ast.expr:
        self.namespace[f"_{name}"] = _torch_elementary(name, self.source.name)
        return ast.Name(f"_{name}", ast.Load())

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        return self._own(
            _choose, self.visit(node.test), _later(self.visit(node.body)), _later(self.visit(node.orelse))
        )

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        function = _both if isinstance(node.op, ast.And) else _either
        first, *others = (self.visit(value) for value in node.values)
        for other in others:
            first = self._own(function, first, _later(other))
        return first

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return self._own(_opposite, operand)
        return ast.UnaryOp(node.op, operand)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        values = [self.visit(value) for value in (node.left, *node.comparators)]
        pairs = [ast.Compare(a, [op], [b]) for a, op, b in zip(values, node.ops, values[1:])]
        first: ast.expr = pairs[0]
        for pair in pairs[1:]:
            first = self._own(_both, first, _later(pair))
        return first

    def _own(self, function: Callable[..., Any], *arguments: ast.expr) -> ast.expr:
        self.namespace[function.__name__] = function
        return ast.Call(ast.Name(function.__name__, ast.Load()), list(arguments), [])


def kernel_function(source: Source, functions: dict[str, str], active: tuple[Any, ...] = ()) -> str:
    """Add the text of a function, and of those that it calls, to the functions of a kernel.

    Args:
        source: The function.
        functions: Texts by name, in the order in which they need one another.
        active: Functions that are being translated.

    Returns:
        The name; it begins with ``inline_`` and depends on the text alone.
    """
    node = write_floats(_KernelTranslator(source, active, functions).translate())
    node.name = "function"
    digest = hashlib.sha256(ast.unparse(node).encode()).hexdigest()[:10]
    node.name = f"inline_{re.sub(r'[^0-9a-zA-Z]+', '_', source.function.__name__).strip('_')}_{digest}"
    functions.setdefault(node.name, ast.unparse(node))
    return node.name


def torch_function(source: Source, active: tuple[Any, ...] = ()) -> Callable[..., Any]:
    """The same function with torch in place of ``math`` and ``numpy``.

    Args:
        source: The function.
        active: Functions that are being translated.

    Returns:
        A function of tensors and tuples of tensors.
    """
    namespace: dict[str, Any] = {}
    node = _TorchTranslator(source, active, namespace).translate()
    exec(compile(ast.unparse(node), f"<{source.name} in torch>", "exec"), namespace)
    function: Callable[..., Any] = namespace[node.name]
    return function


def _later(value: ast.expr) -> ast.expr:
    return ast.Lambda(ast.arguments([], [], None, [], [], None, []), value)


def _both(first: Any, second: Callable[[], Any]) -> Any:
    """``first and second()``."""
    return (
        torch.logical_and(first, torch.as_tensor(second()))
        if isinstance(first, Tensor)
        else first and second()
    )


def _either(first: Any, second: Callable[[], Any]) -> Any:
    """``first or second()``."""
    return (
        torch.logical_or(first, torch.as_tensor(second())) if isinstance(first, Tensor) else first or second()
    )


def _opposite(value: Any) -> Any:
    """``not value``."""
    return torch.logical_not(value) if isinstance(value, Tensor) else not value


def _choose(condition: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """``yes() if condition else no()``; of tensors both sides are computed."""
    if not isinstance(condition, Tensor):
        return yes() if condition else no()
    return _select(condition, yes(), no())


def _select(condition: Any, yes: Any, no: Any) -> Any:
    if isinstance(yes, tuple):
        return tuple(_select(condition, a, b) for a, b in zip(yes, no, strict=True))
    if not isinstance(condition, Tensor):
        return yes if condition else no
    if not isinstance(yes, Tensor) and not isinstance(no, Tensor):
        yes = torch.tensor(float(yes), dtype=torch.float64, device=condition.device)
    return torch.where(condition, yes, no)


def _float(x: Any) -> Any:
    return x if isinstance(x, Tensor) else float(x)


def _extreme(name: str) -> Callable[..., Any]:
    pair, plain = TORCH_FUNCTIONS[name], {"maximum": max, "minimum": min}[name]

    def extreme(*values: Any) -> Any:
        entries = values[0] if len(values) == 1 else values
        first, *others = entries
        for other in others:
            tensors = isinstance(first, Tensor) or isinstance(other, Tensor)
            first = pair(first, other) if tensors else plain(first, other)
        return first

    return extreme


def _torch_elementary(name: str, user: str) -> Callable[..., Any]:
    if name in ("maximum", "max"):
        return _extreme("maximum")
    if name in ("minimum", "min"):
        return _extreme("minimum")
    if name == "where":
        return _select
    if name == "float":
        return _float
    if name in BUILTINS and name != "pow":
        plain: Callable[..., Any] = vars(builtins)[name]
        return plain
    tensor = TORCH_FUNCTIONS.get(name, getattr(torch, name, None))
    known: dict[str, Callable[..., Any]] = {"power": pow, "sign": lambda x: (x > 0) - (x < 0)}
    scalar: Callable[..., Any] | None = known.get(name, getattr(math, name, None))
    if tensor is None or scalar is None:
        raise TypeError(f"{user} uses {name}, which torch does not have; write it with other functions")

    def function(*values: Any) -> Any:
        like = next((v for v in values if isinstance(v, Tensor)), None)
        if like is None:
            return scalar(*values)
        return tensor(
            *(
                v if isinstance(v, Tensor) else torch.as_tensor(v, dtype=like.dtype, device=like.device)
                for v in values
            )
        )

    return function
