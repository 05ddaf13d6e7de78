"""The polar factor of a matrix: the nearest one with orthonormal columns, or the nearest rotation."""

from __future__ import annotations

import torch
from torch import Tensor

from ._constants import differentiates
from ._linalg import product

_STEPS = 3  # each makes one order of derivative more right


def polar(M: Tensor, *, special: bool = False) -> tuple[Tensor, Tensor]:
    """Compute the matrix U with orthonormal columns nearest to M in the Frobenius norm, and how sure it is.

    U makes U^T M symmetric, and positive definite where M has full rank. By a singular value decomposition
    that is not differentiated (its derivative is infinite at equal singular values); chord steps on the
    symmetry of U^T M, whose linear system the decomposition makes diagonal, carry the derivatives up to the
    third (Higham, Functions of Matrices, 2008, chapter 8).

    Args:
        M: Matrices, shape (..., n, p) with n >= p.
        special: Whether U must have determinant 1, for n = p.

    Returns:
        U, shape (..., n, p), and the smallest sum of the singular values that its derivative divides by,
        relative to the largest singular value, shape (...): with 0 or NaN several matrices are nearest, of
        which U is one, or none.
    """
    value = M.detach()
    finite = torch.isfinite(value).all(-1).all(-1)
    left, sizes, right = torch.linalg.svd(torch.where(finite[..., None, None], value, 0), full_matrices=False)
    if special:
        sign = torch.where(torch.linalg.det(product(left, right)) < 0, -1, 1).unsqueeze(-1)
        left = torch.cat((left[..., :-1], left[..., -1:] * sign.unsqueeze(-1)), -1)
        sizes = torch.cat((sizes[..., :-1], sizes[..., -1:] * sign), -1)
    tall = M.shape[-2] > M.shape[-1]
    largest = sizes[..., :1]
    sums = sizes.unsqueeze(-1) + sizes.unsqueeze(-2)
    if special:
        least = sums[..., -1, -2] if M.shape[-1] > 1 else sizes[..., 0].abs()
    else:
        least = sizes[..., -1]
    margin = torch.where(finite, least / largest[..., 0], torch.nan)
    floor = (torch.finfo(M.dtype).eps * largest).clamp_min(torch.finfo(M.dtype).tiny)
    turn = 1 / torch.maximum(sums, floor.unsqueeze(-1))
    stretch = right.mT / torch.maximum(sizes, floor).unsqueeze(-2)  # the inverse of U^T M is stretch @ right
    U = nearest = _orthonormalised(product(left, right))
    for _ in range(_STEPS if differentiates(M) else 1):  # one restores digits that the decomposition lost
        S = product(U.mT, M)
        skew = product(right, product(S - S.mT, right.mT)) * turn
        step = product(U, product(right.mT, product(skew, right)))
        if tall:
            step = step + product(product(M - product(U, S), stretch), right)
        U = _orthonormalised(U + step)
    sharp = (margin > 0.01)[..., None, None]  # otherwise the steps round worse than the decomposition
    return torch.where(sharp, U, nearest + (U - U.detach())), margin


def nearest_rotation(M: Tensor) -> Tensor:
    """Compute the polar factor of determinant 1, differentiable up to the third order.

    Args:
        M: Matrices, shape (..., n, n).

    Returns:
        Rotations, shape (..., n, n); NaN where, up to rounding, several are nearest.
    """
    rotation, margin = polar(M, special=True)
    unique = margin > M.shape[-1] * torch.finfo(M.dtype).eps
    return torch.where(unique.unsqueeze(-1).unsqueeze(-1), rotation, torch.nan)


def _orthonormalised(U: Tensor) -> Tensor:
    """One Newton-Schulz step, which squares the defect."""
    return 1.5 * U - 0.5 * product(U, product(U.mT, U))
