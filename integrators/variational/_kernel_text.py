"""Pieces of text for kernel code on three-vectors and 3 x 3 matrices held in local variables."""

from __future__ import annotations

from ..kernels import Rows

XYZ = range(3)
TURN_FACTOR = "s = 2.0 / (1.0 + (z0 * z0 + z1 * z1 + z2 * z2))"


def cross_lines(result: str, a: str, b: str) -> str:
    """Code of ``result = a x b`` on variables ``a0, a1, a2``."""
    return "\n".join(
        f"{result}{i} = {a}{(i + 1) % 3} * {b}{(i + 2) % 3} - {a}{(i + 2) % 3} * {b}{(i + 1) % 3}"
        for i in XYZ
    )


def dot_text(a: list[str], b: list[str]) -> str:
    """Code of an inner product."""
    return " + ".join(f"{x} * {y}" for x, y in zip(a, b, strict=True))


def names(prefix: str, count: int = 3) -> list[str]:
    """Variables ``prefix0, prefix1, ...``."""
    return [f"{prefix}{i}" for i in range(count)]


def read(prefix: str, rows: Rows) -> str:
    """Code that brings rows into variables ``prefix0, ...``."""
    return "\n".join(f"{prefix}{i} = @{row}" for i, row in enumerate(rows))


def write(rows: Rows, expressions: list[str]) -> str:
    """Code that stores expressions in rows."""
    return "\n".join(f"@{row} = {text}" for row, text in zip(rows, expressions, strict=True))


def times(matrix: str, vector: list[str]) -> list[str]:
    """Code of the three components of a matrix (variables ``matrix0 ... matrix8``) times a vector."""
    entries = names(matrix, 9)
    return [dot_text(entries[3 * i : 3 * i + 3], vector) for i in XYZ]


def cross_row(rotation: Rows, slope: Rows, i: int) -> str:
    """Component ``i`` of the sum over rows of ``R`` of row x slope row."""
    j, k = (i + 1) % 3, (i + 2) % 3
    return " + ".join(
        f"@{rotation[3 * r + j]} * @{slope[3 * r + k]} - @{rotation[3 * r + k]} * @{slope[3 * r + j]}"
        for r in XYZ
    )


def skew_text(name: str, i: int, j: int, sign: str) -> str:
    """Entry ``(i, j)`` of ``S(name)`` with a leading sign, or nothing on the diagonal."""
    if i == j:
        return ""
    k = 3 - i - j
    positive = (i - j) % 3 == 1
    flipped = "-" if sign == "+" else "+"
    return f" {sign if positive else flipped} {name}{k}"


def cross_entry(name: str, vector: list[str], i: int) -> str:
    """Component ``i`` of ``name x vector``."""
    j, k = (i + 1) % 3, (i + 2) % 3
    return f"{name}{j} * {vector[k]} - {name}{k} * {vector[j]}"


def indent(text: str) -> list[str]:
    """Lines one level deeper."""
    return ["    " + line for line in text.splitlines()]


def turn_text(source: Rows, target: Rows) -> str:
    """Code of ``target = source Cay(z)`` for a row vector, from ``z0 ... z2`` and ``s = 2 / (1 + |z|^2)``."""
    return "\n".join(
        [
            read("r", source),
            cross_lines("c", "r", "z"),
            cross_lines("d", "c", "z"),
            write(target, [f"r{i} + s * (c{i} + d{i})" for i in XYZ]),
        ]
    )
