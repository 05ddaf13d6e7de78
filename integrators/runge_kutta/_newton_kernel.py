"""Kernel code of the simplified Newton iteration for stages, for every system that has a compiled field.

The derivative of the field is taken once a step, by differences in the middle of the step: it decides how
fast the iteration converges, not to what. Elimination is without pivoting, lane by lane the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .._method import StepCode
    from ..kernels import KernelBuilder, Rows
    from ._stages import StageMethod

_STEP = "1e-07 * (abs({y}) + abs({total})) + 1e-14 * @{size} + 1e-300"


def emit_matrix(method: StageMethod, code: StepCode, slopes: list[Rows], stage: Rows, size: int) -> int:
    """Write the factors of one minus the derivative of the sweep.

    Args:
        method: The method.
        code: The kernel.
        slopes: Rows of the guessed slopes, by stage.
        stage: Rows to work in, as many as the state has.
        size: Row of the size of the state.

    Returns:
        First row of the factors, ``(s n)^2`` of them.
    """
    b, n, s = code.builder, len(code.state), len(slopes)
    counts = b.parameter(torch.tensor([n, s, n * s], dtype=torch.float64))  # unknown to the compiler
    for k, name in enumerate(("width", "depth", "height")):
        b.line(f"{name} = int(P[{counts + k}])")
    base, delta, origin = b.rows(n), b.rows(1)[0], b.rows(1)[0]
    slope, matrix = b.rows(n * n)[0], b.rows((s * n) ** 2)[0]
    for c in range(n):
        total = " + ".join(f"@{rows[c]}" for rows in slopes)
        b.lanes(f"@{stage[c]} = @{code.state[c]} + 0.5 * ({total})", join=True)
    targets = [f"@{row} = {{}}" for row in base]
    method.system.emit_field(b, code.offset, stage, code.control, targets)
    with b.loop("for column in range(width):"):
        here = f"A[({stage[0]} + column) * L + l]"
        change = " + ".join(f"A[({rows[0]} + column) * L + l]" for rows in slopes)
        length = _STEP.format(y=here, total=f"({change})", size=size)
        b.lanes(f"@{origin} = {here}\n@{delta} = {length}\n{here} = {here} + @{delta}")
        targets = [
            f"A[({slope + r * n} + column) * L + l] = ({{}} - @{base[r]}) / @{delta}" for r in range(n)
        ]
        method.system.emit_field(b, code.offset, stage, code.control, targets)
        b.lanes(f"{here} = @{origin}")
    steps = method.weights(torch.zeros(0, dtype=torch.float64)).unsqueeze(-1)
    for first, last, coupling in method.couplings():
        place = b.parameter(-steps * coupling)
        with b.loop("for i in range(depth):"), b.loop("for j in range(depth):"):
            b.line(f"factor = P[{place} + i * {s} + j]")
            with b.loop("for r in range(width):"), b.loop(f"for c in range({first}, {last}):"):
                entry = _entry(matrix, f"i * {n} + r", f"j * {n} + c", s * n)
                b.lanes(f"{entry} = factor * A[({slope} + r * {n} + c) * L + l]")
    with b.loop("for r in range(height):"):
        diagonal = f"A[({matrix} + r * {s * n + 1}) * L + l]"
        b.lanes(f"{diagonal} = {diagonal} + 1.0")
    _emit_factors(b, matrix, s * n)
    return matrix


def _entry(matrix: int, row: str, column: str, n: int) -> str:
    return f"A[({matrix} + ({row}) * {n} + {column}) * L + l]"


def _emit_factors(b: KernelBuilder, matrix: int, n: int) -> None:
    with b.loop("for k in range(height):"), b.loop("for r in range(k + 1, height):"):
        factor, pivot = _entry(matrix, "r", "k", n), _entry(matrix, "k", "k", n)
        b.lanes(f"{factor} = {factor} / {pivot}")
        with b.loop("for c in range(k + 1, height):"):
            entry, above = _entry(matrix, "r", "c", n), _entry(matrix, "k", "c", n)
            b.lanes(f"{entry} = {entry} - {factor} * {above}")


def emit_solve(b: KernelBuilder, matrix: int, right: Rows) -> None:
    """Write the solution with the factors, in place of the right-hand side.

    Args:
        b: The kernel.
        matrix: First row of the factors.
        right: Consecutive rows of the right-hand side.
    """
    n, first = len(right), right[0]
    row, other = f"A[({first} + r) * L + l]", f"A[({first} + c) * L + l]"
    entry = _entry(matrix, "r", "c", n)
    with b.loop("for r in range(1, height):"), b.loop("for c in range(r):"):
        b.lanes(f"{row} = {row} - {entry} * {other}")
    with b.loop("for back in range(height):"):
        b.line("r = height - 1 - back")
        with b.loop("for c in range(r + 1, height):"):
            b.lanes(f"{row} = {row} - {entry} * {other}")
        b.lanes(f"{row} = {row} / {_entry(matrix, 'r', 'r', n)}")
