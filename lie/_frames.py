"""What Stiefel and Grassmann manifolds share: orthonormal frames, made, mended and moved."""

from __future__ import annotations

import torch
from torch import Tensor

from ._linalg import product, promote, solve
from ._polar import polar
from ._riemannian import RiemannianManifold
from ._spectral import symmetrised


class Frames(RiemannianManifold):
    """Matrices X (..., n, p) with orthonormal columns, X^T X = I.

    Args:
        name: Name used in messages.
        n: Number of rows.
        p: Number of columns, at most n.

    Raises:
        ValueError: If n and p are no integers with 1 <= p <= n.
    """

    def __init__(self, name: str, n: int, p: int) -> None:
        if not isinstance(n, int) or not isinstance(p, int) or not 1 <= p <= n:
            raise ValueError(
                f"n and p must be integers with 1 <= p <= n, p orthonormal columns of n entries, "
                f"got n = {n!r}, p = {p!r}."
            )
        self.name = name
        self.n = n
        self.p = p
        self.element_shape = (n, p)

    def retract_polar(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the frame nearest to X + V, its polar factor, (..., n, p).

        It follows the geodesics of the Euclidean metric, and those of the Grassmann manifold, up to O(|V|^3).

        Args:
            x: Frames, shape (..., n, p).
            v: Tangent vectors at x, shape (..., n, p).

        Returns:
            Frames, shape (..., n, p).
        """
        self._require_points(x, "x", v, "v")
        return polar(x + v)[0]

    def retract_qr(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the Q of the QR decomposition of X + V with a positive diagonal in R, (..., n, p).

        It spans the same subspace as ``retract_polar``; as a frame it follows geodesics up to O(|V|^2).

        Args:
            x: Frames, shape (..., n, p).
            v: Tangent vectors at x, shape (..., n, p).

        Returns:
            Frames, shape (..., n, p).
        """
        self._require_points(x, "x", v, "v")
        return _positive_q(x + v)

    def retract_cayley(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the Cayley transform of the skew matrix W with W X = V, applied to X, (..., n, p).

        W = P V X^T - X V^T P with P = I - X X^T / 2, of rank 2p, so that one system of p equations does
        (Wen and Yin 2013, A feasible method for optimization with orthogonality constraints, section 2.2). It
        follows the geodesics of the canonical metric, and those of the Grassmann manifold, up to O(|V|^3).

        Args:
            x: Frames, shape (..., n, p).
            v: Tangent vectors at x, shape (..., n, p).

        Returns:
            Frames, shape (..., n, p).
        """
        self._require_points(x, "x", v, "v")
        turn, across = split(x, v)
        eye = torch.eye(self.p, dtype=turn.dtype, device=turn.device)
        # (I - W/2) Y = (I + W/2) X in the columns X and V - X turn; Y = X (2 F - I) + (V - X turn) F
        system = eye + 0.25 * product(across.mT, across) - 0.5 * turn
        share = solve(system, eye.expand_as(system))
        return product(x, 2 * share - eye) + product(across, share)

    def project(self, x: Tensor) -> Tensor:
        """Compute the nearest frame in the Frobenius norm, the polar factor of a matrix of rank p.

        Args:
            x: Matrices, shape (..., n, p).

        Returns:
            Frames, shape (..., n, p), differentiable at equal singular values, too; NaN where the rank is
            below p up to rounding, so that many frames are nearest.
        """
        self._require_element(x, "x")
        frame, margin = polar(x)
        sure = margin > self.n * torch.finfo(x.dtype).eps
        return torch.where(sure[..., None, None], frame, torch.nan)

    def residual(self, x: Tensor) -> Tensor:
        """Compute max |X^T X - I|, shape (...)."""
        self._require_element(x, "x")
        eye = torch.eye(self.p, dtype=x.dtype, device=x.device)
        return (product(x.mT, x) - eye).abs().amax((-2, -1))

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw frames uniformly, invariant under rotations from both sides, shape (*batch, n, p)."""
        return _positive_q(
            torch.randn(*batch, *self.element_shape, generator=generator, dtype=dtype, device=device)
        )


def split(x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Split a tangent vector V = X A + B into A, skew, and B with X^T B = 0.

    Args:
        x: Frames, shape (..., n, p).
        v: Tangent vectors at x, shape (..., n, p).

    Returns:
        A, shape (..., p, p), and B, shape (..., n, p).
    """
    along = product(x.mT, v)
    return 0.5 * (along - along.mT), v - product(x, along)


def without_symmetric(x: Tensor, v: Tensor) -> Tensor:
    """Compute V - X sym(X^T V), the orthogonal projection on the tangent space of the frames.

    Args:
        x: Frames, shape (..., n, p).
        v: Matrices, shape (..., n, p).

    Returns:
        Tangent vectors, shape (..., n, p).
    """
    return v - product(x, symmetrised(product(x.mT, v)))


def inner_product(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Compute tr(U^T V), broadcast against x.

    Args:
        x: Frames, shape (..., n, p).
        u: Matrices, shape (..., n, p).
        v: Matrices, shape (..., n, p).

    Returns:
        Inner products, shape (...).
    """
    u, v = promote(u, v)
    u, v, _ = torch.broadcast_tensors(u, v, x)
    return (u * v).sum((-2, -1))


def _positive_q(matrix: Tensor) -> Tensor:
    """Q of the QR decomposition, made unique by a positive diagonal of R."""
    q, r = torch.linalg.qr(matrix)
    signs = torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1, 1)
    return q * signs.unsqueeze(-2)
