"""Second moments of rows seen through a structured factor."""

from __future__ import annotations

import torch
from torch import Tensor

from lie import StructuredFactor

_DENSE = ("full", "lower", "upper")


def pulled_gram(structure: StructuredFactor | None, stored: Tensor, rows: Tensor) -> Tensor:
    """Compute Pi(A^T (sum of r r^T) A) over rows r.

    The sum is made where A is dense and there are more rows than twice its size, which is then cheaper.

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
    if structure.kind in _DENSE and rows.shape[0] > 2 * rows.shape[1]:
        half = packed.multiply(stored, rows.mT @ rows, transpose=True)
        return structure.pack(structure.project(packed.multiply(stored, half.mT, transpose=True)))
    return packed.gram(packed.multiply(stored, rows.mT, transpose=True))


def captured_share(structure: StructuredFactor, rows: Tensor) -> Tensor:
    """Compute which share of a second moment a structure captures.

    With U the sum of r r^T over the rows and S the symmetric part of Pi(U), which is the nearest matrix to U
    that a step of a factor at the identity can follow, it is |S|_F^2 / |U|_F^2, from 0 to 1.

    Args:
        structure: The structure.
        rows: Rows r, shape (R, n).

    Returns:
        The share, shape (); 1 where U is zero.
    """
    packed, columns = structure.packed, rows.mT
    seen = (columns * packed.multiply(packed.gram(columns), columns)).sum()
    small = rows @ columns if rows.shape[0] < rows.shape[1] else columns @ rows
    whole = small.square().sum()
    return torch.where(whole > 0, seen / whole, torch.ones_like(whole))
