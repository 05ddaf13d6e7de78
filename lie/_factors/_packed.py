"""Operations on the stored numbers of a structured factor, for matrices too large to hold densely."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._checks import require_last, require_shape
from .._linalg import wide_product

if TYPE_CHECKING:
    from ._factor import StructuredFactor


class PackedFactor:
    """The algebra of a structure on compact storage, (..., memory).

    Elements of V are stored like factors, with the numbers of the pattern. Here every operation goes through
    (n, n) matrices; structures whose products are cheaper override them.

    Args:
        factor: The structure.

    Attributes:
        factor: The structure.
    """

    def __init__(self, factor: StructuredFactor) -> None:
        self.factor = factor

    def __repr__(self) -> str:
        return f"{self.factor!r}.packed"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackedFactor) and other.factor == self.factor

    def __hash__(self) -> int:
        return hash((PackedFactor, self.factor))

    def __reduce__(self) -> tuple[Callable[[StructuredFactor], PackedFactor], tuple[StructuredFactor]]:
        return attrgetter("packed"), (self.factor,)

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Make the stored numbers of identity matrices, shape (*batch, memory)."""
        return self.factor.pack(self.factor.identity(*batch, dtype=dtype, device=device))

    def multiply(self, stored: Tensor, X: Tensor, *, transpose: bool = False) -> Tensor:
        """Compute A X or A^T X.

        Args:
            stored: Stored numbers of A, shape (..., memory).
            X: Columns, shape (..., n, m).
            transpose: Whether A^T X is computed.

        Returns:
            The product, shape (..., n, m).
        """
        self._require(stored, "stored")
        self._require_columns(X)
        return self._multiply(stored, X, transpose)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute the stored numbers of the product A B, (..., memory)."""
        if not self.factor.closed:
            raise ValueError(self.factor.not_closed)
        self._require(a, "a")
        self._require(b, "b")
        return self._compose(a, b)

    def gram(self, X: Tensor) -> Tensor:
        """Compute the stored numbers of Pi(X X^T), (..., n, m) to (..., memory)."""
        self._require_columns(X)
        return self._gram(X)

    def own_gram(self, stored: Tensor) -> Tensor:
        """Compute the stored numbers of Pi(A^T A), (..., memory)."""
        self._require(stored, "stored")
        return self._own_gram(stored)

    def trace(self, stored: Tensor) -> Tensor:
        """Compute the trace of A, shape (...)."""
        self._require(stored, "stored")
        return self._trace(stored)

    def shift(self, stored: Tensor, c: float) -> Tensor:
        """Compute the stored numbers of A + c I, (..., memory)."""
        self._require(stored, "stored")
        return self._shift(stored, c)

    def norm(self, stored: Tensor) -> Tensor:
        """Compute the Frobenius norm of A, shape (...)."""
        self._require(stored, "stored")
        return self._norm(stored)

    def norm_bound(self, stored: Tensor) -> Tensor:
        """Compute an upper bound of the 2-norm of A, shape (...).

        It is the smaller one of |A|_F, which is close for matrices of low rank, and (|A|_1 |A|_inf)^(1/2),
        which is exact for diagonal ones.

        Args:
            stored: Stored numbers of A, shape (..., memory).

        Returns:
            The bound, shape (...).
        """
        self._require(stored, "stored")
        return self._norm_bound(stored)

    def chart(self, stored: Tensor, N: Tensor, h: str = "h2") -> Tensor:
        """Compute the stored numbers of A h(N), (..., memory), see ``StructuredFactor.chart``.

        "h1" and "h2" work on stored numbers; "exp" and "cayley" go through (n, n) matrices.

        Args:
            stored: Stored numbers of A, shape (..., memory).
            N: Stored numbers of an element of V, shape (..., memory).
            h: "exp", "h2", "h1" or "cayley".

        Returns:
            Stored numbers of the factor, shape (..., memory).
        """
        if h not in ("h1", "h2"):
            factor = self.factor
            return factor.pack(factor.chart(factor.unpack(stored), factor.unpack(N), h))
        first = self.compose(stored, N)
        return stored + first if h == "h1" else stored + first + 0.5 * self._compose(first, N)

    # What a structure overrides

    def _multiply(self, stored: Tensor, columns: Tensor, transpose: bool) -> Tensor:
        matrix = self.factor.unpack(stored)
        return wide_product(matrix.mT if transpose else matrix, columns)

    def _compose(self, a: Tensor, b: Tensor) -> Tensor:
        return self.factor.pack(self.factor.compose(self.factor.unpack(a), self.factor.unpack(b)))

    def _gram(self, columns: Tensor) -> Tensor:
        return self.factor.pack(self.factor.project(wide_product(columns, columns.mT)))

    def _own_gram(self, stored: Tensor) -> Tensor:
        return self._gram(self.factor.unpack(stored).mT)

    def _trace(self, stored: Tensor) -> Tensor:
        return self.factor.unpack(stored).diagonal(dim1=-2, dim2=-1).sum(-1)

    def _shift(self, stored: Tensor, c: float) -> Tensor:
        return stored + c * self.identity(dtype=stored.dtype, device=stored.device)

    def _norm(self, stored: Tensor) -> Tensor:
        if self.factor._pattern.tied:
            return self.factor.unpack(stored).square().sum((-2, -1)).sqrt()
        return stored.square().sum(-1).sqrt()

    def _norm_bound(self, stored: Tensor) -> Tensor:
        sizes = stored.abs()
        ones = torch.ones(self.factor.n, 1, dtype=stored.dtype, device=stored.device)
        rows = self._multiply(sizes, ones, transpose=False).amax((-2, -1))
        columns = self._multiply(sizes, ones, transpose=True).amax((-2, -1))
        return torch.minimum((rows * columns).sqrt(), self._norm(stored))

    # Arguments

    def _require(self, stored: Tensor, name: str) -> None:
        require_last(stored, self.factor.memory, name, f"stored numbers of {self.factor.name}")

    def _require_columns(self, columns: Tensor) -> None:
        if columns.ndim < 2:
            raise ValueError(
                f"X must have shape (..., {self.factor.n}, m), columns of {self.factor.n} entries, got "
                f"{tuple(columns.shape)}."
            )
        require_shape(columns, (self.factor.n, columns.shape[-1]), "X", f"columns for {self.factor.name}")
