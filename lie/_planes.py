"""Batches as planes: one row per component, the batch last, where elementwise operations run at full width.

A batch of 3-vectors (N, 3) makes torch loop over 3 numbers at a time; its transpose, contiguous, is three
long rows. Matrices of constants lead from rows to planes and back, so that no copy is spent on it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from ._constants import differentiates

PIECE = 1 << 17  # bytes of a plane that keep all planes of a function in the cache of one core


def by_rows(
    function: Callable[[Tensor], Tensor], x: Tensor, shape: tuple[int, ...], result: tuple[int, ...]
) -> Tensor:
    """Apply a function of rows to a batch of any shape.

    Args:
        function: Takes (N, k) to (N, m), row by row.
        x: Batch, shape (..., *shape) with k entries in ``shape``.
        shape: Trailing shape of x.
        result: Trailing shape of the result, m entries.

    Returns:
        Results, shape (..., *result).
    """
    batch = x.shape[: x.ndim - len(shape)]
    rows = x if x.ndim == 2 and len(shape) == 1 else x.reshape(-1, prod(shape))
    out = _in_pieces(function, rows, prod(result))
    shape = (*batch, *result)
    return out if out.shape == shape else out.view(shape)


def _in_pieces(function: Callable[[Tensor], Tensor], rows: Tensor, width: int) -> Tensor:
    """Apply the function to pieces of a long batch, so that every step finds its input in the cache."""
    if torch.compiler.is_compiling() or rows.device.type != "cpu":
        return function(rows)
    piece = PIECE * torch.get_num_threads() // rows.element_size()
    if rows.shape[0] <= 2 * piece:
        return function(rows)
    if differentiates(rows):
        return torch.cat([function(part) for part in rows.split(piece)])
    out = rows.new_empty(rows.shape[0], width)
    for start in range(0, rows.shape[0], piece):
        out[start : start + piece] = function(rows[start : start + piece])
    return out
