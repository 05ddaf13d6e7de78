"""Weights of symmetric compositions, and the order that they give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from ..splitting._table import SYMMETRIC_WEIGHTS

JUMPS = ("TripleJump", "SuzukiJump")
"""Weights that raise the order of a symmetric map of any even order by two."""
HIGHEST_ORDER = 12
_TOLERANCE = 1e-9


def weights_of(name: str, order: int) -> tuple[int, tuple[float, ...]]:
    """Find weights by name.

    Args:
        name: One of ``SYMMETRIC_WEIGHTS`` or ``JUMPS``.
        order: Order of the map that is composed.

    Returns:
        Order of the composition, and steps as shares of ``h``.

    Raises:
        ValueError: If there are none of that name, or they are for maps of another order.
    """
    if name in JUMPS:
        half = 1 if name == "TripleJump" else 2
        outer = 1 / (2 * half - (2 * half) ** (1 / (order + 1)))
        return order + 2, (*[outer] * half, 1 - 2 * half * outer, *[outer] * half)
    if name not in SYMMETRIC_WEIGHTS:
        raise ValueError(
            f"weights: expected one of {(*SYMMETRIC_WEIGHTS, *JUMPS)} or a tuple of numbers, got {name!r}"
        )
    if order != 2:
        raise ValueError(
            f"weights: {name!r} are for maps of order 2, got one of order {order}; 'TripleJump' and "
            "'SuzukiJump' raise any even order by two"
        )
    return SYMMETRIC_WEIGHTS[name]


@cache
def order_of(weights: tuple[float, ...], order: int) -> int:
    """Order of the composition of a symmetric map with given steps, from the conditions on the weights.

    The map is ``exp(h E_1 + h^(order+1) E_(order+1) + h^(order+3) E_(order+3) + ...)`` with operators that
    obey no relation, so that the composition has order ``r`` where the coefficients of all words of weight up
    to ``r`` are those of ``exp(h E_1)``.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, sections III.3 and V.3.

    Args:
        weights: Steps as shares of ``h``, a palindrome that sums to one.
        order: Order of the map, even.

    Returns:
        The order, at most 12.
    """
    letters = (1, *range(order + 1, HIGHEST_ORDER + 2, 2))
    words: dict[tuple[int, ...], float] = {(): 1.0}
    for weight in weights:
        words = _product(words, _exponential(weight, letters))
    for total in range(1, HIGHEST_ORDER + 2):
        for word, value in words.items():
            exact = 1 / math.factorial(total) if set(word) == {1} else 0.0
            if sum(word) == total and abs(value - exact) > _TOLERANCE:
                return total - 1
    return HIGHEST_ORDER


def _exponential(weight: float, letters: Sequence[int]) -> dict[tuple[int, ...], float]:
    """Coefficients of ``exp(sum weight^j E_j)`` up to the highest weight."""
    words: dict[tuple[int, ...], float] = {(): 1.0}
    last = words
    for length in range(1, HIGHEST_ORDER + 2):
        last = {
            (*word, j): value * weight**j / length
            for word, value in last.items()
            for j in letters
            if sum(word) + j <= HIGHEST_ORDER + 1
        }
        words = words | last
    return words


def _product(
    a: dict[tuple[int, ...], float], b: dict[tuple[int, ...], float]
) -> dict[tuple[int, ...], float]:
    out: dict[tuple[int, ...], float] = {}
    for first, x in a.items():
        room = HIGHEST_ORDER + 1 - sum(first)
        for second, y in b.items():
            if sum(second) <= room:
                word = first + second
                out[word] = out.get(word, 0.0) + x * y
    return out
