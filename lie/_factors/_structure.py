"""A linear pattern with a name: its stored numbers, membership, and what equal structures share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from .._checks import require_last, require_matrix, require_one_device
from .._manifold import first_bad
from ._pattern import Pattern
from ._table import Table


class Structure(ABC):
    """Matrices (..., n, n) of a linear pattern, a stateless object that equals its like.

    Args:
        kind: Name of the structure.
        n: Number of rows.
        options: Its options, which with ``kind`` and ``n`` say all about it.
        memory: Number of stored numbers of a matrix.
        dim: Number of tangent coordinates.
        tied: Whether a stored number stands at more than one entry.
        geodesic: Whether the matrices A A^T are a totally geodesic set.
    """

    kind: str
    n: int
    options: dict[str, object]
    name: str
    memory: int
    dim: int
    geodesic: bool

    def __init__(
        self,
        kind: str,
        n: int,
        options: dict[str, object],
        *,
        memory: int,
        dim: int,
        tied: bool,
        geodesic: bool,
    ) -> None:
        self.kind, self.n, self.options = kind, n, dict(options)
        self.name = f"{kind}({n}{self._written_options()})"
        self.memory, self.dim, self.geodesic = memory, dim, geodesic
        self._pattern = Pattern(n, self._labels, memory, dim, tied)
        self._rows = Table(lambda: torch.tensor(self._order()))
        self._rows_back = Table(lambda: torch.argsort(torch.tensor(self._order())))

    @abstractmethod
    def _labels(self) -> Tensor:
        """Number of the stored parameter at each entry, -1 where the entry is zero, int64 (n, n)."""

    def _order(self) -> list[int]:
        """Order of rows and columns in which the pattern is (block) lower triangular."""
        return list(range(self.n))

    def _written_options(self) -> str:
        return "".join(f", {key}={value!r}" for key, value in self.options.items())

    def __repr__(self) -> str:
        return f'lie.structured_factor("{self.kind}", {self.n}{self._written_options()})'

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Structure) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __reduce__(self) -> tuple[Callable[..., Structure], tuple[object, ...]]:
        from ._names import remake

        return remake, (self.kind, self.n, self.options)

    # Matrices of the pattern

    @property
    def mask(self) -> Tensor:
        """True where an entry of A is not zero by the pattern, bool (n, n) on the CPU."""
        return self._pattern.mask(torch.empty(0)).clone()

    def nearest(self, M: Tensor) -> Tensor:
        """Compute the matrix of the pattern that is nearest to M in the Frobenius norm, (..., n, n)."""
        self._require(M, "M")
        return self._pattern.nearest(M)

    def pack(self, A: Tensor) -> Tensor:
        """Read the stored numbers of matrices of the pattern, (..., n, n) to (..., memory)."""
        self._require(A, "A")
        return self._pattern.matrices.read(A)

    def unpack(self, stored: Tensor) -> Tensor:
        """Make the matrices of stored numbers, (..., memory) to (..., n, n)."""
        require_last(stored, self.memory, "stored", f"stored numbers of {self.name}")
        return self._pattern.matrices.write(stored)

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Make identity matrices, shape (*batch, n, n)."""
        return torch.eye(self.n, dtype=dtype, device=device).repeat(*batch, 1, 1)

    def residual(self, A: Tensor) -> Tensor:
        """Compute the largest distance of an entry from the pattern, shape (...).

        Args:
            A: Matrices, shape (..., n, n).

        Returns:
            The distance; infinite for a singular matrix, NaN where an entry is not finite.
        """
        self._require(A, "A")
        defect = (A - self._pattern.nearest(A)).abs().amax((-2, -1))
        defect = torch.where(torch.linalg.slogdet(A.detach())[1] == -torch.inf, torch.inf, defect)
        return torch.where(torch.isfinite(A).all(-1).all(-1), defect, torch.nan)

    def check(self, A: Tensor, name: str = "A", tol: float | None = None) -> None:
        """Refuse matrices that do not have the pattern or are singular.

        It reads values, so it is not for use inside ``vmap`` or ``torch.compile``.

        Args:
            A: Matrices, shape (..., n, n).
            name: Name of the argument in the message.
            tol: Largest residual accepted; None means the square root of the dtype's epsilon.

        Raises:
            ValueError: If a matrix is refused; the message names the entry.
        """
        defect = self.residual(A.detach())
        tol = torch.finfo(A.dtype).eps ** 0.5 if tol is None else tol
        good = defect <= tol
        if bool(good.all()):
            return
        where, index = first_bad(good, name)
        if bool(defect[index].isnan()):
            raise ValueError(f"{where} has entries that are not finite; {name} must be in {self.name}.")
        if bool(defect[index].isinf()):
            raise ValueError(f"{where} is singular; {name} must hold invertible matrices of {self.name}.")
        off = (A[index] - self._pattern.nearest(A[index])).detach().abs()
        row, column = divmod(int(off.argmax()), self.n)
        raise ValueError(
            f"{where} does not have the pattern of {self.name}: entry ({row}, {column}) is off by "
            f"{float(defect[index]):.3g}, more than {tol:.3g}. Bring it there with nearest, or pass a "
            "larger tol."
        )

    # Arguments

    def _require(self, x: Tensor, name: str) -> None:
        require_matrix(x, self.n, name, self.name)

    def _require_two(self, a: Tensor, a_name: str, b: Tensor, b_name: str) -> None:
        self._require(a, a_name)
        self._require(b, b_name)
        require_one_device(a, a_name, b, b_name)
