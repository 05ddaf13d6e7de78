"""Products of factors made of blocks, on their stored numbers and without (n, n) matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._linalg import wide_product
from ._packed import PackedFactor
from ._segments import Layout, Segment
from ._table import Table

if TYPE_CHECKING:
    from ._segmented import SegmentedFactor


def _parted(tensor: Tensor, sizes: list[int], dim: int) -> list[Tensor]:
    return [tensor] if len(sizes) == 1 else list(tensor.split_with_sizes(sizes, dim))


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    """Put parts together, whose batches broadcast."""
    if len(parts) == 1:
        return parts[0]
    kept = -dim
    batches = {part.shape[:-kept] for part in parts}
    if len(batches) > 1:
        batch = torch.broadcast_shapes(*batches)
        parts = [part.expand(*batch, *part.shape[-kept:]) for part in parts]
    return torch.cat(parts, dim)


class _Blocks:
    """Arithmetic of one segment, whose blocks are opened to (..., blocks, b, b)."""

    def __init__(self, segment: Segment) -> None:
        self.size = segment.size
        self.triangle = segment.triangle
        self.shape = (1, segment.size) if segment.triangle else (segment.size // segment.block, segment.block)
        self._slots = Table(lambda: self._triangle_slots(segment))
        self._entries = Table(lambda: segment.entries()[0] * segment.size + segment.entries()[1])
        self._diagonal = Table(lambda: torch.nonzero(torch.eq(*segment.entries())).squeeze(-1))

    @staticmethod
    def _triangle_slots(segment: Segment) -> Tensor:
        slots = torch.full((segment.size, segment.size), segment.stored)
        slots[segment.entries()] = torch.arange(segment.stored)
        return slots.flatten()

    def open(self, stored: Tensor) -> Tensor:
        """Make the blocks, (..., stored) to (..., blocks, b, b)."""
        count, b = self.shape
        if self.triangle:
            padded = torch.cat((stored, torch.zeros_like(stored[..., :1])), -1)
            stored = padded.index_select(-1, self._slots(stored))
        return stored.unflatten(-1, (count, b, b))

    def close(self, blocks: Tensor) -> Tensor:
        """Read the stored numbers of blocks, (..., blocks, b, b) to (..., stored)."""
        flat = blocks.flatten(-3)
        return flat.index_select(-1, self._entries(flat)) if self.triangle else flat

    def times(self, blocks: Tensor, columns: Tensor) -> Tensor:
        """Multiply columns (..., size, m) by the blocks."""
        if self.shape[1] == 1:
            return blocks.flatten(-3).unsqueeze(-1) * columns
        return wide_product(blocks, columns.unflatten(-2, self.shape)).flatten(-3, -2)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply blocks by blocks."""
        return a * b if self.shape[1] == 1 else wide_product(a, b)

    def gram(self, columns: Tensor) -> Tensor:
        """Compute the blocks of X X^T for columns X, (..., size, m)."""
        if self.shape[1] == 1:
            return columns.square().sum(-1)[..., None, None]
        parted = columns.unflatten(-2, self.shape)
        return wide_product(parted, parted.mT)

    def shift(self, stored: Tensor, c: float) -> Tensor:
        """Add c to the diagonal, (..., stored)."""
        if self.shape[1] == 1:
            return stored + c
        if self.triangle:
            places = self._diagonal(stored)
            return stored.index_add(-1, places, torch.full_like(stored[..., : self.size], c))
        shifted = stored.clone()
        shifted.unflatten(-1, (self.shape[0], *self.shape[1:] * 2)).diagonal(dim1=-2, dim2=-1).add_(c)
        return shifted

    @staticmethod
    def norm_bound(blocks: Tensor) -> Tensor:
        """Bound the largest 2-norm of the blocks, see ``PackedFactor.norm_bound``."""
        sizes = blocks.abs()
        if blocks.shape[-1] == 1:
            return sizes.amax((-3, -2, -1))
        sums = (sizes.sum(-1).amax(-1) * sizes.sum(-2).amax(-1)).sqrt()
        return torch.minimum(sums, blocks.square().sum((-2, -1)).sqrt()).amax(-1)

    def project(self, blocks: Tensor) -> Tensor:
        """Weight the blocks of a symmetric matrix as Pi does: twice where the mirrored entry is a zero."""
        if not self.triangle:
            return blocks
        diagonal = torch.diag_embed(blocks.diagonal(dim1=-2, dim2=-1))
        return 2 * blocks - diagonal


class PackedSegments(PackedFactor):
    """The algebra of a structure of blocks on compact storage.

    Args:
        factor: The structure.
    """

    def __init__(self, factor: SegmentedFactor) -> None:
        super().__init__(factor)
        self._layout: Layout = factor.layout
        self._blocks = [_Blocks(segment) for segment in self._layout.segments]
        segments, self._couplings = self._layout.segments, self._layout.couplings
        self._sizes = [segment.size for segment in segments]
        self._shapes = [(segments[i].size, segments[j].size) for i, j in self._couplings]
        self._stored = [s.stored for s in segments] + [rows * columns for rows, columns in self._shapes]

    def _open(self, stored: Tensor) -> tuple[list[Tensor], dict[tuple[int, int], Tensor]]:
        """The blocks of the segments, and the rectangles of the couplings."""
        parts = _parted(stored, self._stored, -1)
        opened = [blocks.open(part) for blocks, part in zip(self._blocks, parts)]
        rest = zip(self._couplings, parts[len(opened) :], self._shapes)
        return opened, {key: part.unflatten(-1, shape) for key, part, shape in rest}

    def _close(self, blocks: list[Tensor], rectangles: dict[tuple[int, int], Tensor]) -> Tensor:
        parts = [own.close(block) for own, block in zip(self._blocks, blocks)]
        parts += [rectangles[key].flatten(-2) for key in self._couplings]
        return _joined(parts, -1)

    def _parts(self, columns: Tensor) -> list[Tensor]:
        return _parted(columns, self._sizes, -2)

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Make the stored numbers of identity matrices, shape (*batch, memory)."""
        parts = []
        for own in self._blocks:
            count, b = own.shape
            parts.append(torch.eye(b, dtype=dtype, device=device).expand(count, b, b))
        zeros = {
            (i, j): torch.zeros(self._blocks[i].size, self._blocks[j].size, dtype=dtype, device=device)
            for i, j in self._couplings
        }
        stored = self._close(parts, zeros)
        return stored.expand(*batch, self.factor.memory).clone()

    def _multiply(self, stored: Tensor, columns: Tensor, transpose: bool) -> Tensor:
        blocks, rectangles = self._open(stored)
        parts = self._parts(columns)
        if transpose:
            blocks = [block.mT for block in blocks]
            rectangles = {(j, i): rectangle.mT for (i, j), rectangle in rectangles.items()}
        rows = [own.times(block, part) for own, block, part in zip(self._blocks, blocks, parts)]
        for (i, j), rectangle in rectangles.items():
            rows[i] = rows[i] + wide_product(rectangle, parts[j])
        return _joined(rows, -2)

    def _compose(self, a: Tensor, b: Tensor) -> Tensor:
        (left, left_rect), (right, right_rect) = self._open(a), self._open(b)
        blocks = [own.compose(x, y) for own, x, y in zip(self._blocks, left, right)]
        rectangles = {}
        for i, j in self._couplings:
            total = self._blocks[i].times(left[i], right_rect[i, j])
            total = total + self._blocks[j].times(right[j].mT, left_rect[i, j].mT).mT
            for k in range(len(blocks)):
                if (i, k) in left_rect and (k, j) in right_rect:
                    total = total + wide_product(left_rect[i, k], right_rect[k, j])
            rectangles[i, j] = total
        return self._close(blocks, rectangles)

    def _gram(self, columns: Tensor) -> Tensor:
        parts = self._parts(columns)
        blocks = [own.project(own.gram(part)) for own, part in zip(self._blocks, parts)]
        return self._close(
            blocks, {(i, j): 2 * wide_product(parts[i], parts[j].mT) for i, j in self._couplings}
        )

    def _own_gram(self, stored: Tensor) -> Tensor:
        blocks, rectangles = self._open(stored)
        squares = [own.compose(block.mT, block) for own, block in zip(self._blocks, blocks)]
        for (_, i), rectangle in rectangles.items():
            squares[i] = squares[i] + self._blocks[i].gram(rectangle.mT)
        products = {}
        for i, j in self._couplings:
            total = self._blocks[i].times(blocks[i].mT, rectangles[i, j])
            for k in range(len(blocks)):
                if (k, i) in rectangles and (k, j) in rectangles:
                    total = total + wide_product(rectangles[k, i].mT, rectangles[k, j])
            products[i, j] = 2 * total
        return self._close([own.project(s) for own, s in zip(self._blocks, squares)], products)

    def _trace(self, stored: Tensor) -> Tensor:
        blocks, _ = self._open(stored)
        first, *others = (block.diagonal(dim1=-2, dim2=-1).sum((-2, -1)) for block in blocks)
        return sum(others, first)

    def _shift(self, stored: Tensor, c: float) -> Tensor:
        parts = _parted(stored, self._stored, -1)
        shifted = [own.shift(part, c) for own, part in zip(self._blocks, parts)]
        return _joined(shifted + parts[len(shifted) :], -1)

    def _norm_bound(self, stored: Tensor) -> Tensor:
        if not self._layout.symmetric:
            return super()._norm_bound(stored)
        opened, _ = self._open(stored)
        bounds = [own.norm_bound(block) for own, block in zip(self._blocks, opened)]
        return bounds[0] if len(bounds) == 1 else torch.stack(bounds, -1).amax(-1)
