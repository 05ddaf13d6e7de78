"""Reading expressions: text or sympy objects, with the symbols told apart by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import sympy

Expression: TypeAlias = str | sympy.Expr | float
_FUNCTIONS = {
    name: getattr(sympy, name)
    for name in (
        "sin",
        "cos",
        "tan",
        "exp",
        "log",
        "sinh",
        "cosh",
        "tanh",
        "asin",
        "acos",
        "atan",
        "atan2",
        "sqrt",
    )
} | {"abs": sympy.Abs, "sign": sympy.sign, "maximum": sympy.Max, "minimum": sympy.Min, "pi": sympy.pi}
_WORD = re.compile(r"[A-Za-z_]\w*")
_ALLOWED = re.compile(r"[\w\s+\-*/().,]*")


def parse(expression: Expression, name: str = "expression") -> sympy.Expr:
    """Read an expression.

    Text may hold numbers, symbols, ``+ - * / **``, parentheses and the functions sin, cos, tan, exp, log,
    sqrt, abs, sign, asin, acos, atan, atan2, sinh, cosh, tanh, maximum, minimum; nothing else is evaluated.

    Args:
        expression: Text, a sympy expression or a number.
        name: Name of the argument in messages.

    Returns:
        The expression, its symbols real.

    Raises:
        ValueError: If the text cannot be read.
    """
    if isinstance(expression, sympy.Expr):
        return expression.xreplace({s: sympy.Symbol(s.name, real=True) for s in expression.free_symbols})
    text = str(expression)
    if not _ALLOWED.fullmatch(text) or "__" in text or re.search(r"\.\s*[A-Za-z_]", text):
        raise ValueError(f"{name}: expected numbers, symbols, + - * / ** and functions, got {text!r}")
    words = set(_WORD.findall(re.sub(r"\d+\.?\d*[eE][+-]?\d+", "0", text)))
    known = {w: _FUNCTIONS.get(w, sympy.Symbol(w, real=True)) for w in words}
    try:
        parsed = sympy.parse_expr(text, local_dict=known, global_dict=_GLOBALS)
        return sympy.sympify(parsed)
    except (SyntaxError, TypeError, AttributeError, sympy.SympifyError) as error:
        raise ValueError(f"{name}: cannot read {text!r}: {error}") from error


_GLOBALS = {
    "Integer": sympy.Integer,
    "Float": sympy.Float,
    "Rational": sympy.Rational,
    "Symbol": sympy.Symbol,
}


def numbered(letter: str, symbols: Iterable[sympy.Symbol]) -> list[sympy.Symbol]:
    """Pick the symbols ``q1, q2, ...`` (or ``q`` alone) in order.

    Args:
        letter: Their letter.
        symbols: Symbols of an expression.

    Returns:
        The ones found, by number.
    """
    found = {}
    for s in symbols:
        match = re.fullmatch(rf"{letter}_?(\d*)", s.name)
        if match:
            found[int(match.group(1) or 0)] = s
    return [found[k] for k in sorted(found)]


def as_symbols(names: str | Sequence[str | sympy.Symbol]) -> list[sympy.Symbol]:
    """Make real symbols of names.

    Args:
        names: Names, or text with names separated by spaces or commas.

    Returns:
        The symbols.
    """
    parts = (
        names.replace(",", " ").split() if isinstance(names, str) else [getattr(n, "name", n) for n in names]
    )
    return [sympy.Symbol(str(part), real=True) for part in parts]


def require_known(expressions: Mapping[str, sympy.Expr], known: Iterable[sympy.Symbol], hint: str) -> None:
    """Refuse expressions with symbols that nobody gave a meaning.

    Args:
        expressions: By the name of the argument.
        known: Symbols with a meaning.
        hint: How to give a symbol a meaning.

    Raises:
        ValueError: If there are others.
    """
    allowed = set(known)
    for name, expression in expressions.items():
        strangers = sorted(s.name for s in expression.free_symbols - allowed)
        if strangers:
            raise ValueError(
                f"{name}: unknown symbol{'s' if len(strangers) > 1 else ''} {', '.join(strangers)}; {hint}"
            )


def require_distinct(**groups: Sequence[sympy.Symbol]) -> None:
    """Refuse a name with two meanings.

    Args:
        **groups: Symbols by the argument that names them.

    Raises:
        ValueError: If a name is given twice, or one of them is ``t``, which is time.
    """
    seen: dict[str, str] = {}
    for group, symbols in groups.items():
        for s in symbols:
            if s.name == "t":
                raise ValueError(f"{group}: t is time; choose another name")
            if s.name in seen:
                raise ValueError(
                    f"{group}: {s.name} is already among the {seen[s.name]}; choose another name"
                )
            seen[s.name] = group
