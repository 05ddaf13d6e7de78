"""The affine-invariant geometry of symmetric positive definite matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from ._checks import require_one_device
from ._divided_differences import EXP, SQRT, Power
from ._linalg import product, promote, solve
from ._riemannian import RiemannianManifold
from ._spd_mean import spd_mean
from ._spd_metrics import OtherMetrics, root
from ._spectral import logarithm, spectral, symmetrised
from ._whitening import cholesky, congruence, left_solve, whiten


class SPDManifold(OtherMetrics, RiemannianManifold):
    r"""Symmetric positive definite matrices P (..., n, n) with the metric <U, V> = tr(P^-1 U P^-1 V).

    Made by ``lie.SPD(n)``. Tangent vectors are symmetric matrices (..., n, n). The metric is
    affine-invariant: P to G P G^T, for any invertible G, and P to P^-1 keep all distances. Any two points are
    joined by one geodesic, and exp and log are defined everywhere. The Fisher metric of a Gaussian in its
    covariance, or precision, is half of this one.

    Every operation looks from a factor P = L L^T, found by Cholesky's method, at L^-1 X L^-T; spectral
    functions are those of ``lie.symmetric``. First and second derivatives hold everywhere, at equal points
    and at equal eigenvalues; third derivatives are refused.

    ``log_euclidean_...``, ``log_cholesky_...`` and ``bures_wasserstein_...`` belong to other metrics.

    Source: X. Pennec, P. Fillard, N. Ayache, A Riemannian framework for tensor computing, 2006; R. Bhatia,
    Positive Definite Matrices, chapter 6.

    Examples:
        >>> import torch
        >>> import lie
        >>> P = torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64))
        >>> lie.SPD(2).log(torch.eye(2, dtype=torch.float64), P)
        tensor([[0.0000, 0.0000],
                [0.0000, 1.3863]], dtype=torch.float64)
    """

    # Tangent vectors

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the symmetric part of v, (..., n, n)."""
        self._require_tangent(x, v, "v")
        return torch.broadcast_tensors(promote(symmetrised(v), x)[0], x)[0]

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Compute tr(x^-1 u x^-1 v), shape (...)."""
        self._require_tangent(x, u, "u")
        self._require_tangent(x, v, "v")
        L = cholesky(x)
        return (whiten(L, u) * whiten(L, v)).sum((-2, -1))

    def norm(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the length of v, shape (...); at v = 0 the slope is taken as 0."""
        self._require_tangent(x, v, "v")
        return root(whiten(cholesky(x), v).square().sum((-2, -1)))

    def gradient(self, x: Tensor, euclidean: Tensor) -> Tensor:
        """Compute x sym(g) x from the Euclidean gradient g of a function of x, (..., n, n)."""
        self._require_tangent(x, euclidean, "euclidean")
        return congruence(x, symmetrised(euclidean))

    def random_tangent(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a standard normal vector of the tangent space with its inner product, (..., n, n)."""
        self._require_element(x, "x")
        drawn = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return congruence(cholesky(x), symmetrised(drawn))

    # Geodesics

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the end of the geodesic, L expm(L^-1 v L^-T) L^T with x = L L^T, (..., n, n)."""
        self._require_tangent(x, v, "v")
        L = cholesky(x)
        return congruence(L, spectral(EXP, whiten(L, v)))

    def log(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute L logm(L^-1 y L^-T) L^T with x = L L^T, (..., n, n), to digits relative to y - x."""
        self._require_points(x, "x", y, "y", check)
        L = cholesky(x)
        return congruence(L, _relative_log(L, x, y))

    def retract(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute x + v + v x^-1 v / 2, (..., n, n): positive definite for any v, exp up to O(v^3)."""
        self._require_tangent(x, v, "v")
        L = cholesky(x)
        moved = L.mT + left_solve(L, symmetrised(v))
        return symmetrised(0.5 * (x + product(moved.mT, moved)))

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Carry v along the geodesic from x to y: E v E^T with E = (y x^-1)^(1/2), an isometry."""
        self._require_tangent(x, y, "y")
        self._require_tangent(x, v, "v")
        L = cholesky(x)
        return congruence(L, congruence(spectral(SQRT, whiten(L, y)), whiten(L, v)))

    def squared_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the sum of the squared logarithms of the eigenvalues of x^-1 y, shape (...)."""
        self._require_points(x, "x", y, "y", check)
        return _relative_log(cholesky(x), x, y).square().sum((-2, -1))

    def interpolate(self, x: Tensor, y: Tensor, s: Tensor | float, *, check: bool = True) -> Tensor:
        """Compute L (L^-1 y L^-T)^s L^T with x = L L^T, the weighted geometric mean, (..., n, n).

        Args:
            x: Point at s = 0, shape (..., n, n).
            y: Point at s = 1, shape (..., n, n).
            s: Share of the way, shape (...), any real numbers.
            check: Whether values are checked.

        Returns:
            Points of the geodesic, shape (..., n, n).

        Raises:
            ValueError: If x or y is not positive definite.
        """
        self._require_points(x, "x", y, "y", check)
        L = cholesky(x)
        if isinstance(s, Tensor):
            between = spectral(EXP, s[..., None, None] * _relative_log(L, x, y))
        else:
            between = spectral(Power(float(s)), whiten(L, y))
        return congruence(L, between)

    def mean(self, points: Tensor, weights: Tensor | None = None, *, check: bool = True) -> Tensor:
        """Compute the Karcher mean M, at which sum of w_i log(M^-1/2 P_i M^-1/2) = 0: there is always one.

        By Newton's method from the geometric mean of the arithmetic and the harmonic mean. First and second
        derivatives by points and weights are those of the implicit function. Inside transforms, where it
        cannot look, it takes a fixed number of steps; the mean is NaN if they were too few.

        Args:
            points: Points P_i, shape (..., N, n, n).
            weights: Weights w_i >= 0 of any positive sum, shape (..., N); None means equal ones.
            check: Whether values are checked.

        Returns:
            The mean, shape (..., n, n).

        Raises:
            ValueError: If there is no point, a point is not positive definite, or rounding hides the mean.
        """
        self._require_member(points, "points", check)
        return spd_mean(points, weights, self.name, check)

    # Charts

    def normal_coordinates(self, K: Tensor, eta: Tensor) -> Tensor:
        """Compute K exp(eta) K^T, the point with normal coordinates eta about K K^T.

        For any factor K of the centre. At eta = 0 the metric is tr(eta eta), with derivative zero, and the
        straight lines through eta = 0 are geodesics: K exp(eta) K^T = exp(K K^T, K eta K^T).

        Args:
            K: Invertible matrices, shape (..., n, n).
            eta: Symmetric matrices, shape (..., n, n).

        Returns:
            Points, shape (..., n, n).
        """
        self._require_tangent(K, eta, "eta", "K")
        return congruence(K, spectral(EXP, eta))

    def normal_coordinates_inverse(self, K: Tensor, x: Tensor, *, check: bool = True) -> Tensor:
        """Compute log(K^-1 x K^-T), the normal coordinates of x about K K^T, (..., n, n).

        Args:
            K: Invertible matrices, shape (..., n, n).
            x: Points, shape (..., n, n).
            check: Whether values are checked.

        Returns:
            Symmetric matrices, shape (..., n, n).

        Raises:
            ValueError: If x is not positive definite.
        """
        self._require_tangent(K, x, "x", "K")
        self._require_member(x, "x", check)
        half = solve(K, symmetrised(x))
        return logarithm(solve(K, half.mT))

    def move_frame(self, K: Tensor, eta: Tensor) -> Tensor:
        """Compute K exp(eta / 2), a factor of the point with normal coordinates eta, (..., n, n).

        Parallel transport along the geodesic from K K^T to that point carries K M K^T to the same expression
        in the new factor, for every symmetric M: coordinates in the moving frame do not change.

        Args:
            K: Invertible matrices, shape (..., n, n).
            eta: Symmetric matrices, shape (..., n, n).

        Returns:
            Invertible matrices, shape (..., n, n).
        """
        self._require_tangent(K, eta, "eta", "K")
        return product(K, spectral(EXP, 0.5 * eta))

    def _require_tangent(self, x: Tensor, v: Tensor, name: str, x_name: str = "x") -> None:
        require_one_device(x, x_name, v, name)
        self._require_element(x, x_name)
        self._require_element(v, name)


def _relative_log(L: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Logarithm of L^-1 y L^-T for x = L L^T, with digits relative to y - x."""
    return logarithm(whiten(L, y), whiten(L.detach(), (y - x).detach()))
