"""Positions and their momenta or velocities among the symbols of an expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import sympy

from ._parse import as_symbols, numbered

Names: TypeAlias = str | Sequence[str | sympy.Symbol]


def coordinate_pairs(
    expressions: Sequence[sympy.Expr],
    named: Sequence[sympy.Symbol],
    positions: Names | None,
    partners: Names | None,
    letter: str = "p",
) -> tuple[list[sympy.Symbol], list[sympy.Symbol]]:
    """Find positions ``q1, q2, ...`` and their partners ``p1, p2, ...`` or ``v1, v2, ...``.

    Either kind completes the other: ``p1, p2`` and ``q2`` alone make ``q1, q2``, with ``q1`` cyclic.

    Args:
        expressions: Where they occur; the first one is shown in messages.
        named: Parameters and inputs, which are neither.
        positions: Names of the positions in order; None finds them.
        partners: Names of the partners in order; None finds them.
        letter: First letter of the partners, ``"p"`` or ``"v"``.

    Returns:
        Positions and partners.

    Raises:
        ValueError: If there are none, or their numbers differ.
    """
    kind = {"p": "momenta", "v": "velocities"}[letter]
    symbols = set().union(*(e.free_symbols for e in expressions)) - set(named)
    first = numbered("q", symbols) if positions is None else as_symbols(positions)
    second = numbered(letter, symbols) if partners is None else as_symbols(partners)
    if positions is None and partners is None:
        stems = {s.name[1:] for s in (*first, *second)}
        order = sorted(stems, key=lambda stem: int(stem.strip("_") or 0))
        first, second = as_symbols([f"q{k}" for k in order]), as_symbols([f"{letter}{k}" for k in order])
    if not second or len(first) != len(second):
        raise ValueError(
            f"expression: expected as many positions as {kind}, got {_listed(first)} and {_listed(second)} "
            f"in {expressions[0]}; {hint(letter)}"
        )
    return first, second


def hint(letter: str = "p", inputs: bool = False) -> str:
    """How to give a symbol a meaning.

    Args:
        letter: First letter of the partners of positions.
        inputs: Whether there can be controls.

    Returns:
        Part of a message.
    """
    kind = {"p": "momenta", "v": "velocities"}[letter]
    control = "name controls in inputs=, and " if inputs else ""
    return (
        f"name positions q1, q2, ... and {kind} {letter}1, {letter}2, ..., or pass positions= and {kind}=; "
        f'{control}give the others values with parameters={{"name": value}}'
    )


def _listed(symbols: Sequence[sympy.Symbol]) -> str:
    return "(" + ", ".join(s.name for s in symbols) + ")"
