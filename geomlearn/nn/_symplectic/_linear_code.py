"""Kernel code that adds a linear function of some rows to others."""

from __future__ import annotations

from integrators.kernels import KernelBuilder, Rows

WRITTEN_OUT = 6
"""Largest matrix whose product is written out."""


def emit_matrix(
    builder: KernelBuilder, source: Rows, target: Rows, place: str, bias: str | None, factor: tuple[str, str]
) -> None:
    """Write ``target += strength (M source + bias)``.

    Args:
        builder: The kernel under construction.
        source: Consecutive rows that are multiplied.
        target: Consecutive rows that change, none of them in ``source``.
        place: Where ``M`` begins in ``P``, row by row.
        bias: Where the bias begins, or ``None``.
        factor: Sign and text of the strength.
    """
    sign, strength = factor
    n, m = len(target), len(source)
    if max(n, m) <= WRITTEN_OUT:
        statements = []
        for i, row in enumerate(target):
            for k in range(m):
                builder.line(f"w_{i}_{k} = P[{place} + {i * m + k}]")
            terms = [f"w_{i}_{k} * @{x}" for k, x in enumerate(source)]
            if bias is not None:
                builder.line(f"b_{i} = P[{bias} + {i}]")
                terms.append(f"b_{i}")
            statements.append(f"@{row} = @{row} {sign} {strength} * ({' + '.join(terms)})")
        builder.lanes(*statements)
        return
    changed = f"A[({target[0]} + row) * L + l]"
    with builder.loop(f"for row in range({n}):"):
        if bias is not None:
            builder.line(f"b_0 = P[{bias} + row]")
            builder.lanes(f"{changed} {sign}= {strength} * b_0")
        with builder.loop(f"for k in range({m}):"):
            builder.line(f"w_0 = P[{place} + row * {m} + k]")
            builder.lanes(f"{changed} {sign}= {strength} * (w_0 * A[({source[0]} + k) * L + l])")
