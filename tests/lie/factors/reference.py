"""Bases of the tangent spaces of structured factors, written entry by entry from their definitions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Allowed = Callable[[int, int], bool]


def _entries(n: int, allowed: Allowed) -> list[np.ndarray]:
    """One matrix per free entry; entries (i, j) and (j, i) are joined where both are free."""
    basis = []
    for i in range(n):
        for j in range(n):
            if allowed(i, j) and not (allowed(j, i) and j > i):
                matrix = np.zeros((n, n))
                matrix[i, j] = 1
                if allowed(j, i):
                    matrix[j, i] = 1
                basis.append(matrix)
    return basis


def _hierarchical(n: int, k1: int, k2: int) -> Allowed:
    def part(i: int) -> str:
        return "first" if i < k1 else "last" if i >= n - k2 else "middle"  # "first" wins where they overlap

    def allowed(i: int, j: int) -> bool:
        if part(i) == part(j):
            return i == j or part(i) != "middle"
        return part(i) == "first" or (part(i) == "last" and part(j) == "middle")

    return allowed


def allowed(kind: str, n: int, **options) -> Allowed:
    """Whether a factor may have an entry at (i, j)."""
    k = options.get("rank", 0)
    last = options.get("diagonal", "last") == "last"
    dense = (lambda i: i < k) if last else (lambda i: i >= n - k)
    if kind == "hierarchical":
        upper = _hierarchical(n, options["k1"], options["k2"])
        return (lambda i, j: upper(j, i)) if options.get("transposed") else upper
    b = options.get("block", 1)
    w = options.get("bandwidth", n)
    table: dict[str, Allowed] = {
        "full": lambda i, j: True,
        "diagonal": lambda i, j: i == j,
        "block_diagonal": lambda i, j: i // b == j // b,
        "lower": lambda i, j: i >= j,
        "upper": lambda i, j: i <= j,
        # Dense block and diagonal, and one rectangle between them: above the diagonal, or below it.
        "block_upper": lambda i, j: i == j or (dense(i) and dense(j)) or (dense(i) != dense(j) and i < j),
        "block_lower": lambda i, j: i == j or (dense(i) and dense(j)) or (dense(i) != dense(j) and i > j),
        "lower_banded": lambda i, j: 0 <= i - j <= w,
        "upper_banded": lambda i, j: 0 <= j - i <= w,
    }
    return table[kind]


def basis(kind: str, n: int, **options) -> np.ndarray:
    """Basis of V, shape (dim, n, n); for bands, of the pattern."""
    shift = lambda k: np.eye(n, k=-k)  # noqa: E731
    width = options.get("bandwidth", n - 1)
    if kind in ("lower_toeplitz", "lower_banded_toeplitz"):
        return np.array([shift(k) for k in range(width + 1)])
    if kind in ("upper_toeplitz", "upper_banded_toeplitz"):
        return np.array([shift(-k) for k in range(width + 1)])
    if kind == "circulant":
        turn = np.roll(np.eye(n), 1, axis=0)
        power = lambda k: np.linalg.matrix_power(turn, k)  # noqa: E731
        return np.array([power(k) + power(n - k) for k in range(n // 2 + 1)])
    return np.array(_entries(n, allowed(kind, n, **options)))


def projection(V: np.ndarray, H: np.ndarray) -> np.ndarray:
    """The m in V whose symmetric part is nearest to H, by dense least squares."""
    symmetric = 0.5 * (V + V.transpose(0, 2, 1))
    parameters = np.linalg.lstsq(symmetric.reshape(len(V), -1).T, H.ravel(), rcond=None)[0]
    return np.tensordot(parameters, V, 1)
