"""Factors of a given SPD matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from .._linalg import product
from .._manifold import first_bad


def ordered_cholesky(tau: Tensor, rows: Tensor, back: Tensor) -> Tensor:
    """Factorise SPD matrices as tau = A A^T, with A lower triangular in another order of the rows.

    Args:
        tau: SPD matrices, shape (..., n, n).
        rows: The order, int64 (n,).
        back: The inverse permutation.

    Returns:
        The factor A in the usual order, shape (..., n, n); NaN for a matrix that is not positive definite.
    """
    ordered = tau.index_select(-1, rows).index_select(-2, rows)
    root, info = torch.linalg.cholesky_ex(0.5 * (ordered + ordered.mT))
    root = torch.where((info == 0)[..., None, None], root, torch.nan)
    return root.index_select(-1, back).index_select(-2, back)


def require_product(factor: Tensor, tau: Tensor, name: str, tol: float | None) -> None:
    """Refuse matrices that a factor does not reproduce.

    Args:
        factor: The factor A found, shape (..., n, n).
        tau: The matrices, shape (..., n, n).
        name: Name of the structure of A.
        tol: Largest error of A A^T, relative to the largest entry of tau; None means the square root of the
            dtype's epsilon.

    Raises:
        ValueError: If a factor is not finite or misses its matrix by more.
    """
    tol = torch.finfo(tau.dtype).eps ** 0.5 if tol is None else tol
    finite = torch.isfinite(factor).all(-1).all(-1)
    if not bool(finite.all()):
        raise ValueError(
            f"{first_bad(finite, 'tau')[0]} is not symmetric positive definite, or not finite: "
            "it has no factor."
        )
    error = (product(factor, factor.mT) - tau).abs().amax((-2, -1))
    size = tau.abs().amax((-2, -1))
    good = error <= tol * size
    if not bool(good.all()):
        where, index = first_bad(good, "tau")
        raise ValueError(
            f"{where} has no factor in {name}: what was found misses it by "
            f"{float(error[index] / size[index]):.3g} of its largest entry, more than {tol:.3g}. Structures "
            "of all SPD matrices (full, lower, upper) have one; nearest() of that is an approximation with "
            "this pattern."
        )
