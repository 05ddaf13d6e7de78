"""Structures made of blocks: consecutive rows in segments, and couplings between segments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segment:
    """Consecutive rows and columns with square blocks on the diagonal.

    Attributes:
        size: Number of rows, a multiple of ``block``.
        block: Rows of each block: 1 makes a diagonal, ``size`` one dense block.
        triangle: "lower" or "upper" where the one block is triangular, else empty.
    """

    size: int
    block: int
    triangle: str = ""

    @property
    def stored(self) -> int:
        """Number of stored numbers."""
        return self.size * (self.size + 1) // 2 if self.triangle else self.size * self.block

    @property
    def dim(self) -> int:
        """Number of tangent coordinates: blocks are symmetric there, triangles are as they are."""
        return self.size * (self.size + 1) // 2 if self.triangle else self.size * (self.block + 1) // 2

    @property
    def mirrored(self) -> Segment:
        """The segment of the transposed matrix."""
        other = {"lower": "upper", "upper": "lower"}.get(self.triangle, "")
        return Segment(self.size, self.block, other)

    def entries(self) -> tuple[Tensor, Tensor]:
        """Row and column of each stored number."""
        if self.triangle:
            indices = torch.tril_indices if self.triangle == "lower" else torch.triu_indices
            row, column = indices(self.size, self.size)
            return row, column
        number = torch.arange(self.stored)
        block, inner = number // self.block**2, number % self.block**2
        return block * self.block + inner // self.block, block * self.block + inner % self.block


@dataclass(frozen=True)
class Layout:
    """Where the blocks of a structure are, in the matrix and in its stored numbers.

    Attributes:
        segments: The segments, first rows first.
        couplings: Pairs (i, j): rows of segment i have a full rectangular block at the columns of segment j.
            With a relation (i, j) and (j, k) there is (i, k), and never (j, i): so the pattern is a group.
    """

    segments: tuple[Segment, ...]
    couplings: tuple[tuple[int, int], ...] = ()

    @property
    def n(self) -> int:
        """Number of rows."""
        return sum(segment.size for segment in self.segments)

    @property
    def memory(self) -> int:
        """Number of stored numbers: the segments, then the couplings, each row by row."""
        return sum(segment.stored for segment in self.segments) + self._coupled

    @property
    def dim(self) -> int:
        """Number of tangent coordinates."""
        return sum(segment.dim for segment in self.segments) + self._coupled

    @property
    def _coupled(self) -> int:
        return sum(self.segments[i].size * self.segments[j].size for i, j in self.couplings)

    @property
    def starts(self) -> tuple[int, ...]:
        """First row of each segment."""
        sizes = [segment.size for segment in self.segments]
        return tuple(sum(sizes[:i]) for i in range(len(sizes)))

    @property
    def symmetric(self) -> bool:
        """Whether V holds symmetric matrices alone."""
        return not self.couplings and all(segment.triangle == "" for segment in self.segments)

    @property
    def mirrored(self) -> Layout:
        """The layout of the transposed matrix."""
        return Layout(
            tuple(segment.mirrored for segment in self.segments), tuple((j, i) for i, j in self.couplings)
        )

    def order(self) -> list[int]:
        """Order of rows and columns in which the matrix is block lower triangular."""
        waiting = list(range(len(self.segments)))
        rows: list[int] = []
        while waiting:
            # A row may use the columns that came before it.
            i = next(i for i in waiting if not any((i, j) in self.couplings for j in waiting))
            waiting.remove(i)
            own = range(self.starts[i], self.starts[i] + self.segments[i].size)
            rows.extend(reversed(own) if self.segments[i].triangle == "upper" else own)
        return rows

    def labels(self) -> Tensor:
        """Number of the stored parameter at each entry, -1 at zeros, int64 (n, n)."""
        labels = torch.full((self.n, self.n), -1)
        offset = 0
        for start, segment in zip(self.starts, self.segments):
            row, column = segment.entries()
            labels[start + row, start + column] = torch.arange(offset, offset + segment.stored)
            offset += segment.stored
        for i, j in self.couplings:
            rows, columns = self.segments[i].size, self.segments[j].size
            numbers = torch.arange(offset, offset + rows * columns).view(rows, columns)
            top, left = self.starts[i], self.starts[j]
            labels[top : top + rows, left : left + columns] = numbers
            offset += rows * columns
        return labels
