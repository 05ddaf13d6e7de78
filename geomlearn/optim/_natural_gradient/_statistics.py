"""Second moments of rows seen through a structured factor, and norms of such matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from lie import StructuredFactor


def pulled_gram(structure: StructuredFactor | None, stored: Tensor, rows: Tensor) -> Tensor:
    """Compute Pi(A^T (sum of r r^T) A) over rows r, without the sum.

    Args:
        structure: Structure of the factor A; None for the factor that a layer does not have.
        stored: Stored numbers of A, shape (memory,).
        rows: Rows, shape (R, n); or the diagonal of the sum, shape (n,), for a diagonal factor.

    Returns:
        Stored numbers, shape (memory,), in the dtype of A; empty without a structure.
    """
    if structure is None:
        return stored.new_zeros(0)
    rows = rows.to(stored.dtype)
    if rows.ndim == 1:
        return stored.square() * rows
    packed = structure.packed
    return packed.gram(packed.multiply(stored, rows.mT, transpose=True))


def norm_bound(structure: StructuredFactor, stored: Tensor) -> Tensor:
    """Compute an upper bound of the 2-norm of a matrix: of |A|_F and (|A|_1 |A|_inf)^(1/2) the smaller one.

    Args:
        structure: Structure of the matrix.
        stored: Its stored numbers, shape (memory,).

    Returns:
        The bound, shape ().
    """
    packed = structure.packed
    ones = torch.ones(structure.n, 1, dtype=stored.dtype, device=stored.device)
    rows = packed.multiply(stored.abs(), ones).amax()
    columns = packed.multiply(stored.abs(), ones, transpose=True).amax()
    frobenius = packed.multiply(stored.square(), ones).sum()
    return torch.minimum(rows * columns, frobenius).sqrt()
