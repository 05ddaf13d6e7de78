"""Whole numbers that are used as floating-point numbers, written as such.

``2 * x`` is right in double precision. In single precision the whole number would make the product a double.
"""

from __future__ import annotations

import ast

_COUNTING = ("enumerate", "int", "len", "range", "zip")
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_WHOLE = (*_ARITHMETIC[:3], ast.FloorDiv, ast.Mod, ast.Pow)


def write_floats(function: ast.FunctionDef) -> ast.FunctionDef:
    """Turn whole numbers that meet others, are returned, or are arguments of functions into floats.

    Args:
        function: A definition whose global names have been replaced; it is changed.

    Returns:
        The definition.
    """
    counted = {
        name.id
        for part in ast.walk(function)
        if isinstance(part, ast.Subscript) or _calls(part, "range")
        for name in ast.walk(part.slice if isinstance(part, ast.Subscript) else part)
        if isinstance(name, ast.Name)
    }
    floats = _Floats(_whole_names(function))
    defaults = function.args.defaults
    for k, argument in enumerate(function.args.args[len(function.args.args) - len(defaults) :]):
        if argument.arg not in counted:
            defaults[k] = floats.convert(defaults[k])
    changed: ast.FunctionDef = floats.visit(function)
    return ast.fix_missing_locations(changed)


def _whole_names(function: ast.FunctionDef) -> frozenset[str]:
    """Variables of loops over ranges, and those that are given whole numbers alone."""
    counters: set[str] = set()
    given: dict[str, list[ast.expr]] = {}
    for part in ast.walk(function):
        if isinstance(part, ast.For) and isinstance(part.target, ast.Name) and _calls(part.iter, "range"):
            counters.add(part.target.id)
        elif isinstance(part, ast.Assign):
            for target in part.targets:
                if isinstance(target, ast.Name):
                    given.setdefault(target.id, []).append(part.value)
        elif isinstance(part, ast.AugAssign) and isinstance(part.target, ast.Name):
            value = ast.BinOp(ast.Name(part.target.id, ast.Load()), part.op, part.value)
            given.setdefault(part.target.id, []).append(value)
    names = counters | set(given)
    while True:
        kept = {n for n in names if n in counters or all(_whole(v, frozenset(names)) for v in given[n])}
        if kept == names:
            return frozenset(names)
        names = kept


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _whole(node: ast.expr, names: frozenset[str]) -> bool:
    match node:
        case ast.Constant():
            return type(node.value) is int
        case ast.Name():
            return node.id in names
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            return _whole(node.operand, names)
        case ast.BinOp():
            return isinstance(node.op, _WHOLE) and _whole(node.left, names) and _whole(node.right, names)
        case ast.IfExp():
            return _whole(node.body, names) and _whole(node.orelse, names)
    return _calls(node, "len") or _calls(node, "int")


class _Floats(ast.NodeTransformer):
    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def convert(self, node: ast.expr) -> ast.expr:
        if not _whole(node, self.names):
            return node
        if isinstance(node, ast.Constant):
            return ast.Constant(float(node.value))  # type: ignore[arg-type]
        if isinstance(node, ast.UnaryOp):
            return ast.UnaryOp(node.op, self.convert(node.operand))
        return ast.Call(ast.Name("float", ast.Load()), [node], [])

    def _alike(self, *nodes: ast.expr) -> list[ast.expr]:
        """The nodes, all of them floats unless all of them are whole."""
        whole = all(_whole(node, self.names) for node in nodes)
        return list(nodes) if whole else [self.convert(node) for node in nodes]

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Div):
            left, right = self.convert(left), self.convert(right)
        elif isinstance(node.op, _ARITHMETIC):
            left, right = self._alike(left, right)
        return ast.BinOp(left, node.op, right)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        left, *others = self._alike(self.visit(node.left), *map(self.visit, node.comparators))
        return ast.Compare(left, node.ops, others)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        body, otherwise = self._alike(self.visit(node.body), self.visit(node.orelse))
        return ast.IfExp(self.visit(node.test), body, otherwise)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        arguments = [self.visit(argument) for argument in node.args]
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _COUNTING and not name.startswith("inline_"):
            arguments = [self.convert(argument) for argument in arguments]
        return ast.Call(node.func, arguments, node.keywords)

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        value = self.visit(node.value)
        single = isinstance(node.targets[0], ast.Name) and node.targets[0].id not in self.names
        return ast.Assign(node.targets, self.convert(value) if single else value)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        value = self.visit(node.value)
        counting = isinstance(node.target, ast.Name) and node.target.id in self.names
        return ast.AugAssign(node.target, node.op, value if counting else self.convert(value))

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        value = None if node.value is None else self.visit(node.value)
        if isinstance(value, ast.Tuple):
            return ast.Return(ast.Tuple([self.convert(entry) for entry in value.elts], ast.Load()))
        return ast.Return(None if value is None else self.convert(value))
