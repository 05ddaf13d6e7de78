"""Other metrics of positive definite matrices: log-Euclidean, log-Cholesky and Bures-Wasserstein."""

from __future__ import annotations

import torch
from torch import Tensor

from ._barycentre import normalised_weights
from ._checks import require_one_device
from ._divided_differences import EXP
from ._linalg import product
from ._polar import polar
from ._spd_set import PositiveDefiniteSet
from ._spectral import logarithm, spectral
from ._whitening import cholesky


def root(squared: Tensor) -> Tensor:
    """Compute a square root whose slope at 0 is taken as 0.

    Args:
        squared: Numbers, zero or positive.

    Returns:
        Their roots.
    """
    away = squared > 0
    return torch.where(away, torch.where(away, squared, 1).sqrt(), 0 * squared)


class OtherMetrics(PositiveDefiniteSet):
    """Distances, and means in closed form, of metrics other than the affine-invariant one.

    All squared distances are twice differentiable at x = y; the slope of a distance is taken as 0 there.
    """

    def log_euclidean_squared_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute |log x - log y|^2, shape (...) (Arsigny, Fillard, Pennec, Ayache 2007)."""
        self._require_pair(x, y, check)
        return (logarithm(x) - logarithm(y)).square().sum((-2, -1))

    def log_euclidean_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute |log x - log y|, shape (...): invariant under rotations, scaling and inversion."""
        return root(self.log_euclidean_squared_distance(x, y, check=check))

    def log_euclidean_mean(
        self, points: Tensor, weights: Tensor | None = None, *, check: bool = True
    ) -> Tensor:
        """Compute exp of the mean of the logarithms of points (..., N, n, n) with weights (..., N)."""
        self._require_member(points, "points", check)
        points, weights = normalised_weights(points, weights, 2)
        return spectral(EXP, (weights[..., None, None] * logarithm(points)).sum(-3))

    def log_cholesky_squared_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the squared distance of Cholesky factors, logarithms on the diagonal, shape (...).

        It takes no eigenvalues: the cheapest of the metrics. It depends on the order of the coordinates (Lin,
        Riemannian geometry of symmetric positive definite matrices via Cholesky decomposition, 2019).

        Args:
            x: Points, shape (..., n, n).
            y: Points, shape (..., n, n).
            check: Whether values are checked.

        Returns:
            Squared distance, shape (...).
        """
        self._require_pair(x, y, check)
        return (_log_cholesky(x) - _log_cholesky(y)).square().sum((-2, -1))

    def log_cholesky_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the distance of Cholesky factors, logarithms on the diagonal, shape (...)."""
        return root(self.log_cholesky_squared_distance(x, y, check=check))

    def log_cholesky_mean(
        self, points: Tensor, weights: Tensor | None = None, *, check: bool = True
    ) -> Tensor:
        """Compute the log-Cholesky mean of points (..., N, n, n) with weights (..., N); det is geometric."""
        self._require_member(points, "points", check)
        points, weights = normalised_weights(points, weights, 2)
        C = (weights[..., None, None] * _log_cholesky(points)).sum(-3)
        L = C.tril(-1) + torch.diag_embed(C.diagonal(dim1=-2, dim2=-1).exp())
        return product(L, L.mT)

    def bures_wasserstein_squared_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute tr x + tr y - 2 tr (x^1/2 y x^1/2)^1/2, shape (...).

        The squared 2-Wasserstein distance of centred Gaussians with these covariances. As the smallest
        |L_x - L_y U|^2 over rotations U of a factor, which keeps the digits of small distances (Bhatia, Jain,
        Lim, On the Bures-Wasserstein distance between positive definite matrices, 2019).

        Args:
            x: Points, shape (..., n, n).
            y: Points, shape (..., n, n).
            check: Whether values are checked.

        Returns:
            Squared distance, shape (...).
        """
        self._require_pair(x, y, check)
        Lx, Ly = cholesky(x), cholesky(y)
        return (Lx - product(Ly, polar(product(Ly.mT, Lx))[0])).square().sum((-2, -1))

    def bures_wasserstein_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the root of the Bures-Wasserstein squared distance, shape (...)."""
        return root(self.bures_wasserstein_squared_distance(x, y, check=check))

    def _require_pair(self, x: Tensor, y: Tensor, check: bool) -> None:
        require_one_device(x, "x", y, "y")
        self._require_member(x, "x", check)
        self._require_member(y, "y", check)


def _log_cholesky(x: Tensor) -> Tensor:
    L = cholesky(x)
    return L.tril(-1) + torch.diag_embed(L.diagonal(dim1=-2, dim2=-1).log())
