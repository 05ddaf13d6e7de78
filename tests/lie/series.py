"""Matrix exponentials to 40 digits by Taylor series in fixed-point arithmetic, for any matrix group.

Numbers are Python integers times 2^-BITS in numpy object arrays, batch dimension first: ten times faster than
mpmath, and floats of ordinary size are represented exactly.
"""

from __future__ import annotations

import numpy as np
import torch
from mpmath import mp

BITS = 140


def fixed(tensor: torch.Tensor) -> np.ndarray:
    """The floats as integers times 2^-BITS."""

    def convert(value: float) -> int:
        numerator, denominator = float(value).as_integer_ratio()
        return (numerator << BITS) // denominator

    return np.vectorize(convert, otypes=[object])(tensor.detach().double().numpy())


def numbers(array: np.ndarray) -> np.ndarray:
    """The integers as mpmath numbers."""
    return np.vectorize(lambda value: mp.ldexp(mp.mpf(value), -BITS), otypes=[object])(array)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b) >> BITS


def _eye(matrix: np.ndarray) -> np.ndarray:
    return np.eye(matrix.shape[-1], dtype=int).astype(object) * (1 << BITS) + 0 * matrix


def _sum(x: np.ndarray, first: int) -> np.ndarray:
    """I + M / first + M^2 / (first (first + 1)) + ..."""
    total = term = _eye(x)
    k = first
    while np.abs(term).max() > 1:  # shifts round down: negative numbers end at -1
        term = _product(term, x) // k
        total = total + term
        k += 1
    return numbers(total)


def exponential(matrix: torch.Tensor) -> np.ndarray:
    """Exp of matrices (N, n, n), as mpmath numbers."""
    return _sum(fixed(matrix), 1)


def phi1(matrix: torch.Tensor) -> np.ndarray:
    """Sum of M^k / (k + 1)! for matrices (N, n, n): the left Jacobian, if M is ad."""
    return _sum(fixed(matrix), 2)


def gradient_and_hessian(
    matrix: torch.Tensor, weight: torch.Tensor, basis: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of <weight, exp(sum of xi_i E_i)> with respect to xi, (N, d) and (N, d, d).

    The derivative L of exp at X^T along W gives them as <L, E_i>; its own derivatives along the transposed
    basis matrices are carried through the same recursion.
    """
    x, w = fixed(matrix.mT), fixed(weight)
    directions = fixed(basis.mT)[:, None]
    power, along_w = _eye(x), 0 * x
    along = mixed = 0 * x + 0 * directions
    total, totals = along_w, mixed
    k = 1
    while max(np.abs(term).max() for term in (power, mixed)) > 1:
        mixed = (_product(mixed, x) + _product(along, w) + _product(along_w, directions)) // k
        along = (_product(along, x) + _product(power, directions)) // k
        along_w = (_product(along_w, x) + _product(power, w)) // k
        power = _product(power, x) // k
        total, totals = total + along_w, totals + mixed
        k += 1
    pairs = fixed(basis)[:, None]
    gradient = (total * pairs).sum((-2, -1)) >> BITS
    hessian = (totals[:, None] * pairs).sum((-2, -1)) >> BITS
    return numbers(gradient.T), numbers(hessian.transpose(2, 0, 1))
