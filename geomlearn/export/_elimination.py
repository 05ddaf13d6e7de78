"""Inverses of small matrices and solutions of small systems in operations that ONNX has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def eliminate(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve ``A X = B`` by elimination with the largest pivot of each column.

    Args:
        matrix: ``A`` ``(..., n, n)``.
        right: ``B`` ``(..., n, k)`` in the same batch shape.

    Returns:
        ``X`` ``(..., n, k)``; not finite where ``A`` is singular.
    """
    n = matrix.shape[-1]
    rows = torch.cat((matrix, right), -1)
    for k in range(n):
        if k < n - 1:
            column = rows[..., k:, k].abs()
            chosen = torch.arange(n - k, device=rows.device) == column.argmax(-1, keepdim=True)
            weight = chosen.to(rows.dtype).unsqueeze(-1)
            lower, old = rows[..., k:, :], rows[..., k : k + 1, :]
            pivot = (weight * lower).sum(-2, keepdim=True)
            lower = lower + weight * (old - pivot)
            rows = torch.cat((rows[..., :k, :], pivot, lower[..., 1:, :]), -2)
        pivot = rows[..., k : k + 1, :] / rows[..., k : k + 1, k : k + 1]
        others = [
            rows[..., i : i + 1, :] - rows[..., i : i + 1, k : k + 1] * pivot for i in range(n) if i != k
        ]
        rows = torch.cat((*others[:k], pivot, *others[k:]), -2)
    return rows[..., n:]


def inverse_by_cofactors(matrix: Tensor) -> Tensor:
    """Invert 3 x 3 matrices with few operations: cross products of rows over the determinant.

    Args:
        matrix: ``(..., 3, 3)``.

    Returns:
        ``(..., 3, 3)``; not finite where the matrix is singular.
    """
    after, last = matrix[..., [1, 2, 0], :], matrix[..., [2, 0, 1], :]
    cofactors = after[..., [1, 2, 0]] * last[..., [2, 0, 1]] - after[..., [2, 0, 1]] * last[..., [1, 2, 0]]
    determinant = (matrix[..., :1, :] * cofactors[..., :1, :]).sum(-1, keepdim=True)
    return cofactors.mT / determinant


def _inverse(matrix: Tensor, *, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    codes = matrix.new_zeros(matrix.shape[:-2], dtype=torch.int32)
    n = matrix.shape[-1]
    if n == 3:
        return inverse_by_cofactors(matrix), codes
    return eliminate(
        matrix, torch.eye(n, dtype=matrix.dtype, device=matrix.device).expand(matrix.shape)
    ), codes


DECOMPOSITIONS: dict[Any, Any] = {aten.linalg_inv_ex.default: _inverse}
