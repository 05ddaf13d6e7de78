"""Kernel code of small dense linear systems."""

from __future__ import annotations

from collections.abc import Sequence

from ._builder import KernelBuilder, Rows


def emit_linear_solve(
    builder: KernelBuilder, matrix: Rows, right: Rows, pattern: list[list[bool]] | None = None
) -> None:
    """Add code that solves ``M x = r`` in place by elimination without pivoting.

    Meant for matrices whose symmetric part is positive definite, such as an inertia plus damping. The matrix
    is destroyed and the solution replaces ``r``.

    Args:
        builder: The kernel under construction.
        matrix: Rows of the ``n * n`` entries.
        right: Rows of the ``n`` right-hand sides.
        pattern: Which entries are not always zero; the others are neither read nor, but where elimination
            fills them, written. None takes all.
    """
    n = len(right)
    filled = [[True] * n for _ in range(n)] if pattern is None else [list(row) for row in pattern]

    def entry(i: int, j: int) -> str:
        return f"@{matrix[i * n + j]}"

    for pivot in range(n):
        columns = [j for j in range(pivot + 1, n) if filled[pivot][j]]
        for i in [i for i in range(pivot + 1, n) if filled[i][pivot]]:
            lines = [f"f = {entry(i, pivot)} / {entry(pivot, pivot)}"]
            for j in columns:
                lines.append(f"{entry(i, j)} {'-=' if filled[i][j] else '= -'} f * {entry(pivot, j)}")
                filled[i][j] = True
            lines.append(f"@{right[i]} -= f * @{right[pivot]}")
            builder.lanes(*lines)
    for i in range(n - 1, -1, -1):
        known = [f"{entry(i, j)} * @{right[j]}" for j in range(i + 1, n) if filled[i][j]]
        total = " - ".join([f"@{right[i]}", *known])
        builder.lanes(f"@{right[i]} = ({total}) / {entry(i, i)}")


def symmetric_solve(matrix: Sequence[Sequence[str]], right: Sequence[str]) -> list[str]:
    """Statements that solve ``S x = r`` for variables of one lane, ``S`` symmetric and positive definite.

    By ``L D L^T`` without square roots and without pivoting. The lower triangle is destroyed, and the
    solution replaces ``r``.

    Args:
        matrix: Names of the entries of the lower triangle, row by row: one in the first, two in the second.
        right: Names of the right-hand side.

    Returns:
        Statements for the loop over lanes.
    """
    n, statements = len(right), []
    for k in range(n):
        statements.append(f"inverse_{k} = 1.0 / {matrix[k][k]}")
        for i in range(k + 1, n):
            statements.append(f"factor = {matrix[i][k]} * inverse_{k}")
            statements += [f"{matrix[i][j]} -= factor * {matrix[j][k]}" for j in range(k + 1, i + 1)]
            statements.append(f"{right[i]} -= factor * {right[k]}")
    for k in range(n - 1, -1, -1):
        known = [f"{matrix[i][k]} * {right[i]}" for i in range(k + 1, n)]
        statements.append(f"{right[k]} = ({' - '.join([right[k], *known])}) * inverse_{k}")
    return statements


def gram_solve_text(name: str, m: int, n: int, slope: int, reaction: int, matrix: int, right: int) -> str:
    """Text of a function that solves ``(G B) x = r`` in loops, ``G B`` symmetric and positive definite.

    By ``L D L^T`` without pivoting, for systems too large to be written out. Entries of ``G B`` above the
    diagonal are not touched; the diagonal is left as ``D`` and the solution replaces ``r``.

    Args:
        name: Name of the function, of the array of rows and of the parameters.
        m: Number of equations.
        n: Number of columns of ``G``.
        slope: First of the rows of ``G``, ``m * n``.
        reaction: First of the rows of ``B^T``, ``m * n``.
        matrix: First of ``m * m`` rows for ``G B``, followed by ``m`` for its diagonal and one more.
        right: First of the rows of ``r``, ``m``.

    Returns:
        Source text.
    """
    size, factor = matrix + m * m, matrix + m * m + m
    return f"""def {name}(A, P):
    for i in range({m}):
        for j in range(i + 1):
            for l in range(L):
                A[({matrix} + i * {m} + j) * L + l] = 0.0
            for k in range({n}):
                for l in range(L):
                    p = A[({slope} + i * {n} + k) * L + l] * A[({reaction} + j * {n} + k) * L + l]
                    A[({matrix} + i * {m} + j) * L + l] += p
        for l in range(L):
            A[({size} + i) * L + l] = A[({matrix} + i * {m} + i) * L + l]
    for k in range({m}):
        for i in range(k + 1, {m}):
            for l in range(L):
                pivot = A[({matrix} + k * {m} + k) * L + l]
                A[{factor} * L + l] = A[({matrix} + i * {m} + k) * L + l] / pivot
                A[({right} + i) * L + l] -= A[{factor} * L + l] * A[({right} + k) * L + l]
            for j in range(k + 1, i + 1):
                for l in range(L):
                    p = A[{factor} * L + l] * A[({matrix} + j * {m} + k) * L + l]
                    A[({matrix} + i * {m} + j) * L + l] -= p
    for r in range({m}):
        k = {m - 1} - r
        for i in range(k + 1, {m}):
            for l in range(L):
                p = A[({matrix} + i * {m} + k) * L + l] * A[({right} + i) * L + l]
                A[({right} + k) * L + l] -= p
        for l in range(L):
            A[({right} + k) * L + l] = A[({right} + k) * L + l] / A[({matrix} + k * {m} + k) * L + l]
"""
