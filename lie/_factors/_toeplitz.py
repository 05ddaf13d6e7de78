"""Structures constant along diagonals: triangular Toeplitz matrices and circulant matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from ._factor import StructuredFactor
from ._packed import PackedFactor


def _forward(x: Tensor, length: int) -> Tensor:
    """Transform columns (..., n, m), padded with zeros to a length."""
    if x.numel() == 0:  # the transform refuses empty batches
        return x.new_zeros((*x.shape[:-2], length // 2 + 1, x.shape[-1])).to(
            torch.promote_types(x.dtype, torch.complex64)
        )
    return torch.fft.rfft(x, n=length, dim=-2)


def _backward(spectrum: Tensor, length: int) -> Tensor:
    """Transform back to columns (..., length, m)."""
    if spectrum.numel() == 0:
        return spectrum.real.new_zeros((*spectrum.shape[:-2], length, spectrum.shape[-1]))
    return torch.fft.irfft(spectrum, n=length, dim=-2)


class ToeplitzFactor(StructuredFactor):
    """Triangular Toeplitz matrices, a commutative group; stored is the first column (lower) or row (upper).

    Args:
        n: Number of rows.
        triangle: "lower" or "upper".
    """

    def __init__(self, n: int, triangle: str) -> None:
        self.triangle = triangle
        super().__init__(f"{triangle}_toeplitz", n, {}, memory=n, dim=n, tied=True, geodesic=n == 1)
        self._packed = PackedToeplitz(self, 2 * n)

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
        column = self.pack(self.nearest(0.5 * (tau + tau.mT))).unsqueeze(-1)
        root = _backward(_forward(column, self.n).real.sqrt(), self.n)
        return self.unpack(root.squeeze(-1))


class PackedToeplitz(PackedFactor):
    """The algebra of Toeplitz and circulant factors on stored numbers, by fast Fourier transforms.

    Args:
        factor: The structure.
        length: Length of the transforms: n where diagonals wrap, 2 n where they do not.
    """

    def __init__(self, factor: ToeplitzFactor | CirculantFactor, length: int) -> None:
        super().__init__(factor)
        self._length = length
        self._flip = isinstance(factor, ToeplitzFactor) and factor.triangle == "upper"

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Make the stored numbers of identity matrices, shape (*batch, memory)."""
        one = torch.ones(*batch, 1, dtype=dtype, device=device)
        return torch.nn.functional.pad(one, (0, self.factor.n - 1))

    def _forward(self, x: Tensor) -> Tensor:
        return _forward(x, self._length)

    def _back(self, spectrum: Tensor) -> Tensor:
        return _backward(spectrum, self._length)[..., : self.factor.n, :]

    def _multiply(self, stored: Tensor, columns: Tensor, transpose: bool) -> Tensor:
        spectrum = self._forward(stored.unsqueeze(-1))
        # The transposed matrix correlates where the matrix convolves.
        spectrum = spectrum.conj() if transpose != self._flip else spectrum
        return self._back(spectrum * self._forward(columns))

    def _compose(self, a: Tensor, b: Tensor) -> Tensor:
        return self._back(self._forward(a.unsqueeze(-1)) * self._forward(b.unsqueeze(-1))).squeeze(-1)

    def _gram(self, columns: Tensor) -> Tensor:
        n = self.factor.n
        spectrum = self._forward(columns)
        power = (spectrum.real.square() + spectrum.imag.square()).sum(-1, keepdim=True)
        sums = self._back(power).squeeze(-1)
        if self._length == n:
            return sums / n
        k = torch.arange(n, dtype=sums.dtype, device=sums.device)
        return sums * torch.where(k == 0, 1, 2) / (n - k)

    def _trace(self, stored: Tensor) -> Tensor:
        return self.factor.n * stored[..., 0]
