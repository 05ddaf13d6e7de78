"""Kernel code of small dense linear systems."""

from __future__ import annotations

from ._builder import KernelBuilder, Rows


def emit_linear_solve(builder: KernelBuilder, matrix: Rows, right: Rows) -> None:
    """Add code that solves ``M x = r`` in place by elimination without pivoting.

    Meant for matrices whose symmetric part is positive definite, such as an inertia plus damping. The matrix
    is destroyed and the solution replaces ``r``.

    Args:
        builder: The kernel under construction.
        matrix: Rows of the ``n * n`` entries.
        right: Rows of the ``n`` right-hand sides.
    """
    n = len(right)

    def entry(i: int, j: int) -> str:
        return f"@{matrix[i * n + j]}"

    for pivot in range(n):
        for i in range(pivot + 1, n):
            lines = [f"f = {entry(i, pivot)} / {entry(pivot, pivot)}"]
            lines += [f"{entry(i, j)} -= f * {entry(pivot, j)}" for j in range(pivot + 1, n)]
            lines.append(f"@{right[i]} -= f * @{right[pivot]}")
            builder.lanes(*lines)
    for i in range(n - 1, -1, -1):
        known = [f"{entry(i, j)} * @{right[j]}" for j in range(i + 1, n)]
        total = " - ".join([f"@{right[i]}", *known])
        builder.lanes(f"@{right[i]} = ({total}) / {entry(i, i)}")
