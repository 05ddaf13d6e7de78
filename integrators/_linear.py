"""Small matrices, one for all states or one for each."""

from __future__ import annotations

import torch
from torch import Tensor


def apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix times vector, one matrix for all or one for each.

    Args:
        matrix: ``(n, n)`` or ``(..., n, n)``.
        vector: ``(..., n)``.

    Returns:
        ``(..., n)``.
    """
    if matrix.ndim == 2:
        return vector @ matrix.mT
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def solve(matrix: Tensor, vector: Tensor) -> Tensor:
    """Solve small linear systems, one matrix for all right sides or one for each.

    By the inverse and one step of refinement: the forward derivatives of ``torch.linalg.solve`` under nested
    ``vmap`` are wrong up to torch 2.13 at least.

    Args:
        matrix: ``(n, n)`` or ``(..., n, n)``.
        vector: ``(..., n)``.

    Returns:
        ``(..., n)``; not finite where the matrix is singular.
    """
    if matrix.ndim == 2:
        return vector @ torch.linalg.inv_ex(matrix)[0].mT
    inverse = torch.linalg.inv_ex(matrix)[0]
    x = apply(inverse, vector)
    return x + apply(inverse, vector - apply(matrix, x))
