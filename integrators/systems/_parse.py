"""Reading expressions: text or sympy objects, with the symbols told apart by their names."""

from __future__ import annotations

import keyword
import re
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import TypeAlias

import sympy
from sympy.core.function import AppliedUndef

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
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")
_NUMBER = re.compile(r"(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])")
_LARGEST = sympy.Float("1.7e308")
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
        named = {s: sympy.Symbol(s.name, real=True) for s in expression.free_symbols}
        return _checked(expression.xreplace(named), name)
    if not isinstance(expression, (str, Real)):
        raise ValueError(
            f"{name}: expected text, a sympy expression or a number, got {type(expression).__name__} "
            f"{expression!r}{_FOR_FUNCTIONS if callable(expression) else ''}"
        )
    return _checked(_read(str(expression), name), name)


_FOR_FUNCTIONS = (
    "; modules and functions, of torch or njit, are taken by MechanicalSystem (potential=, force=), "
    "ModuleHamiltonian, SeparableModules and ModuleField"
)


def _read(text: str, name: str) -> sympy.Expr:
    words = _WORD.findall(_NUMBER.sub("0", text))
    strangers = sorted(w for w in set(_CALL.findall(text)) if w not in _FUNCTIONS or w == "pi")
    keywords = sorted(w for w in set(words) if keyword.iskeyword(w))
    if "^" in text:
        raise ValueError(f"{name}: write ** for powers, got ^ in {text!r}")
    if not _ALLOWED.fullmatch(text) or "__" in text or "//" in text or "." in _NUMBER.sub("0", text):
        raise ValueError(f"{name}: expected numbers, symbols, + - * / ** and functions, got {text!r}")
    if keywords:
        raise ValueError(
            f"{name}: {', '.join(keywords)} cannot be the name of a symbol, got {text!r}; choose another, "
            "and write choices with maximum, minimum, abs and sign"
        )
    if strangers:
        raise ValueError(
            f"{name}: {', '.join(strangers)} is no known function, got {text!r}; there are "
            f"{', '.join(sorted(set(_FUNCTIONS) - {'pi'}))}, and a product needs *"
        )
    known = {w: _FUNCTIONS.get(w, sympy.Symbol(w, real=True)) for w in words}
    try:
        parsed = sympy.sympify(sympy.parse_expr(text, local_dict=known, global_dict=_GLOBALS))
    except (SyntaxError, TypeError, AttributeError, sympy.SympifyError, tokenize.TokenError) as error:
        reason = "a parenthesis is open" if isinstance(error, tokenize.TokenError) else str(error)
        reason = error.msg if isinstance(error, SyntaxError) else reason
        raise ValueError(f"{name}: cannot read {text!r}: {reason}; products need *, functions ()") from error
    return parsed


def _checked(e: sympy.Expr, name: str) -> sympy.Expr:
    """Refuse what is no real number, or has no code."""
    if not isinstance(e, sympy.Expr):
        raise ValueError(f"{name}: expected one expression, got {e}")
    if e.has(sympy.I):
        raise ValueError(f"{name}: expected real numbers, got I in {e}")
    numbers = [n for n in e.atoms(sympy.Number) if not -_LARGEST < n < _LARGEST]
    if e.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo) or numbers:
        found = "" if numbers else f", got {e}"
        raise ValueError(f"{name}: expected finite numbers{found}; look for a division by zero")
    for part in e.atoms(AppliedUndef):
        raise ValueError(
            f"{name}: {part} is a function without a formula; replace it by a symbol, such as {part.func}, "
            "or by an expression"
        )
    return e


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
