"""Coordinates of skew and of symmetric matrices by index pairs, without a dense basis."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._constants import Constant


class PairCoordinates:
    """Orthonormal coordinates, with inner product tr(A^T B) / 2, of the skew or the symmetric n x n matrices.

    A skew matrix has the coordinate (-1)^(j - i - 1) A_ji for each pair i < j, later pairs first: (2, 3),
    (1, 3), (0, 3), (1, 2), (0, 2), (0, 1) for n = 4. A symmetric one has A_ij for each pair i < j and
    A_ii / sqrt(2), row by row: (0, 0), (0, 1), (1, 1) for n = 2.

    Args:
        n: Number of rows.
        skew: Whether the matrices are skew, otherwise symmetric.
    """

    def __init__(self, n: int, *, skew: bool) -> None:
        if skew:
            pairs = [(i, j) for j in range(n - 1, 0, -1) for i in range(j - 1, -1, -1)]
            weights = [(-1.0) ** (j - i - 1) for i, j in pairs]
        else:
            pairs = [(i, j) for i in range(n) for j in range(i, n)]
            weights = [math.sqrt(0.5) if i == j else 1.0 for i, j in pairs]
        table, factors = [[0.0] * n for _ in range(n)], [[0.0] * n for _ in range(n)]
        for k, (i, j) in enumerate(pairs):
            table[i][j] = table[j][i] = k
            factors[j][i] = 1 / weights[k]
            factors[i][j] = (-1 if skew else 1) / weights[k]
        self.n = n
        self.dim = len(pairs)
        self._other = -1 if skew else 1
        # Constants are of floating point; indices are below 2^24 and exact in them.
        self._first = Constant([i for i, _ in pairs])
        self._second = Constant([j for _, j in pairs])
        self._table = Constant(table)
        self._factors = Constant(factors)
        self._weights = Constant(weights)

    def matrix(self, x: Tensor) -> Tensor:
        """Compute the matrix of coordinates, (..., dim) to (..., n, n)."""
        entries = x.index_select(-1, self._table(x).long().flatten())
        return entries.unflatten(-1, (self.n, self.n)) * self._factors(x)

    def coordinates(self, matrix: Tensor) -> Tensor:
        """Compute the coordinates (..., dim) of a matrix (..., n, n) projected orthogonally."""
        first, second = self._first(matrix).long(), self._second(matrix).long()
        entries = matrix.flatten(-2)
        lower = entries.index_select(-1, second * self.n + first)
        upper = entries.index_select(-1, first * self.n + second)
        return (0.5 * self._weights(matrix)) * (lower + self._other * upper)

    def congruence(self, h: Tensor) -> Tensor:
        """Compute the matrix (..., dim, dim) that takes the coordinates of S to those of h S h^T."""
        return self._scaled(self._minors(h, h))

    def congruence_slope(self, d: Tensor) -> Tensor:
        """Compute the matrix (..., dim, dim) that takes the coordinates of S to those of d S + S d^T."""
        eye = torch.eye(self.n, dtype=d.dtype, device=d.device)
        return self._scaled(self._minors(d, eye) + self._minors(eye, d))

    def _minors(self, a: Tensor, b: Tensor) -> Tensor:
        """Entries a_pi b_qj +- a_pj b_qi of the row pairs (p, q) and the column pairs (i, j)."""
        first, second = self._first(a).long(), self._second(a).long()
        a, b = a.index_select(-2, first), b.index_select(-2, second)
        straight = a.index_select(-1, first) * b.index_select(-1, second)
        crossed = a.index_select(-1, second) * b.index_select(-1, first)
        return straight + self._other * crossed

    def _scaled(self, minors: Tensor) -> Tensor:
        weights = self._weights(minors)
        return weights.unsqueeze(-1) * weights * minors
