"""The linear pattern of a factor, and the one projection rule that every structure obeys.

A pattern gives each entry of an n x n matrix the number of the parameter that stands there: entries of equal
number are tied, entries of number -1 are zero. The tangent space V takes the entries (i, j) and (j, i)
together wherever both are in the pattern, so that N -> N + N^T is one-to-one on V and misses nothing that
the pattern can reach. With E_k the indicator of the entries of tangent parameter k and S_k = (E_k + E_k^T)/2,
the S_k are orthogonal, and the unique m in V whose symmetric part is the orthogonal (Frobenius) projection
of a symmetric matrix H on the symmetric parts of V has the parameters

    m_k = <E_k, H> / |S_k|^2.

The metric tr((N + N^T)(M + M^T)) gives E_k the length 2 |S_k|: parameters divided by 1 / (2 |S_k|) are
orthonormal coordinates.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ._table import Table


def pairs(labels: Tensor) -> Tensor:
    """Mark the entries (i, j) of a pattern for which (j, i) is in the pattern too, shape (n, n)."""
    return (labels >= 0) & (labels.mT >= 0)


def _slots(labels: Tensor, size: int) -> Tensor:
    """Parameter numbers of the flattened matrix, zeros in the slot behind the last."""
    return torch.where(labels >= 0, labels, size).flatten()


def _counts(labels: Tensor, size: int) -> Tensor:
    """Number of entries of each parameter, float64 (size,)."""
    slots = _slots(labels, size)
    ones = torch.ones(slots.numel(), dtype=torch.float64)
    return torch.zeros(size + 1, dtype=torch.float64).scatter_add(0, slots, ones)[:size]


def _numbered(labels: Tensor, size: int) -> Tensor:
    """Rename the parameters that occur to 0, 1, 2, ..., in their order."""
    number = torch.cumsum(_counts(labels, size) > 0, 0) - 1
    return torch.where(labels >= 0, number[labels.clamp_min(0)], -1)


class Numbering:
    """A space of matrices with zero and tied entries, and its parameters.

    Args:
        n: Number of rows.
        labels: Gives the parameter of each entry, -1 for zeros, shape (n, n).
        size: Number of parameters.
    """

    def __init__(self, n: int, labels: Callable[[], Tensor], size: int) -> None:
        self.n = n
        self.size = size
        self._spread = Table(lambda: _slots(labels(), size))
        self._first = Table(lambda: self._first_entries(labels()))

    def _first_entries(self, labels: Tensor) -> Tensor:
        slots = _slots(labels, self.size)
        entries = torch.arange(slots.numel())
        first = torch.full((self.size + 1,), slots.numel())
        return first.scatter_reduce(0, slots, entries, "amin")[: self.size]

    def read(self, matrix: Tensor) -> Tensor:
        """Read the parameters of matrices of the space, (..., n, n) to (..., size)."""
        return matrix.flatten(-2).index_select(-1, self._first(matrix))

    def write(self, parameters: Tensor) -> Tensor:
        """Make the matrices of parameters, (..., size) to (..., n, n)."""
        padded = torch.cat((parameters, torch.zeros_like(parameters[..., :1])), -1)
        return padded.index_select(-1, self._spread(parameters)).unflatten(-1, (self.n, self.n))

    def sums(self, matrix: Tensor) -> Tensor:
        """Sum any matrix over the entries of each parameter, (..., n, n) to (..., size)."""
        flat = matrix.flatten(-2)
        start = flat.new_zeros((*flat.shape[:-1], self.size + 1))
        return start.index_add(-1, self._spread(matrix), flat)[..., : self.size]


class Pattern:
    """The pattern of a structure: its matrices A, its tangent space V, and the projection on V.

    Args:
        n: Number of rows.
        labels: Gives the parameter of each entry, -1 for zeros, shape (n, n).
        size: Number of parameters of a matrix A.
        dim: Dimension of V.
        tied: Whether a parameter stands at more than one entry.
    """

    def __init__(self, n: int, labels: Callable[[], Tensor], size: int, dim: int, tied: bool) -> None:
        def joined() -> Tensor:
            own = labels()
            return _numbered(torch.where(pairs(own), torch.minimum(own, own.mT), own), size)

        self.tied = tied
        self.matrices = Numbering(n, labels, size)
        self.tangents = Numbering(n, joined, dim)
        self._labels, self._joined = labels, joined
        self.mask = Table(lambda: labels() >= 0)
        self._counts = Table(lambda: _counts(labels(), size))
        self._lengths = Table(lambda: self._symmetric_lengths(joined()).sqrt())
        self._squares = Table(lambda: self._symmetric_lengths(joined()))
        self.everything = size == n * n and not tied
        self._weight = Table(lambda: 0.5 * torch.add(*self._entry_weights()))
        self._own_weight = Table(lambda: self._entry_weights()[0])
        self._transposed_weight = Table(lambda: self._entry_weights()[1])

    def _symmetric_lengths(self, joined: Tensor) -> Tensor:
        """Squared Frobenius norms of S_k: half of |E_k|^2 + <E_k, E_k^T>."""
        dim = self.tangents.size
        both = torch.where(joined == joined.mT, joined, -1)
        return 0.5 * (_counts(joined, dim) + _counts(both, dim))

    def _entry_weights(self) -> tuple[Tensor, Tensor]:
        """Weights of H and of H^T that make ``pull`` of a pattern without ties one elementwise formula."""
        joined = self._joined()
        square = torch.cat((self._symmetric_lengths(joined), torch.full((1,), torch.inf).double()))
        own = 1 / square[_slots(joined, self.tangents.size)].view_as(joined)
        beside = ~torch.eye(joined.shape[-1], dtype=torch.bool)
        return own, torch.where(pairs(self._labels()) & beside, own, 0.0)

    def nearest(self, matrix: Tensor) -> Tensor:
        """Project any matrix orthogonally on the pattern of A, (..., n, n)."""
        if self.everything:
            return matrix
        if self.tied:
            return self.matrices.write(self.matrices.sums(matrix) / self._counts(matrix))
        return torch.where(self.mask(matrix), matrix, 0)

    def pull(self, matrix: Tensor) -> Tensor:
        """Compute m in V with parameters <E_k, M> / |S_k|^2, for any matrix M, (..., n, n)."""
        if self.tied:
            return self.tangents.write(self.tangents.sums(matrix) / self._squares(matrix))
        return self._own_weight(matrix) * matrix + self._transposed_weight(matrix) * matrix.mT

    def project(self, matrix: Tensor) -> Tensor:
        """Compute ``pull`` of the symmetric part of any matrix, (..., n, n)."""
        double = matrix + matrix.mT
        if self.everything:
            return double.mul_(0.5)
        return self.pull(double.mul_(0.5)) if self.tied else double.mul_(self._weight(matrix))

    def coordinates(self, tangent: Tensor) -> Tensor:
        """Read orthonormal coordinates of matrices of V, (..., n, n) to (..., dim)."""
        return self.tangents.read(tangent) * (2 * self._lengths(tangent))

    def from_coordinates(self, eta: Tensor) -> Tensor:
        """Make the matrices of V with orthonormal coordinates eta, (..., dim) to (..., n, n)."""
        return self.tangents.write(eta / (2 * self._lengths(eta)))
