"""Grassmann manifolds: p-dimensional subspaces of R^n, held as orthonormal frames."""

from __future__ import annotations

import torch
from torch import Tensor

from ._constants import Constant
from ._frames import Frames, inner_product
from ._generic import exponential
from ._linalg import product, solve
from ._polar import polar
from ._spectral import symmetrised
from ._stiefel_geodesic import coefficients

_NODES = 13  # right to rounding: the error falls by 4.6^2 for each node


def _legendre() -> tuple[Constant, Constant]:
    """Nodes and weights of the Gauss rule on [0, 1], from the eigenvalues of its Jacobi matrix."""
    k = torch.arange(1, _NODES, dtype=torch.float64)
    side = torch.diag(k / (4 * k * k - 1).sqrt(), 1)
    nodes, vectors = torch.linalg.eigh(side + side.mT)
    return Constant(0.5 + 0.5 * nodes), Constant(vectors[0] ** 2)


_X, _W = _legendre()


class Grassmann(Frames):
    """Subspaces of dimension p of R^n, each represented by any orthonormal basis X (..., n, p), X^T X = I.

    X and X Q with Q in O(p) are the same point: their distance is zero; ``projector`` gives equal matrices.
    Tangent vectors at X are horizontal lifts V (..., n, p), X^T V = 0, and become V Q at X Q; results are
    lifts at the basis given. The metric is tr(U^T V); distances are the lengths of the vectors of principal
    angles. Derivatives are right at equal principal angles and at zero. Subspaces with a principal angle of
    pi/2, where X^T Y is singular, have no logarithm and no transport.

    Args:
        n: Dimension of the space.
        p: Dimension of the subspaces, at most n.

    Raises:
        ValueError: If n and p are no integers with 1 <= p <= n.

    Examples:
        >>> import torch
        >>> from lie import Grassmann
        >>> planes = Grassmann(5, 2)
        >>> x = planes.random(generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> bool(planes.distance(x, x.flip(-1)) < 1e-7)
        True
    """

    def __init__(self, n: int, p: int) -> None:
        super().__init__(f"Grassmann({n}, {p})", n, p)
        self.dim = p * (n - p)

    def projector(self, x: Tensor) -> Tensor:
        """Compute X X^T, (..., n, n): the orthogonal projection on the subspace, equal for all its bases."""
        self._require_element(x, "x")
        return product(x, x.mT)

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute V - X X^T V, the nearest horizontal vector, (..., n, p).

        It turns the Euclidean gradient of a function of the subspace into the Riemannian one, as ``gradient``
        does.

        Args:
            x: Frames, shape (..., n, p).
            v: Matrices, shape (..., n, p).

        Returns:
            Tangent vectors at x, shape (..., n, p).
        """
        self._require_points(x, "x", v, "v")
        return v - product(x, product(x.mT, v))

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Compute tr(U^T V), shape (...)."""
        self._require_points(x, "x", u, "u")
        self._require_points(x, "x", v, "v")
        return inner_product(x, u, v)

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the end of the geodesic from x along v, X cos(S) + V S^-1 sin(S) with S^2 = V^T V.

        The matrix functions are blocks of an exponential, without a singular value decomposition (Edelman,
        Arias and Smith 1998, equation 2.65).

        Args:
            x: Frames, shape (..., n, p).
            v: Tangent vectors at x, shape (..., n, p).

        Returns:
            Frames, shape (..., n, p).
        """
        self._require_points(x, "x", v, "v")
        square = product(v.mT, v)
        along, across = coefficients(torch.zeros_like(square), square, 0.5)
        return product(x, along) + product(v, across)

    def log(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the velocity at x of the shortest geodesic to the subspace of y, (..., n, p).

        Its singular values are the principal angles.

        Args:
            x: Frames, shape (..., n, p).
            y: Frames, shape (..., n, p).
            check: Whether values are checked.

        Returns:
            Tangent vectors at x, shape (..., n, p); NaN where a principal angle is pi/2.

        Raises:
            ValueError: If an argument is no frame, or a principal angle is pi/2, where many geodesics are the
                shortest.
        """
        self._require_points(x, "x", y, "y", check)
        v, _, _, sure = _compared(x, y)
        v = torch.where(sure, v, torch.nan)
        if check:
            reason = (
                "is orthogonal to a direction of its x: a principal angle is pi/2, and many geodesics are "
                "shortest. Move one of them."
            )
            self._refuse_unsolved(v, sure[..., 0, 0], "y", reason)
        return v

    def squared_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the sum of the squared principal angles, in square radians, shape (...).

        Twice differentiable at equal subspaces, where the slope is 0. Where principal angles are pi/2 it has
        a value and a kink. The gradient in x is -2 log(x, y).

        Args:
            x: Frames, shape (..., n, p).
            y: Frames, shape (..., n, p).
            check: Whether values are checked.

        Returns:
            Squared distances, shape (...).

        Raises:
            ValueError: If an argument is no frame.
        """
        self._require_points(x, "x", y, "y", check)
        return _compared(x, y)[0].square().sum((-2, -1))

    def retract(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute ``retract_polar``, which is of second order."""
        return self.retract_polar(x, v)

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Compute the parallel transport of v along the shortest geodesic from x to the subspace of y.

        Args:
            x: Frames, shape (..., n, p).
            y: Frames, shape (..., n, p).
            v: Tangent vectors at x, shape (..., n, p).

        Returns:
            Tangent vectors at the basis y, shape (..., n, p); NaN where a principal angle is pi/2.
        """
        self._require_points(x, "x", y, "y")
        self._require_points(x, "x", v, "v")
        _, turn, cosines, sure = _compared(x, y)
        # The rotation that takes the basis x to y turn^T and moves nothing else, applied to v, in the basis y
        eye = torch.eye(self.p, dtype=cosines.dtype, device=cosines.device)
        there = product(y, turn.mT)
        moved = v - product(x + there, solve(eye + cosines, product(there.mT, v)))
        return torch.where(sure, product(moved, turn), torch.nan)

    def transport_along(self, x: Tensor, v: Tensor, u: Tensor) -> Tensor:
        """Compute the parallel transport of u from x to exp(x, v) along the geodesic of v, of any length.

        Args:
            x: Frames, shape (..., n, p).
            v: Velocity of the geodesic, tangent at x, shape (..., n, p).
            u: Tangent vectors at x, shape (..., n, p).

        Returns:
            Tangent vectors at exp(x, v), shape (..., n, p).
        """
        self._require_points(x, "x", v, "v")
        self._require_points(x, "x", u, "u")
        square = product(v.mT, v)
        zero, eye = (
            torch.zeros_like(square),
            torch.eye(self.p, dtype=v.dtype, device=v.device).expand_as(square),
        )
        rows = ((zero, -square, zero), (eye, zero, zero), (zero, eye, zero))
        blocks = exponential(torch.cat([torch.cat(row, -1) for row in rows], -2))[..., : self.p]
        sine, versine = blocks[..., self.p : 2 * self.p, :], blocks[..., 2 * self.p :, :]
        return u - product(product(x, sine) + product(v, versine), product(v.mT, u))

    def mean(self, points: Tensor, weights: Tensor | None = None, *, check: bool = True) -> Tensor:
        """Compute the Karcher mean, in the basis that is nearest to that of the first point.

        Args:
            points: Frames x_i, shape (..., N, n, p), near enough to each other for one mean.
            weights: Weights of any positive sum, shape (..., N); None means equal ones.
            check: Whether values are checked.

        Returns:
            The mean, shape (..., n, p), where the weighted sum of log(m, x_i) is zero; it differentiates
            once.

        Raises:
            ValueError: If there is no point, a point is no frame, or no mean was found.
        """
        mean = super().mean(points, weights, check=check)
        turn, _ = polar(product(mean.mT, points.select(-3, 0)))
        return product(mean, turn)


def _compared(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute what log and transport need.

    With Q in O(p) that makes C = X^T Y Q^T symmetric and positive, the eigenvalues of C are the cosines c of
    the principal angles, and the logarithm is the part of Y Q^T that is orthogonal to X, times the function
    arccos(c) / sqrt(1 - c^2) = integral of 2 / (1 + 2 c s + s^2) for s from 0 to 1 of C.

    Args:
        x: Frames, shape (..., n, p).
        y: Frames, shape (..., n, p).

    Returns:
        The logarithm, Q, C, and a mask (..., 1, 1) that is false where a principal angle is pi/2, and with it
        many Q.
    """
    overlap = product(x.mT, y)
    turn, margin = polar(overlap)
    cosines = symmetrised(product(overlap, turn.mT))
    eye = torch.eye(cosines.shape[-1], dtype=cosines.dtype, device=cosines.device)
    nodes, weights = (c(cosines).unsqueeze(-1).unsqueeze(-1) for c in (_X, _W))
    systems = (1 + nodes * nodes) * eye + 2 * nodes * cosines.unsqueeze(-3)
    ratio = (2 * weights * solve(systems, eye.expand_as(systems))).sum(-3)
    apart = y - x
    normal = product(apart - product(x, product(x.mT, apart)), turn.mT)
    size = torch.linalg.matrix_norm(overlap.detach(), keepdim=True)
    sure = margin[..., None, None] * size > 16 * torch.finfo(cosines.dtype).eps
    return product(normal, ratio), turn, cosines, sure
