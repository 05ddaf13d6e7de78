"""The special linear groups SL(n)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from . import _generic, _unimodular
from ._linalg import determinant
from ._matrix_group import MatrixLieGroup
from ._pairs import PairCoordinates


class SpecialLinearGroup(MatrixLieGroup):
    """Matrices of determinant 1, (..., n, n). Made by ``SL``."""

    def __init__(self, n: int) -> None:
        self.name = f"SL({n})"
        self.matrix_dim = n
        self.dim = n * n - 1
        self.cayley_closed = n == 2  # SL(2) = Sp(2)
        super().__init__()

    def __reduce__(self) -> tuple[Callable[[int], SpecialLinearGroup], tuple[int]]:
        return SL, (self.matrix_dim,)

    def basis(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Give the basis of the algebra, orthonormal for tr(A^T B) / 2, shape (n^2 - 1, n, n)."""
        n = self.matrix_dim
        skew = PairCoordinates(n, skew=True)
        rotations = skew.matrix(torch.eye(skew.dim, dtype=torch.float64))
        diagonals = [
            torch.tensor([1.0] * k + [-float(k)] + [0.0] * (n - 1 - k), dtype=torch.float64).diag()
            * math.sqrt(2 / (k * (k + 1)))
            for k in range(1, n)
        ]
        return torch.cat((rotations, rotations.abs(), torch.stack(diagonals))).to(dtype=dtype, device=device)

    def exp(self, xi: Tensor) -> Tensor:
        """Compute the matrix exponential of hat(xi), in closed form for SL(2), (..., dim) to (..., n, n)."""
        A = self.hat(xi)
        return _unimodular.exponential(A) if self.matrix_dim == 2 else _generic.exponential(A)

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the coordinates of the principal logarithm, in closed form for SL(2).

        The exponential is not onto: a matrix with an eigenvalue on the closed negative axis has no principal
        logarithm, and often no real one. On SL(2) it exists for tr g > -2. Next to that axis digits are lost.

        Args:
            g: Matrices of determinant 1, shape (..., n, n).
            check: Whether values are checked; without, NaN marks what has no logarithm.

        Returns:
            Coordinates, shape (..., n^2 - 1).

        Raises:
            ValueError: If an element is not in the group or has no real principal logarithm.
        """
        closed = self.matrix_dim == 2
        return self._log_by(_unimodular.logarithm if closed else _generic.logarithm, g, check)

    def inverse(self, g: Tensor) -> Tensor:
        """Compute the inverse matrix, (..., n, n); for SL(2) the adjugate, without a division."""
        if self.matrix_dim > 2:
            return super().inverse(g)
        self._require_element(g, "g")
        (a, b), (c, d) = (rows.split(1, -1) for rows in g.split(1, -2))
        return torch.cat((torch.cat((d, -b), -1), torch.cat((-c, a), -1)), -2)

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw exp(A) with A normal and of trace zero, shape (*batch, n, n).

        The group is not compact: there is no uniform distribution. The entries of A off the diagonal have
        variance 1 / n: its eigenvalues fill the unit disk, |A| is near 2 for every n, and the distribution
        does not change under g -> Q g Q^T for rotations Q.

        Args:
            *batch: Batch dimensions.
            generator: Source of randomness.
            dtype: Dtype.
            device: Device.

        Returns:
            Elements, shape (*batch, n, n).
        """
        xi = torch.randn(*batch, self.dim, generator=generator, dtype=dtype, device=device)
        return self.exp(xi / math.sqrt(2 * self.matrix_dim))

    def project(self, x: Tensor) -> Tensor:
        """Divide by the n-th root of the determinant.

        Args:
            x: Matrices, shape (..., n, n).

        Returns:
            Matrices of determinant 1, shape (..., n, n); NaN where the determinant is not positive.
        """
        self._require_element(x, "x")
        unit = x / x.detach().abs().amax((-2, -1), keepdim=True)
        size = determinant(unit)
        scale = torch.where(size > 0, size, torch.nan) ** (-1 / self.matrix_dim)
        return unit * scale.unsqueeze(-1).unsqueeze(-1)

    def residual(self, x: Tensor) -> Tensor:
        """Compute |det x - 1|, shape (...)."""
        self._require_element(x, "x")
        return (determinant(x) - 1).abs()


def SL(n: int) -> SpecialLinearGroup:
    """Make the group of n x n matrices of determinant 1.

    Tangent coordinates of A, of trace zero, are orthonormal for tr(A^T B) / 2: those of its skew part, in the
    order and with the signs of ``SO``, then (A_ij + A_ji) / 2 for the same pairs, then the diagonal taken
    against diag(1, -1, 0, ...), diag(1, 1, -2, 0, ...) / sqrt(3) and so on. The first ones alone give SO(n).
    The Cayley transform leaves SL(n) for n >= 3 and is refused there.

    Args:
        n: Number of rows, at least 2.

    Returns:
        The group, one for each n.

    Raises:
        ValueError: If n is not an integer of at least 2.

    Examples:
        >>> import torch
        >>> from lie import SL
        >>> g = SL(3).exp(torch.ones(8, dtype=torch.float64))
        >>> bool(SL(3).residual(g) < 1e-14)
        True
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise ValueError(f"n of SL(n) must be an integer of at least 2, the number of rows, got {n!r}.")
    return _special_linear(n)


@cache
def _special_linear(n: int) -> SpecialLinearGroup:
    return SpecialLinearGroup(n)
