"""Banded triangular factors, which are no group: the same projection rule, and a retraction in the band."""

from __future__ import annotations

import torch
from torch import Tensor

from .._linalg import product
from ._factor import StructuredFactor
from ._packed import PackedFactor
from ._table import Table


class BandedFactor(StructuredFactor):
    """Triangular matrices with few diagonals, or such Toeplitz matrices: SPD matrices tau with a band.

    Products leave the band, so A h(N) is refused. The set of tau = A A^T is a manifold all the same (without
    ties, of all SPD matrices of that bandwidth, as a Cholesky factor keeps a band), with the tangent space
    V_A = {N : A N in the pattern} at A. Pi, the coordinates and the gradient are those of V_A, by a least
    squares problem of n^2 equations in ``memory`` unknowns, for moderate n; so they need A.

    ``retract`` moves the entries off the diagonal by those of A N and the logarithm of the diagonal by
    (A N)_ii / A_ii (the retraction of the log-Cholesky metric: Z. Lin, SIAM J. Matrix Anal. Appl. 40, 2019).

    Args:
        n: Number of rows.
        triangle: "lower" or "upper".
        bandwidth: Number of diagonals beside the main one.
        toeplitz: Whether every diagonal is constant.
    """

    closed = False

    def __init__(self, n: int, triangle: str, bandwidth: int, toeplitz: bool) -> None:
        self.triangle, self.bandwidth, self.toeplitz = triangle, bandwidth, toeplitz
        memory = sum(1 if toeplitz else n - k for k in range(bandwidth + 1))
        kind = f"{triangle}_banded" + ("_toeplitz" if toeplitz else "")
        super().__init__(
            kind,
            n,
            {"bandwidth": bandwidth},
            memory=memory,
            dim=memory,
            tied=toeplitz,
            geodesic=False,
        )
        self._basis = Table(self._indicators)
        self._packed = PackedFactor(self)
        self.not_closed = (
            f"{self.name} is not a group: products of its matrices leave the band. Move factors with "
            f'retract, which stays in it, or use the group "{triangle}".'
        )

    def _labels(self) -> Tensor:
        index = torch.arange(self.n)
        offset = index[:, None] - index if self.triangle == "lower" else index - index[:, None]
        inside = (offset >= 0) & (offset <= self.bandwidth)
        number = offset if self.toeplitz else torch.cumsum(inside.flatten(), 0).view(self.n, self.n) - 1
        return torch.where(inside, number, -1)

    def _order(self) -> list[int]:
        return list(range(self.n) if self.triangle == "lower" else reversed(range(self.n)))

    def _indicators(self) -> Tensor:
        return (self._labels() == torch.arange(self.memory)[:, None, None]).double()

    @property
    def dual(self) -> StructuredFactor:
        """The structure of A^T; that of A^-T has no band."""
        other = "upper" if self.triangle == "lower" else "lower"
        return BandedFactor(self.n, other, self.bandwidth, self.toeplitz)

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw the retraction of normal numbers of variance 1/n at the identity, shape (*batch, n, n)."""
        drawn = torch.randn(*batch, self.memory, generator=generator, dtype=dtype, device=device)
        return self.retract(self.identity(dtype=dtype, device=device), self.unpack(drawn / self.n**0.5))

    # The tangent space at A

    def _frame(self, A: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The inverse of A, and Q R of the map from entries B of the band to the symmetric part of A^-1 B."""
        if A is None:
            raise ValueError(
                f"{self.name} is not a group, so its tangent space depends on the factor: pass A."
            )
        self._require(A, "A")
        inverse = self._inverse(A)
        columns = product(inverse.unsqueeze(-3), self._basis(A))
        q, r = torch.linalg.qr((0.5 * (columns + columns.mT)).flatten(-2).mT)
        sign = r.diagonal(dim1=-2, dim2=-1).detach().sign()  # made positive, they are smooth in A
        return inverse, q * sign.unsqueeze(-2), r * sign.unsqueeze(-1)

    def _inverse(self, A: Tensor) -> Tensor:
        eye = torch.eye(self.n, dtype=A.dtype, device=A.device)
        return torch.linalg.solve_triangular(A, eye, upper=self.triangle == "upper")

    def _tangent(self, inverse: Tensor, band: Tensor) -> Tensor:
        return product(inverse, self._pattern.matrices.write(band.squeeze(-1)))

    def project(self, H: Tensor, A: Tensor | None = None) -> Tensor:
        """Compute Pi(H): N with A N in the band and the symmetric part nearest to that of H, (..., n, n).

        Args:
            H: Matrices, shape (..., n, n); their symmetric parts are projected.
            A: The factor at which V is taken, shape (..., n, n).

        Returns:
            Elements of V, shape (..., n, n).
        """
        self._require(H, "H")
        inverse, q, r = self._frame(A)
        right = product(q.mT, (0.5 * (H + H.mT)).flatten(-2).unsqueeze(-1))
        return self._tangent(inverse, torch.linalg.solve_triangular(r, right, upper=True))

    def coordinates(self, N: Tensor, A: Tensor | None = None) -> Tensor:
        """Compute orthonormal coordinates of elements of V, (..., n, n) to (..., dim).

        Args:
            N: Elements of V, shape (..., n, n).
            A: The factor at which V is taken, shape (..., n, n).

        Returns:
            Coordinates, shape (..., dim).
        """
        self._require(N, "N")
        _, q, _ = self._frame(A)
        return product(q.mT, (N + N.mT).flatten(-2).unsqueeze(-1)).squeeze(-1)

    def from_coordinates(self, eta: Tensor, A: Tensor | None = None) -> Tensor:
        """Compute the elements of V with orthonormal coordinates eta, (..., dim) to (..., n, n).

        Args:
            eta: Coordinates, shape (..., dim).
            A: The factor at which V is taken, shape (..., n, n).

        Returns:
            Elements of V, shape (..., n, n).
        """
        self._require_coordinates(eta)
        inverse, _, r = self._frame(A)
        band = torch.linalg.solve_triangular(2 * r, eta.unsqueeze(-1), upper=True)
        return self._tangent(inverse, band)

    def gradient(self, A: Tensor, egrad: Tensor) -> Tensor:
        """Compute the Riemannian gradient of a loss from its derivative by the entries of A.

        It is the G in V with <G, N> = tr(egrad^T A N) for all N in V.

        Args:
            A: Factor, shape (..., n, n).
            egrad: Derivative of the loss by A, as autograd gives it, shape (..., n, n).

        Returns:
            The gradient, an element of V, shape (..., n, n).
        """
        self._require_two(A, "A", egrad, "egrad")
        inverse, _, r = self._frame(A)
        slope = self._pattern.matrices.sums(egrad).unsqueeze(-1)
        half = torch.linalg.solve_triangular(r.mT, slope, upper=False)
        return self._tangent(inverse, 0.25 * torch.linalg.solve_triangular(r, half, upper=True))

    # Moving A

    def retract(self, A: Tensor, N: Tensor, h: str | None = None) -> Tensor:
        """Move A along N by the log-Cholesky retraction, which keeps the band and the sign of the diagonal.

        Args:
            A: Factor, shape (..., n, n).
            N: Elements of V, shape (..., n, n).
            h: None; the approximations of the exponential belong to groups.

        Returns:
            The factor, shape (..., n, n).

        Raises:
            ValueError: If h is given.
        """
        self._require_two(A, "A", N, "N")
        if h is not None:
            raise ValueError(self.not_closed)
        step = self._pattern.nearest(product(A, N))
        on = torch.eye(self.n, dtype=torch.bool, device=A.device)
        growth = torch.where(on, step, 0) / torch.where(on, A, 1)
        return torch.where(on, A * growth.exp(), A + step)

    def chart(self, A: Tensor, N: Tensor, h: str = "h2") -> Tensor:
        """Refuse A h(N), which leaves the band."""
        raise ValueError(self.not_closed)

    def compose(self, A: Tensor, B: Tensor) -> Tensor:
        """Refuse A B, which leaves the band."""
        raise ValueError(self.not_closed)

    def inverse(self, A: Tensor) -> Tensor:
        """Refuse A^-1, which leaves the band."""
        raise ValueError(
            f"{self.name} is not a group: inverses are triangular without a band. "
            "torch.linalg.solve_triangular gives the triangular inverse."
        )
