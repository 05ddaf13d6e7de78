"""The derivative of the exponential, (exp(M) - I) / M, and its inverse, by halving and doubling."""

from __future__ import annotations

from fractions import Fraction
from math import factorial

import torch
from torch import Tensor

from ._constants import Constant
from ._generic import nowhere
from ._linalg import product, solve

_DOUBLINGS = 12  # enough for |M| up to 2048
_EVEN_BERNOULLI = [
    Fraction(*pair)
    for pair in (
        (1, 1), (1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510),
        (43867, 798), (-174611, 330), (854513, 138),
    )
]  # fmt: skip
# Rows of four coefficients, lowest power first: of (exp(z) - 1) / z in z, and of y coth y in y^2.
_PHI = Constant([[1 / factorial(4 * row + k + 1) for k in range(4)] for row in range(4)])
_COTH = Constant(
    [
        [float(4**j * _EVEN_BERNOULLI[j] / factorial(2 * j)) for j in range(4 * row, 4 * row + 4)]
        for row in range(3)
    ]
)


def phi1(matrix: Tensor) -> Tensor:
    """Compute (exp(M) - I) / M = sum of M^k / (k + 1)!.

    By f(2 z) = f(z) + z f(z)^2 / 2.

    Args:
        matrix: Shape (..., n, n).

    Returns:
        The sum, shape (..., n, n).
    """
    halvings, z = _halved(matrix)
    value = _polynomial(_PHI(z), z)
    for k in range(_DOUBLINGS):
        more = halvings > k
        if nowhere(more):
            break
        value = torch.where(more, value + 0.5 * product(z, product(value, value)), value)
        z = torch.where(more, 2 * z, z)
    return value


def phi1_inverse(matrix: Tensor) -> Tensor:
    """Compute M / (exp(M) - I) = (M/2) coth(M/2) - M/2, for which exp(M) need not be well conditioned.

    By c(2 y) = c(y) + y^2 / c(y) for c = y coth y, whose poles are those of the result.

    Args:
        matrix: No eigenvalue at 2 pi i k for k = 1, -1, 2, ..., shape (..., n, n).

    Returns:
        The quotient, shape (..., n, n).
    """
    halvings, y = _halved(0.5 * matrix)
    square = product(y, y)
    value = _polynomial(_COTH(square), square)
    for k in range(_DOUBLINGS):
        more = halvings > k
        if nowhere(more):
            break
        value = torch.where(more, value + solve(value, square), value)
        square = torch.where(more, 4 * square, square)
    return value - 0.5 * matrix


def _halved(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """How often to halve a matrix to a norm of at most 1/2, shape (..., 1, 1), and the result."""
    norm = torch.linalg.matrix_norm(matrix.detach(), keepdim=True)
    halvings = torch.frexp(norm)[1] + 1
    scale = torch.where(halvings <= _DOUBLINGS, torch.exp2(-halvings.clamp_min(0).to(norm.dtype)), torch.nan)
    return halvings, scale * matrix


def _polynomial(rows: Tensor, x: Tensor) -> Tensor:
    """Sum of c_k x^k with four coefficients per row (Paterson and Stockmeyer, 1973)."""
    square = product(x, x)
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device).expand_as(x)
    powers = torch.stack((eye, x, square, product(x, square)), -3)
    parts = product(rows, powers.flatten(-2)).unflatten(-1, x.shape[-2:]).unbind(-3)
    fourth = product(square, square)
    total = parts[-1]
    for part in parts[-2::-1]:
        total = part + product(fourth, total)
    return total
