"""The structured factor A of a symmetric positive-definite matrix A A^T: geometry of one linear pattern."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from .._checks import require_last
from .._constants import is_readable
from .._linalg import product
from ._factorize import ordered_cholesky, require_product
from ._packed import PackedFactor
from ._structure import Structure
from ._truncation import moved


class StructuredFactor(Structure):
    """A group G of matrices A with a linear pattern, which parametrises the SPD matrices tau = A A^T.

    Made by ``lie.structured_factor``. At a point A the chart is tau(N) = A h(N) h(N)^T A^T, with N in the
    tangent space V: the pattern of A, symmetric where entries (i, j) and (j, i) are both in the pattern. The
    metric is the affine-invariant one of SPD matrices, tr(tau^-1 U tau^-1 W), which at the origin of the
    chart is <N, M> = tr((N + N^T)(M + M^T)). The projection of H = A^T g A, where g is the Euclidean gradient
    of a loss of tau, is the unique Pi(H) in V whose symmetric part is the orthogonal projection of H on the
    symmetric parts of V, and

        N = -(beta / 2) Pi(H)

    is a natural-gradient step of size beta (the Riemannian gradient is Pi(H) / 2). Momentum may be summed in
    N, or in its orthonormal coordinates, from step to step: the chart moves with A.

    Matrices are dense tensors (..., n, n) that hold the zeros of the pattern; ``pack`` and ``packed`` have
    the compact form. Equal arguments make equal objects.

    Source: W. Lin, V. Duruisseaux, M. Leok, F. Nielsen, M. E. Khan, M. Schmidt, Simplifying momentum-based
    positive-definite submanifold optimization, ICML 2023 (generalised normal coordinates); the groups: W.
    Lin, F. Nielsen, M. E. Khan, M. Schmidt, Tractable structured natural-gradient descent using local
    parameterizations, ICML 2021.

    Attributes:
        kind: Name of the structure.
        n: Number of rows.
        options: The options of the structure.
        dim: Number of tangent coordinates, the dimension of the set of tau.
        memory: Number of stored numbers of A.
        closed: Whether the pattern is a group, so that A h(N) has it again.
        not_closed: Why not, and the mend, where it is none.
        geodesic: Whether the geodesics of all SPD matrices between matrices of that set stay in it.
    """

    closed: bool = True
    not_closed: str = ""

    _packed: PackedFactor

    @property
    @abstractmethod
    def dual(self) -> StructuredFactor:
        """The structure of A^T and of A^-T, in which (A expm(N))^-T = A^-T expm(-N^T)."""

    @property
    def packed(self) -> PackedFactor:
        """The operations on compact storage, (..., memory)."""
        return self._packed

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw expm(N) with normal coordinates of variance 1/n, shape (*batch, n, n)."""
        eta = torch.randn(*batch, self.dim, generator=generator, dtype=dtype, device=device) / self.n**0.5
        identity = self.identity(dtype=dtype, device=device)
        return self.chart(identity, self.from_coordinates(eta), h="exp")

    # The tangent space

    def project(self, H: Tensor, A: Tensor | None = None) -> Tensor:
        """Compute Pi(H): in V, with the symmetric part that is nearest to that of H, (..., n, n).

        Args:
            H: Matrices, shape (..., n, n); their symmetric parts are projected.
            A: The factor at which V is taken, which matters for patterns that are not closed.

        Returns:
            Elements of V, shape (..., n, n).
        """
        self._require(H, "H")
        return self._pattern.project(H)

    def pull_back(self, A: Tensor, egrad_tau: Tensor) -> Tensor:
        """Compute Pi(A^T g A), twice the Riemannian gradient, from the derivative g by tau = A A^T.

        Args:
            A: Factor, shape (..., n, n).
            egrad_tau: Derivative g of the loss by tau, shape (..., n, n); its symmetric part is used.

        Returns:
            An element of V, shape (..., n, n).
        """
        self._require_two(A, "A", egrad_tau, "egrad_tau")
        H = product(A.mT, product(egrad_tau, A))
        return self._pattern.project(H) if self.closed else self.project(H, A)

    def coordinates(self, N: Tensor, A: Tensor | None = None) -> Tensor:
        """Compute orthonormal coordinates of elements of V, (..., n, n) to (..., dim).

        Args:
            N: Elements of V, shape (..., n, n).
            A: The factor at which V is taken, which matters for patterns that are not closed.

        Returns:
            Coordinates, shape (..., dim).
        """
        self._require(N, "N")
        return self._pattern.coordinates(N)

    def from_coordinates(self, eta: Tensor, A: Tensor | None = None) -> Tensor:
        """Compute the elements of V with orthonormal coordinates eta, (..., dim) to (..., n, n).

        Args:
            eta: Coordinates, shape (..., dim).
            A: The factor at which V is taken, which matters for patterns that are not closed.

        Returns:
            Elements of V, shape (..., n, n).
        """
        self._require_coordinates(eta)
        return self._pattern.from_coordinates(eta)

    def inner(self, N: Tensor, M: Tensor) -> Tensor:
        """Compute the metric tr((N + N^T)(M + M^T)) of elements of V, shape (...)."""
        self._require(N, "N")
        self._require(M, "M")
        return ((N + N.mT) * (M + M.mT)).sum((-2, -1))

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
        return 0.25 * self._pattern.pull(product(A.mT, egrad))

    def gradient_of_matrix(self, A: Tensor, egrad_tau: Tensor) -> Tensor:
        """Compute the Riemannian gradient Pi(A^T g A) / 2 from the derivative g by tau = A A^T.

        Args:
            A: Factor, shape (..., n, n).
            egrad_tau: Derivative g of the loss by tau, shape (..., n, n); its symmetric part is used.

        Returns:
            The gradient, an element of V, shape (..., n, n).
        """
        return 0.5 * self.pull_back(A, egrad_tau)

    # Moving A

    def chart(self, A: Tensor, N: Tensor, h: str = "h2") -> Tensor:
        """Compute A h(N), (..., n, n).

        ========  =======================  ================  =============================================
        h         h(N)                     error of tau(N)   invertible
        ========  =======================  ================  =============================================
        "exp"     expm(N)                  none              always
        "h2"      I + N + N^2 / 2          O(N^3)            always: N in V has real eigenvalues x, and
                                                             1 + x + x^2/2 >= 1/2
        "h1"      I + N                    O(N^2)            but for an eigenvalue -1; surely if the
                                                             Frobenius norm of N is below 1
        "cayley"  (I - N/2)^-1 (I + N/2)   O(N^3)            but for an eigenvalue -2; undefined at 2
        ========  =======================  ================  =============================================

        A negative eigenvalue x of N shrinks that direction, |h(x)| < 1, for x > -2 only, with "h1" and
        "h2" alike: keep the norm of a step below 2.

        Args:
            A: Factor, shape (..., n, n).
            N: Elements of V, shape (..., n, n).
            h: "exp", "h2", "h1" or "cayley".

        Returns:
            The factor A h(N), shape (..., n, n), with the exact zeros of the pattern.
        """
        self._require_two(A, "A", N, "N")
        return self._pattern.nearest(moved(A, N, h))

    def retract(self, A: Tensor, N: Tensor, h: str | None = None) -> Tensor:
        """Move A along N and stay in the pattern, (..., n, n): ``chart`` with "h2" unless h says otherwise.

        Args:
            A: Factor, shape (..., n, n).
            N: Elements of V, shape (..., n, n).
            h: "exp", "h2", "h1" or "cayley"; None means "h2".

        Returns:
            The factor, shape (..., n, n).
        """
        return self.chart(A, N, "h2" if h is None else h)

    def expm(self, N: Tensor) -> Tensor:
        """Compute the matrix exponential, which has the pattern, (..., n, n)."""
        return self._alone(N, "exp")

    def h2(self, N: Tensor) -> Tensor:
        """Compute I + N + N^2/2, (..., n, n)."""
        return self._alone(N, "h2")

    def h1(self, N: Tensor) -> Tensor:
        """Compute I + N, (..., n, n)."""
        return self._alone(N, "h1")

    def compose(self, A: Tensor, B: Tensor) -> Tensor:
        """Compute the product A B, which has the pattern, (..., n, n)."""
        self._require_two(A, "A", B, "B")
        return self._pattern.nearest(product(A, B))

    def inverse(self, A: Tensor) -> Tensor:
        """Compute A^-1, which has the pattern, (..., n, n)."""
        self._require(A, "A")
        return self._pattern.nearest(torch.linalg.inv_ex(A)[0])

    # The SPD matrix

    def matrix(self, A: Tensor) -> Tensor:
        """Compute tau = A A^T, (..., n, n)."""
        self._require(A, "A")
        return product(A, A.mT)

    def inverse_matrix(self, A: Tensor) -> Tensor:
        """Compute (A A^T)^-1 = A^-T A^-1, (..., n, n): tau where the factor parametrises tau^-1."""
        self._require(A, "A")
        inverse = torch.linalg.inv_ex(A)[0]
        return product(inverse.mT, inverse)

    def factorize(self, tau: Tensor, *, check: bool = True, tol: float | None = None) -> Tensor:
        """Compute a factor A of the pattern with A A^T = tau, (..., n, n).

        By a Cholesky factorisation in an order of rows in which the pattern is lower triangular: if tau has a
        factor of the pattern, it is this one up to an orthogonal matrix of the pattern.

        Args:
            tau: SPD matrices, shape (..., n, n), of the set that the structure parametrises.
            check: Whether to refuse other matrices; if not, the factor of one is meaningless, NaN for a
                matrix that is not positive definite.
            tol: Largest error of A A^T accepted, relative to the largest entry of tau; None means the square
                root of the dtype's epsilon.

        Returns:
            The factor, shape (..., n, n), with a positive diagonal.

        Raises:
            ValueError: If tau is not symmetric positive definite, or has no factor of the pattern.
        """
        self._require(tau, "tau")
        root = self._root(tau)
        if check and is_readable(tau):
            require_product(root.detach(), tau.detach(), self.name, tol)
        return root

    def _root(self, tau: Tensor) -> Tensor:
        root = ordered_cholesky(tau, self._rows(tau), self._rows_back(tau))
        return self._pattern.nearest(root)

    # Arguments

    def _require_coordinates(self, eta: Tensor) -> None:
        require_last(eta, self.dim, "eta", f"tangent coordinates of {self.name}")

    def _alone(self, n: Tensor, h: str) -> Tensor:
        self._require(n, "N")
        return self.chart(self.identity(dtype=n.dtype, device=n.device), n, h)
