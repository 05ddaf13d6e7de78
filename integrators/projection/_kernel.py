"""Kernel code of multipliers ``(G B)^-1 r`` for each lane; entries that are always zero are left out."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..kernels import KernelBuilder, Rows, emit_linear_solve, gram_solve_text

Pattern = Sequence[Sequence[bool]]
_WRITTEN_OUT = 400
"""Products of a matrix ``G B`` up to which its equations are written out, entry by entry."""


class Multipliers:
    """Rows of ``G``, of ``B^T``, of their product and of a right-hand side that becomes the multipliers.

    Attributes:
        slope: Rows of ``G``, ``m * n``.
        reaction: Rows of ``B^T``, ``m * n``; those of ``G`` where the two are the same.
        right: Rows of the right-hand side.
    """

    def __init__(
        self, builder: KernelBuilder, slope_pattern: Pattern, reaction_pattern: Pattern | None = None
    ) -> None:
        """Reserve rows.

        Args:
            builder: The kernel.
            slope_pattern: Which entries of ``G`` are not always zero.
            reaction_pattern: The same for ``B^T``; None where it is ``G``.
        """
        self.builder, self.known = builder, slope_pattern
        self.m, self.n = len(slope_pattern), len(slope_pattern[0])
        self.slope = builder.rows(self.m * self.n)
        self.reaction = self.slope if reaction_pattern is None else builder.rows(self.m * self.n)
        self.reaction_known = slope_pattern if reaction_pattern is None else reaction_pattern
        m = self.m
        self.matrix, self.size, _, self.right = (builder.rows(k) for k in (m * m, m, 1, m))

    def targets(self) -> list[str]:
        """Statements that fill ``G`` row by row; none for what is always zero."""
        return _targets(self.slope, self.known)

    def row(self, j: int) -> Rows:
        """Rows of the gradient of constraint ``j``."""
        return self.slope[j * self.n : (j + 1) * self.n]

    def fill_reaction(self, j: int, values: Sequence[str]) -> list[str]:
        """Statements that fill row ``j`` of ``B^T``."""
        rows = self.reaction[j * self.n : (j + 1) * self.n]
        known = self.reaction_known[j]
        return [f"@{row} = {value}" for row, value, k in zip(rows, values, known, strict=True) if k]

    def dot(self, j: int, vector: Sequence[str]) -> str:
        """Row ``j`` of ``G`` times a vector."""
        terms = [f"@{self.slope[j * self.n + k]} * {v}" for k, v in enumerate(vector) if self.known[j][k]]
        return " + ".join(terms) or "0.0"

    def length(self, j: int) -> str:
        """The sum of the sizes of the entries of row ``j`` of ``G``."""
        terms = [f"abs(@{self.slope[j * self.n + k]})" for k in range(self.n) if self.known[j][k]]
        return "(" + (" + ".join(terms) or "0.0") + ")"

    def pull(self, k: int) -> str:
        """Component ``k`` of ``B lambda``."""
        terms = [
            f"@{self.reaction[j * self.n + k]} * @{row}"
            for j, row in enumerate(self.right)
            if self.reaction_known[j][k]
        ]
        return "(" + (" + ".join(terms) or "0.0") + ")"

    def solve(self) -> None:
        """Replace the right-hand side by the multipliers, not a number where gradients are dependent.

        A pivot over the diagonal entry that it comes from is the squared sine of the angle between a gradient
        and those before it.
        """
        b, m = self.builder, self.m
        if sum(len(self._shared(i, j)) for i in range(m) for j in range(m)) > _WRITTEN_OUT:
            self._solve_in_loops()
        else:
            self._solve_written_out()
        limit = 4 * m * torch.finfo(torch.float64).eps
        b.lanes(
            "slant = 1.0",
            *[
                f"slant = slant if @{self.matrix[i * m + i]} > {limit!r} * @{size} else 0.0"
                for i, size in enumerate(self.size)
            ],
            *[f"@{row} = @{row} if slant > 0.5 else np.nan" for row in self.right],
        )

    def _solve_written_out(self) -> None:
        b, m = self.builder, self.m
        pattern = [[bool(self._shared(i, j)) for j in range(m)] for i in range(m)]
        lines = []
        for i in range(m):
            for j in range(m):
                first, second = self.slope[i * self.n :], self.reaction[j * self.n :]
                terms = [f"@{first[k]} * @{second[k]}" for k in self._shared(i, j)]
                if terms:
                    lines.append(f"@{self.matrix[i * m + j]} = {' + '.join(terms)}")
        lines += [f"@{size} = @{self.matrix[i * m + i]}" for i, size in enumerate(self.size)]
        b.lanes(*lines, join=True)
        emit_linear_solve(b, self.matrix, self.right, pattern)

    def _solve_in_loops(self) -> None:
        b = self.builder
        zeros = [row for row, known in zip(self.slope, _flat(self.known), strict=True) if not known]
        if self.reaction is not self.slope:
            pairs = zip(self.reaction, _flat(self.reaction_known), strict=True)
            zeros += [row for row, known in pairs if not known]
        b.lanes(*[f"@{row} = 0.0" for row in zeros], join=True)
        places = (self.m, self.n, self.slope[0], self.reaction[0], self.matrix[0], self.right[0])
        name = "gram_solve_" + "_".join(str(place) for place in places)
        b.functions.setdefault(name, gram_solve_text(name, *places).rstrip())
        b.line(f"{name}(A, P)")

    def _shared(self, i: int, j: int) -> list[int]:
        return [k for k in range(self.n) if self.known[i][k] and self.reaction_known[j][k]]


def _targets(rows: Rows, known: Pattern) -> list[str]:
    return [f"@{row} = {{}}" if k else "" for row, k in zip(rows, _flat(known), strict=True)]


def _flat(pattern: Pattern) -> list[bool]:
    return [known for line in pattern for known in line]
