"""Exponential and logarithm of 2 x 2 matrices of trace zero and determinant one, in closed form."""

from __future__ import annotations

from math import comb, factorial

import torch
from torch import Tensor

from ._constants import Series

_TERMS = 24
_EXP = Series(
    [[1 / factorial(2 * k) for k in range(_TERMS)], [1 / factorial(2 * k + 1) for k in range(_TERMS)]], 1.0
)
_ARCSINH = Series([[(-0.25) ** k * comb(2 * k, k) / (2 * k + 1) for k in range(_TERMS)]], 0.1)


def exponential(A: Tensor) -> Tensor:
    """Compute exp A = c(d) I + s(d) A with d = -det A, c = cosh(sqrt d), s = sinh(sqrt d) / sqrt d.

    Args:
        A: Matrices of trace zero, shape (..., 2, 2).

    Returns:
        The exponential, shape (..., 2, 2).
    """
    d = _minus_determinant(A)
    small, grows = d.abs() < 1, d > 0
    series = _EXP(torch.where(small, d, 0))
    up = torch.where(grows & ~small, d, 1).sqrt()
    down = torch.where(grows | small, 1, -d).sqrt()
    closed = torch.where(
        grows,
        torch.cat((up.cosh(), up.sinh() / up), -1),
        torch.cat((down.cos(), down.sin() / down), -1),
    )
    c, s = torch.where(small, series, closed).unsqueeze(-1).split(1, -2)
    return s * A + c * torch.eye(2, dtype=A.dtype, device=A.device)


def logarithm(M: Tensor) -> Tensor:
    """Compute the logarithm of a matrix with determinant one and tr M > -2.

    With c = tr M / 2 the traceless part of M is N = s A, and x = -det N = c^2 - 1 tells s without
    cancellation: A = N arsinh(sqrt x) / sqrt x, or N theta / sqrt(-x) for a rotation-like M of angle theta.

    Args:
        M: Matrices of determinant one, shape (..., 2, 2).

    Returns:
        Matrices of trace zero, shape (..., 2, 2); NaN where tr M <= -2.
    """
    c = 0.5 * M.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    N = M - c.unsqueeze(-1) * torch.eye(2, dtype=M.dtype, device=M.device)
    x = _minus_determinant(N)
    ahead = c > 0
    small = (x.abs() < 0.1) & ahead
    grows, turns = (x > 0) & ahead & ~small, (x < 0) & ~small
    up, down = torch.where(grows, x, 1).sqrt(), torch.where(turns, -x, 1).sqrt()
    closed = torch.where(grows, up.asinh() / up, torch.atan2(down, torch.where(turns, c, 1)) / down)
    ratio = torch.where(small, _ARCSINH(torch.where(small, x, 0)), closed)
    return torch.where(small | grows | turns, ratio, torch.nan).unsqueeze(-1) * N


def _minus_determinant(A: Tensor) -> Tensor:
    """-det A of matrices of trace zero, shape (..., 1)."""
    a, b, c, d = A.flatten(-2).split(1, -1)
    half = 0.5 * (a - d)
    return half * half + b * c
