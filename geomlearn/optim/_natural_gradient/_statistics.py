"""Second moments of rows seen through a structured factor."""

from __future__ import annotations

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
