"""SPD matrices with a structured factor as a manifold, whose elements are the factors."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import require_one_device
from .._divided_differences import EXP
from .._linalg import product, solve
from .._manifold import Manifold
from .._spd_manifold import SPDManifold
from .._spd_metrics import root
from .._spectral import logarithm, spectral
from ._factor import StructuredFactor
from ._truncation import TRUNCATIONS


class StructuredSPD(Manifold):
    """The SPD matrices tau = A A^T with a structured factor A, given by their factors (..., n, n).

    Made by ``lie.SPD(n, structure=...)``. Two factors with equal A A^T are the same point. Tangents N
    (..., n, n) are elements of the structure's space V, seen in the frame of their point: N at A is the
    velocity A (N + N^T) A^T of tau. The metric is the affine-invariant one, which in this frame is
    tr((N + N^T)(M + M^T)) at every point. So a step of a momentum method is

        G = gradient(A, g);  Z = momentum Z + G;  A = retract(A, -rate Z)

    without a transport: the frame moves with A. For structures with symmetric V (full, diagonal,
    block-diagonal, circulant) and h="exp" the steps are exact geodesics and the transport along them is
    parallel; so they are, within their flat set, for triangular Toeplitz factors, which commute. For the
    others it is the transport of the flat connection of the group, which differs from it in first order.

    Args:
        factor: The structure, from ``lie.structured_factor``.
        h: Approximation of the exponential in ``retract``, see ``StructuredFactor.chart``; None means "h2",
            and for a structure that is not a group its own retraction.

    Attributes:
        factor: The structure.
        h: The approximation.

    Raises:
        ValueError: If h is unknown, or the structure is no group and h is given.
    """

    def __init__(self, factor: StructuredFactor, h: str | None = None) -> None:
        if h is not None and not factor.closed:
            raise ValueError(factor.not_closed)
        if h is not None and h not in TRUNCATIONS:
            raise ValueError(f"h must be one of {', '.join(map(repr, TRUNCATIONS))}, got {h!r}.")
        self.factor = factor
        self.h = h
        options = {**factor.options, **({} if h is None else {"h": h})}
        given = "".join(f", {key}={value!r}" for key, value in options.items())
        self.name = f'SPD({factor.n}, structure="{factor.kind}"{given})'
        self.dim = factor.dim
        self.element_shape = (factor.n, factor.n)

    # Factors and their matrices

    def matrix(self, A: Tensor) -> Tensor:
        """Compute tau = A A^T, (..., n, n)."""
        return self.factor.matrix(A)

    def factorize(self, tau: Tensor, *, check: bool = True) -> Tensor:
        """Compute the element A with A A^T = tau, see ``StructuredFactor.factorize``, (..., n, n)."""
        return self.factor.factorize(tau, check=check)

    def residual(self, x: Tensor) -> Tensor:
        """Compute the largest distance of an entry from the pattern, shape (...); infinite if singular."""
        return self.factor.residual(x)

    def project(self, x: Tensor) -> Tensor:
        """Compute the nearest matrices of the pattern of A, (..., n, n)."""
        return self.factor.nearest(x)

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw factors, see ``StructuredFactor.random``, shape (*batch, n, n)."""
        return self.factor.random(*batch, generator=generator, dtype=dtype, device=device)

    # Tangents

    def inner(self, A: Tensor, N: Tensor, M: Tensor) -> Tensor:
        """Compute the affine-invariant inner product tr((N + N^T)(M + M^T)), shape (...)."""
        self._require_tangent(A, N, "N")
        return self.factor.inner(N, M)

    def norm(self, A: Tensor, N: Tensor) -> Tensor:
        """Compute the length of a tangent, shape (...); at N = 0 the slope is taken as 0."""
        return root(self.inner(A, N, N))

    def project_tangent(self, A: Tensor, N: Tensor) -> Tensor:
        """Compute the tangent nearest to any matrix N, by the velocity of tau in the metric, (..., n, n)."""
        self._require_tangent(A, N, "N")
        return self.factor.project(N, A)

    def gradient(self, A: Tensor, egrad_tau: Tensor) -> Tensor:
        """Compute the Riemannian gradient Pi(H) / 2, H = A^T g A, of a loss of tau, (..., n, n).

        retract(A, -beta gradient) is the natural-gradient step N = -(beta / 2) Pi(H). The Fisher metric of a
        Gaussian's covariance or precision is half of this one: there a step beta is a step 2 beta here.

        Args:
            A: Factor, shape (..., n, n).
            egrad_tau: Euclidean gradient g of the loss by tau = A A^T, shape (..., n, n).

        Returns:
            The gradient, a tangent at A, shape (..., n, n).
        """
        return self.factor.gradient_of_matrix(A, egrad_tau)

    def gradient_of_factor(self, A: Tensor, egrad: Tensor) -> Tensor:
        """Compute the Riemannian gradient from the derivative of the loss by the entries of A."""
        return self.factor.gradient(A, egrad)

    def retract(self, A: Tensor, N: Tensor) -> Tensor:
        """Move A along N to A h(N), (..., n, n)."""
        return self.factor.retract(A, N, self.h)

    def transport(self, A: Tensor, B: Tensor, N: Tensor) -> Tensor:
        """Carry a tangent from A to B in the moving frame, (..., n, n): N itself where V is the same.

        Args:
            A: Factor where N is, shape (..., n, n).
            B: Factor to carry it to, shape (..., n, n).
            N: Tangent at A, shape (..., n, n).

        Returns:
            Tangent at B, shape (..., n, n); for a structure that is no group, Pi(N) there.
        """
        self._require_tangent(A, N, "N")
        self._require_tangent(B, N, "N")
        if not self.factor.closed:
            return self.factor.project(N, B)
        return N.expand(torch.broadcast_shapes(A.shape, B.shape, N.shape))

    def random_tangent(self, A: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a tangent with standard normal orthonormal coordinates, (..., n, n)."""
        self._require_element(A, "A")
        eta = torch.randn(*A.shape[:-2], self.dim, generator=generator, dtype=A.dtype, device=A.device)
        return self.factor.from_coordinates(eta, A)

    # Distances

    def squared_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the squared affine-invariant distance of x x^T and y y^T among all SPD matrices.

        It is twice differentiable at equal points. Within a structure whose matrices are not totally geodesic
        the shortest way is longer.

        Args:
            x: Factors, shape (..., n, n).
            y: Factors, shape (..., n, n).
            check: Whether values are checked.

        Returns:
            Sum of the squared logarithms of the eigenvalues of tau_x^-1 tau_y, shape (...).

        Raises:
            ValueError: If an argument is no factor of the structure.
        """
        return self._log(x, y, check).square().sum((-2, -1))

    def distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the root of the squared distance, shape (...); at equal points the slope is taken as 0."""
        return root(self.squared_distance(x, y, check=check))

    def interpolate(self, x: Tensor, y: Tensor, s: Tensor | float, *, check: bool = True) -> Tensor:
        """Compute a factor of the point at share s of the geodesic from x x^T to y y^T.

        Args:
            x: Factors, shape (..., n, n).
            y: Factors, shape (..., n, n).
            s: Share of the way, shape (...).
            check: Whether values are checked.

        Returns:
            Factors, shape (..., n, n).

        Raises:
            ValueError: If an argument is no factor of the structure, or geodesics leave it.
        """
        self._require_geodesics("interpolate")
        step = self._log(x, y, check)
        s = s if isinstance(s, Tensor) else torch.tensor(s, dtype=step.dtype, device=step.device)
        between = spectral(EXP, s[..., None, None] * step)
        return self.factor.compose(x, self.factor.factorize(between, check=False))

    def mean(self, points: Tensor, weights: Tensor | None = None, *, check: bool = True) -> Tensor:
        """Compute a factor of the Karcher mean of the matrices of factors.

        Args:
            points: Factors, shape (..., N, n, n).
            weights: Weights of any positive sum, shape (..., N); None means equal ones.
            check: Whether values are checked.

        Returns:
            Factor, shape (..., n, n).

        Raises:
            ValueError: If a point is no factor of the structure, or geodesics leave it.
        """
        self._require_geodesics("mean")
        self._require_member(points, "points", check)
        mean = SPDManifold(self.factor.n).mean(self.factor.matrix(points), weights, check=check)
        return self.factor.factorize(mean, check=False)

    def _log(self, x: Tensor, y: Tensor, check: bool) -> Tensor:
        """Logarithm of x^-1 tau_y x^-T, the velocity in the frame of x of the geodesic to y."""
        require_one_device(x, "x", y, "y")
        self._require_member(x, "x", check)
        self._require_member(y, "y", check)
        change = solve(x, y - x)
        excess = change + change.mT + product(change, change.mT)  # of x^-1 tau_y x^-T above the identity
        eye = torch.eye(self.factor.n, dtype=excess.dtype, device=excess.device)
        return logarithm(eye + excess, excess.detach())

    # Arguments

    def _require_tangent(self, A: Tensor, N: Tensor, name: str) -> None:
        self._require_element(A, "A")
        self._require_element(N, name)
        require_one_device(A, "A", N, name)

    def _require_geodesics(self, operation: str) -> None:
        if not self.factor.geodesic:
            raise ValueError(
                f"{operation} follows the geodesics of all SPD matrices, which leave {self.name}. Do it in "
                f'lie.SPD({self.factor.n}), or with structure="lower", which has all SPD matrices.'
            )

    def _refuse_strangers(self, x: Tensor, name: str, tol: float) -> None:
        self.factor.check(x, name, tol)
