"""Stiefel manifolds: orthonormal p-frames in R^n, with the Euclidean or the canonical metric."""

from __future__ import annotations

from torch import Tensor

from ._barycentre import normalised_weights
from ._frames import Frames, inner_product, split, without_symmetric
from ._generic import exponential
from ._linalg import product
from ._rotation_log import rotation_logarithm
from ._stiefel_geodesic import coefficients, logarithm

_WEIGHTS = {"euclidean": 1.0, "canonical": 0.5}


class Stiefel(Frames):
    """Matrices X (..., n, p) with orthonormal columns, X^T X = I.

    Stiefel(n, n) is O(n) and Stiefel(n, 1) a sphere. Tangent vectors V (..., n, p) at X have a skew X^T V:
    V = X A + B with A skew and X^T B = 0. The metric is

    - "euclidean": tr(U^T V), that of the matrices, |A|^2 + |B|^2;
    - "canonical": tr(U^T (I - X X^T / 2) V) = |A|^2 / 2 + |B|^2, that of the quotient of SO(n).

    Geodesics, logarithms, distances and ``gradient`` are those of the metric. ``exp`` costs an exponential of
    2p by 2p matrices; ``log`` some ten times p^2 of 4p by 4p ones, for p up to about ten. ``retract`` is
    of second order: the polar factor for the Euclidean metric, which also mends drift at about the cost of
    ``exp``, the Cayley transform for the canonical one, at half of it or less. ``retract_qr`` is cheapest.

    Args:
        n: Number of rows.
        p: Number of columns, at most n.
        metric: "euclidean" or "canonical".

    Raises:
        ValueError: If n and p are no integers with 1 <= p <= n, or the metric is neither of the two.

    Examples:
        >>> import torch
        >>> from lie import Stiefel
        >>> frames = Stiefel(5, 2)
        >>> x, y = frames.random(2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> bool(torch.allclose(frames.exp(x, frames.log(x, y)), y))
        True
    """

    def __init__(self, n: int, p: int, metric: str = "euclidean") -> None:
        if metric not in _WEIGHTS:
            raise ValueError(f'metric must be "euclidean" or "canonical", got {metric!r}.')
        suffix = "" if metric == "euclidean" else f', metric="{metric}"'
        super().__init__(f"Stiefel({n}, {p}{suffix})", n, p)
        self.metric = metric
        self.dim = n * p - p * (p + 1) // 2
        self._weight = _WEIGHTS[metric]

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute V - X sym(X^T V), the nearest tangent vector in either metric, (..., n, p)."""
        self._require_points(x, "x", v, "v")
        return without_symmetric(x, v)

    def gradient(self, x: Tensor, euclidean: Tensor) -> Tensor:
        """Compute the Riemannian gradient of a function with Euclidean gradient G, (..., n, p).

        It is G - X sym(X^T G) in the Euclidean metric and G - X G^T X in the canonical one.

        Args:
            x: Frames, shape (..., n, p).
            euclidean: Euclidean gradients G, shape (..., n, p).

        Returns:
            Tangent vectors at x, shape (..., n, p).
        """
        self._require_points(x, "x", euclidean, "euclidean")
        if self.metric == "euclidean":
            return without_symmetric(x, euclidean)
        return euclidean - product(x, product(euclidean.mT, x))

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Compute tr(U^T V), in the canonical metric less half of tr((X^T U)^T X^T V), shape (...)."""
        self._require_points(x, "x", u, "u")
        self._require_points(x, "x", v, "v")
        whole = inner_product(x, u, v)
        if self.metric == "euclidean":
            return whole
        return whole - 0.5 * (product(x.mT, u) * product(x.mT, v)).sum((-2, -1))

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the end of the geodesic of the metric that leaves x with velocity v, (..., n, p).

        Args:
            x: Frames, shape (..., n, p).
            v: Tangent vectors at x, shape (..., n, p).

        Returns:
            Frames, shape (..., n, p).
        """
        self._require_points(x, "x", v, "v")
        turn, across = split(x, v)
        if self.n == self.p:
            return product(x, exponential(turn))
        along, apart = coefficients(turn, product(across.mT, across), self._weight)
        return product(x, along) + product(across, apart)

    def log(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the velocity at x of the geodesic to y, (..., n, p).

        Geodesics shorter than pi in the Euclidean metric (Zimmermann and Stoye 2024) and than 0.89 pi in the
        canonical one (Rentmeesters 2013) are the shortest; they are found by Newton's method. A longer one
        that is found leads to y, but may not be the shortest. For p = n the logarithm is the principal one of
        X^T Y, which is always the shortest.

        Args:
            x: Frames, shape (..., n, p).
            y: Frames, shape (..., n, p).
            check: Whether values are checked.

        Returns:
            Tangent vectors at x, shape (..., n, p); NaN where none was found.

        Raises:
            ValueError: If an argument is no frame, or no geodesic was found.
        """
        self._require_points(x, "x", y, "y", check)
        if self.n == self.p:
            v = product(x, rotation_logarithm(product(x.mT, y)))
        else:
            v = logarithm(x, y, self._weight)
        if check:
            found = ~v.detach().isnan().any(-1).any(-1)
            reason = "is too far from its x: no geodesic to it was found. Go there in shorter steps."
            if self.n == self.p:
                reason = (
                    "differs from its x by a reflection or a half turn: no geodesic to it is the shortest."
                )
            self._refuse_unsolved(v, found, "y", reason)
        return v

    def retract(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute ``retract_polar`` for the Euclidean metric, ``retract_cayley`` for the canonical one."""
        return self.retract_polar(x, v) if self.metric == "euclidean" else self.retract_cayley(x, v)

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Compute the projection of v on the tangent space at y, (..., n, p).

        It is a vector transport, right to first order and no isometry: parallel transport has no closed form.

        Args:
            x: Frames, shape (..., n, p).
            y: Frames, shape (..., n, p).
            v: Tangent vectors at x, shape (..., n, p).

        Returns:
            Tangent vectors at y, shape (..., n, p).
        """
        self._require_points(x, "x", y, "y")
        self._require_points(x, "x", v, "v")
        return without_symmetric(y, v)

    def chordal_mean(self, points: Tensor, weights: Tensor | None = None, *, check: bool = True) -> Tensor:
        """Compute the frame of least weighted sum of |X_i - X|^2, the polar factor of the weighted mean.

        It needs no logarithm; ``mean`` takes distances along the manifold instead.

        Args:
            points: Frames, shape (..., N, n, p).
            weights: Weights of any positive sum, shape (..., N); None means equal ones.
            check: Whether values are checked.

        Returns:
            The mean, shape (..., n, p); NaN where the weighted mean has a rank below p.

        Raises:
            ValueError: If there is no point, a point is no frame, or the weighted mean has a rank below p.
        """
        self._require_member(points, "points", check)
        points, weights = normalised_weights(points, weights, 2)
        mean = self.project((weights.unsqueeze(-1).unsqueeze(-1) * points).sum(-3))
        if check:
            found = ~mean.detach().isnan().any(-1).any(-1)
            self._refuse_unsolved(mean, found, "points", "have no chordal mean: they cancel each other.")
        return mean
