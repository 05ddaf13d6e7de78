"""The symplectic groups Sp(2n)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from . import _generic, _unimodular
from ._pairs import PairCoordinates
from ._quadratic import QuadraticGroup

_STEPS = 12


class SymplecticGroup(QuadraticGroup):
    """Symplectic matrices M, (..., 2n, 2n): M^T J M = J with J = [[0, I], [-I, 0]]. Made by ``Sp``."""

    def __init__(self, size: int) -> None:
        self.name = f"Sp({size})"
        self.matrix_dim = size
        self._pairs = PairCoordinates(size, skew=False)
        super().__init__()

    def __reduce__(self) -> tuple[Callable[[int], SymplecticGroup], tuple[int]]:
        return Sp, (self.matrix_dim,)

    def _form(self, X: Tensor) -> Tensor:
        upper, lower = X.split(self.matrix_dim // 2, -2)
        return torch.cat((-lower, upper), -2)

    def _unform(self, S: Tensor) -> Tensor:
        upper, lower = S.split(self.matrix_dim // 2, -2)
        return torch.cat((lower, -upper), -2)

    def _carrier(self, G: Tensor) -> Tensor:
        half = self.matrix_dim // 2
        (a, b), (c, d) = (rows.split(half, -1) for rows in G.split(half, -2))
        return torch.cat((torch.cat((d, -c), -1), torch.cat((-b, a), -1)), -2)

    def exp(self, xi: Tensor) -> Tensor:
        """Compute the exponential of hat(xi), in closed form for Sp(2), (..., dim) to (..., 2n, 2n)."""
        A = self.hat(xi)
        return _unimodular.exponential(A) if self.matrix_dim == 2 else _generic.exponential(A)

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the coordinates of the principal logarithm, in closed form for Sp(2).

        The exponential is not onto: a matrix with an eigenvalue on the closed negative axis has no principal
        logarithm, and often no real one. Next to that axis digits are lost.

        Args:
            g: Symplectic matrices, shape (..., 2n, 2n).
            check: Whether values are checked; without, NaN marks what has no logarithm.

        Returns:
            Coordinates, shape (..., n (2n + 1)).

        Raises:
            ValueError: If an element is not in the group or has no real principal logarithm.
        """
        closed = self.matrix_dim == 2
        return self._log_by(_unimodular.logarithm if closed else _generic.logarithm, g, check)

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw exp(J S) with S symmetric and normal, shape (*batch, 2n, 2n).

        The group is not compact: there is no uniform distribution. The entries of S off the diagonal have
        variance 1 / (2n), those on it twice as much: |J S| is near 2 for every n, and the distribution does
        not change under rotations of phase space that are symplectic.

        Args:
            *batch: Batch dimensions.
            generator: Source of randomness.
            dtype: Dtype.
            device: Device.

        Returns:
            Elements, shape (*batch, 2n, 2n).
        """
        xi = torch.randn(*batch, self.dim, generator=generator, dtype=dtype, device=device)
        return self.exp(xi / math.sqrt(self.matrix_dim))

    def project(self, x: Tensor) -> Tensor:
        """Compute the symplectic polar factor of matrices near the group.

        Newton's iteration M <- (M + (J^T M^T J)^-1) / 2 squares the defect (Higham, Mackey, Mackey and
        Tisseur, SIAM Journal on Matrix Analysis and Applications 26, 2005).

        Args:
            x: Matrices, shape (..., 2n, 2n).

        Returns:
            Symplectic matrices, shape (..., 2n, 2n); NaN where the iteration finds none.
        """
        self._require_element(x, "x")
        tolerance = torch.finfo(x.dtype).eps ** 0.5
        settled = False
        for _ in range(_STEPS):
            last = settled  # one step more for the second derivative
            moved = 0.5 * (x + torch.linalg.inv_ex(self._carrier(x).mT)[0])
            settled = _generic.settled(x, moved, tolerance)
            x = moved
            if last:
                break
        found = self.residual(x.detach()) <= tolerance
        return torch.where(found.unsqueeze(-1).unsqueeze(-1), x, torch.nan)

    def residual(self, x: Tensor) -> Tensor:
        """Compute max |x^T J x - J|, divided by the mean square of the singular values if above 1, (...)."""
        self._require_element(x, "x")
        return self._defect(x) / (x.square().sum((-2, -1)) / self.matrix_dim).clamp_min(1)


def Sp(size: int) -> SymplecticGroup:
    """Make the group of symplectic matrices of an even size.

    With J = [[0, I], [-I, 0]] and phase space ordered (q, p), M is symplectic if M^T J M = J. Its algebra
    holds J S with S symmetric: the linear Hamiltonian fields of the energies z^T S z / 2. Tangent
    coordinates are the entries S_ij for i <= j, row by row, those on the diagonal divided by sqrt(2): they
    are orthonormal for tr(A^T B) / 2.

    Args:
        size: Number of rows, even: 2n for n degrees of freedom.

    Returns:
        The group, one for each size.

    Raises:
        ValueError: If the size is not an even positive integer.

    Examples:
        >>> import torch
        >>> from lie import Sp
        >>> M = Sp(4).random(generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> bool(Sp(4).residual(M) < 1e-14)
        True
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 2 or size % 2:
        raise ValueError(
            "size of Sp(size) must be an even positive integer, 2n for n degrees of freedom "
            f"(Sp(4) holds 4 x 4 matrices), got {size!r}."
        )
    return _symplectic(size)


@cache
def _symplectic(size: int) -> SymplecticGroup:
    return SymplecticGroup(size)
