"""Structures constant along diagonals: triangular Toeplitz matrices and circulant matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from ._factor import StructuredFactor
from ._packed import PackedFactor
from ._table import Table


def fast_length(least: int) -> int:
    """Find the first length from ``least`` on without prime factors above 5, whose transforms are fast."""
    length = least
    while _without_small_factors(length) != 1:
        length += 1
    return length


def _without_small_factors(number: int) -> int:
    for factor in (2, 3, 5):
        while number % factor == 0:
            number //= factor
    return number


def _forward(x: Tensor, length: int) -> Tensor:
    """Transform rows (..., n), padded with zeros to a length."""
    if x.numel() == 0:  # the transform refuses empty batches
        return x.new_zeros((*x.shape[:-1], length // 2 + 1)).to(torch.promote_types(x.dtype, torch.complex64))
    return torch.fft.rfft(x, n=length)


def _backward(spectrum: Tensor, length: int) -> Tensor:
    """Transform back to rows (..., length)."""
    if spectrum.numel() == 0:
        return spectrum.real.new_zeros((*spectrum.shape[:-1], length))
    return torch.fft.irfft(spectrum, n=length)


class ToeplitzFactor(StructuredFactor):
    """Triangular Toeplitz matrices, a commutative group; stored is the first column (lower) or row (upper).

    Args:
        n: Number of rows.
        triangle: "lower" or "upper".
    """

    def __init__(self, n: int, triangle: str) -> None:
        self.triangle = triangle
        super().__init__(f"{triangle}_toeplitz", n, {}, memory=n, dim=n, tied=True, geodesic=n == 1)
        self._packed = PackedToeplitz(self, fast_length(2 * n - 1))

    def _labels(self) -> Tensor:
        index = torch.arange(self.n)
        offset = index[:, None] - index
        return (offset if self.triangle == "lower" else -offset).clamp_min(-1)

    def _order(self) -> list[int]:
        return list(range(self.n) if self.triangle == "lower" else reversed(range(self.n)))

    @property
    def dual(self) -> StructuredFactor:
        """The structure of A^T and of A^-T, in which (A expm(N))^-T = A^-T expm(-N^T)."""
        return ToeplitzFactor(self.n, "upper" if self.triangle == "lower" else "lower")


class CirculantFactor(StructuredFactor):
    """Circulant matrices, entry (i, j) a function of i - j modulo n; stored is the first column.

    V holds the symmetric ones, with which everything commutes: the geometry is flat.

    Args:
        n: Number of rows.
    """

    def __init__(self, n: int) -> None:
        super().__init__("circulant", n, {}, memory=n, dim=n // 2 + 1, tied=True, geodesic=True)
        self._packed = PackedToeplitz(self, n)

    def _labels(self) -> Tensor:
        index = torch.arange(self.n)
        return (index[:, None] - index) % self.n

    @property
    def dual(self) -> StructuredFactor:
        """The structure itself: transposed circulant matrices are circulant."""
        return self

    def _root(self, tau: Tensor) -> Tensor:
        """The circulant SPD square root."""
        column = self.pack(self.nearest(0.5 * (tau + tau.mT)))
        return self.unpack(_backward(_forward(column, self.n).real.sqrt(), self.n))


class PackedToeplitz(PackedFactor):
    """The algebra of Toeplitz and circulant factors on stored numbers, by fast Fourier transforms.

    Args:
        factor: The structure.
        length: Length of the transforms: n where diagonals wrap, at least 2 n - 1 where they do not.
    """

    def __init__(self, factor: ToeplitzFactor | CirculantFactor, length: int) -> None:
        super().__init__(factor)
        self._length = length
        self._wraps = isinstance(factor, CirculantFactor)
        self._flip = isinstance(factor, ToeplitzFactor) and factor.triangle == "upper"
        # Entries on each diagonal.
        self._counts = Table(lambda: torch.arange(factor.n, 0, -1, dtype=torch.float64))

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Make the stored numbers of identity matrices, shape (*batch, memory)."""
        one = torch.ones(*batch, 1, dtype=dtype, device=device)
        return torch.nn.functional.pad(one, (0, self.factor.n - 1))

    def _forward(self, x: Tensor) -> Tensor:
        return _forward(x, self._length)

    def _back(self, spectrum: Tensor) -> Tensor:
        return _backward(spectrum, self._length)[..., : self.factor.n]

    def _multiply(self, stored: Tensor, columns: Tensor, transpose: bool) -> Tensor:
        spectrum = self._forward(stored).unsqueeze(-2)
        # The transposed matrix correlates where the matrix convolves.
        spectrum = spectrum.conj() if transpose != self._flip else spectrum
        return self._back(spectrum * self._forward(columns.mT)).mT

    def _compose(self, a: Tensor, b: Tensor) -> Tensor:
        return self._back(self._forward(a) * self._forward(b))

    def _gram(self, columns: Tensor) -> Tensor:
        spectrum = self._forward(columns.mT)
        power = (spectrum.real.square() + spectrum.imag.square()).sum(-2)
        return self._averaged(self._back(power))

    def _own_gram(self, stored: Tensor) -> Tensor:
        # Diagonal k of A^T A sums d_p d_(p+k) for each of the n - k - p rows that have both entries.
        counted = stored * self.factor.n if self._wraps else stored * self._counts(stored)
        return self._averaged(self._back(self._forward(stored).conj() * self._forward(counted)))

    def _averaged(self, sums: Tensor) -> Tensor:
        """Pi from the sums of a symmetric matrix along its diagonals."""
        if self._wraps:
            return sums / self.factor.n
        averages = 2 * sums / self._counts(sums)
        return torch.cat((0.5 * averages[..., :1], averages[..., 1:]), -1)

    def _trace(self, stored: Tensor) -> Tensor:
        return self.factor.n * stored[..., 0]

    def _shift(self, stored: Tensor, c: float) -> Tensor:
        return torch.cat((stored[..., :1] + c, stored[..., 1:]), -1)

    def _norm(self, stored: Tensor) -> Tensor:
        squares = stored.square()
        return (squares * (self.factor.n if self._wraps else self._counts(stored))).sum(-1).sqrt()

    def _norm_bound(self, stored: Tensor) -> Tensor:
        # The last row holds every number once, and no row or column more.
        return torch.minimum(stored.abs().sum(-1), self._norm(stored))
