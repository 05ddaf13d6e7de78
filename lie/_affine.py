"""Constant affine maps that lead from rows to planes and back, in full precision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ._constants import Constant
from ._linalg import addmm


class AffineMap:
    """A constant affine map y = M x + c between rows (N, k) and planes (k, N).

    Rows hold the numbers of one element side by side, planes one number of all elements. A single product
    maps and transposes at once. The compiler is given the few sums that M stands for instead, which it joins
    with what comes before and after.

    Args:
        table: M, one row per output.
        offset: c, zero if left out.
    """

    def __init__(self, table: Iterable[Sequence[float]], offset: Sequence[float] | None = None) -> None:
        self._table = [list(row) for row in table]
        self._offset = [0.0] * len(self._table) if offset is None else list(offset)
        self._weight = Constant(self._table)
        self._transposed = Constant(list(zip(*self._table, strict=True)))
        self._row = Constant(self._offset)
        self._column = Constant([[value] for value in self._offset])

    def to_planes(self, rows: Tensor) -> Tensor:
        """Map rows to planes.

        Args:
            rows: Shape (N, inputs).

        Returns:
            Shape (outputs, N), contiguous.
        """
        if torch.compiler.is_compiling():
            return torch.stack(self._sums(rows.unbind(1)))
        return addmm(self._column(rows), self._weight(rows), rows.t())

    def to_rows(self, planes: Tensor) -> Tensor:
        """Map planes to rows.

        Args:
            planes: Shape (inputs, N).

        Returns:
            Shape (N, outputs), contiguous.
        """
        if torch.compiler.is_compiling():
            return torch.stack(self._sums(planes.unbind(0)), 1)
        return addmm(self._row(planes), planes.t(), self._transposed(planes))

    def on_rows(self, rows: Tensor) -> Tensor:
        """Map rows to rows.

        Args:
            rows: Shape (N, inputs).

        Returns:
            Shape (N, outputs), contiguous.
        """
        if torch.compiler.is_compiling():
            return torch.stack(self._sums(rows.unbind(1)), 1)
        return addmm(self._row(rows), rows, self._transposed(rows))

    def _sums(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        sums = []
        for row, offset in zip(self._table, self._offset, strict=True):
            total = torch.full_like(inputs[0], offset)
            for factor, term in zip(row, inputs, strict=True):
                if factor:
                    total = total + factor * term
            sums.append(total)
        return sums
