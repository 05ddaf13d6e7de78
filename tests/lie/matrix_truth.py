"""Matrix functions in 40-digit arithmetic, and random algebra elements of a given size."""

from __future__ import annotations

from typing import Any

import torch
from mpmath import mp
from torch import Tensor

EPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}


def exact(matrix: Tensor) -> Any:
    return mp.matrix(matrix.detach().double().tolist())


def exp(matrix: Any) -> Any:
    with mp.workdps(40):
        return mp.expm(matrix)


def log(matrix: Any) -> Any:
    with mp.workdps(40):
        return mp.logm(matrix).apply(mp.re)


def phi1(matrix: Any) -> Any:
    """(exp(M) - I) / M."""
    n = matrix.rows
    block = mp.zeros(2 * n)
    block[:n, :n], block[:n, n:] = matrix, mp.eye(n)
    return exp(block)[:n, n:]


def rounded(matrix: Any, dtype: torch.dtype) -> Tensor:
    rows = [[float(matrix[i, j]) for j in range(matrix.cols)] for i in range(matrix.rows)]
    return torch.tensor(rows, dtype=torch.float64).to(dtype)


def error(got: Tensor, truth: Any) -> float:
    """Largest difference, in epsilons of the dtype times the largest entry."""
    size = max(abs(x) for x in truth)
    return float(max(abs(x) for x in exact(got) - truth) / size) / EPS[got.dtype]


def tangent(group: Any, size: float, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normal coordinates, scaled so that the matrix has the spectral norm ``size``."""
    xi = torch.randn(group.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (size * xi / torch.linalg.matrix_norm(group.hat(xi), 2)).to(dtype)


def turned(angles: list[float], n: int, seed: int = 0) -> Tensor:
    """A skew matrix with given angles in planes drawn at random."""
    blocks = torch.zeros(n, n, dtype=torch.float64)
    for k, angle in enumerate(angles):
        blocks[2 * k + 1, 2 * k], blocks[2 * k, 2 * k + 1] = angle, -angle
    frame = torch.linalg.qr(
        torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    )[0]
    skew = frame @ blocks @ frame.mT
    return 0.5 * (skew - skew.mT)
