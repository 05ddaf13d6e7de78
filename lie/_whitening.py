"""Positive definite matrices seen from a factor of one of them: A = L L^T, X to L^-1 X L^-T and back."""

from __future__ import annotations

import torch
from torch import Tensor

from ._linalg import product, promote
from ._spectral import symmetrised


def cholesky(P: Tensor) -> Tensor:
    """Compute the lower triangular factor of the symmetric part of P.

    Args:
        P: Positive definite, shape (..., n, n).

    Returns:
        The factor, shape (..., n, n); NaN where P is not positive definite.
    """
    L, info = torch.linalg.cholesky_ex(symmetrised(P))
    return torch.where((info == 0)[..., None, None], L, torch.nan)


def left_solve(L: Tensor, X: Tensor) -> Tensor:
    """Compute L^-1 X.

    Args:
        L: Lower triangular, shape (..., n, n).
        X: Shape (..., n, m).

    Returns:
        The solution, shape (..., n, m).
    """
    return torch.linalg.solve_triangular(*promote(L, X), upper=False)


def whiten(L: Tensor, X: Tensor) -> Tensor:
    """Compute L^-1 X L^-T for symmetric X.

    Args:
        L: Lower triangular, shape (..., n, n).
        X: Symmetric, shape (..., n, n).

    Returns:
        Symmetric, shape (..., n, n).
    """
    return symmetrised(left_solve(L, left_solve(L, X).mT))


def congruence(K: Tensor, X: Tensor) -> Tensor:
    """Compute K X K^T for symmetric X.

    Args:
        K: Shape (..., n, n).
        X: Symmetric, shape (..., n, n).

    Returns:
        Symmetric, shape (..., n, n).
    """
    return symmetrised(product(product(K, X), K.mT))
