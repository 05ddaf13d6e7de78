"""Groups {M : M^T P M = P} of matrices that preserve a bilinear form, in coordinates of index pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from ._linalg import product
from ._matrix_group import MatrixLieGroup
from ._pairs import PairCoordinates

_DENSE = 12  # largest size for which the tables of the base class are made; nothing here needs them


class QuadraticGroup(MatrixLieGroup):
    """The matrices M with M^T P M = P, for an orthogonal P that is symmetric or skew.

    The algebra is {A : P A is skew or symmetric}. ``_form`` turns A into a skew or symmetric matrix S, whose
    pairs are the coordinates, ``_unform`` turns it back, and ``_carrier`` gives h, linear in G, such that the
    form of G A P^-1 G^T P is h S h^T. As they stand, they serve P = I.
    """

    cayley_closed = True
    _pairs: PairCoordinates

    def __init__(self) -> None:
        self.dim = self._pairs.dim
        if self.matrix_dim <= _DENSE:
            super().__init__()
        else:
            self.element_shape = (self.matrix_dim, self.matrix_dim)
            self.point_shape = (self.matrix_dim,)

    def _form(self, X: Tensor) -> Tensor:
        return X

    def _unform(self, S: Tensor) -> Tensor:
        return S

    def _carrier(self, G: Tensor) -> Tensor:
        return G

    def basis(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Give the basis of the algebra, orthonormal for tr(A^T B) / 2, shape (dim, n, n)."""
        return self.hat(torch.eye(self.dim, dtype=dtype, device=device))

    def hat(self, xi: Tensor) -> Tensor:
        """Compute the matrix of tangent coordinates, (..., dim) to (..., n, n)."""
        self._require_tangent(xi, "xi")
        return self._unform(self._pairs.matrix(xi))

    def vee(self, X: Tensor) -> Tensor:
        """Compute the coordinates (..., dim) of a matrix projected orthogonally on the algebra."""
        self._require_element(X, "X")
        return self._pairs.coordinates(self._form(X))

    def ad(self, xi: Tensor) -> Tensor:
        """Compute the matrix (..., dim, dim) that takes eta to vee([hat(xi), hat(eta)])."""
        return self._pairs.congruence_slope(self._carrier(self.hat(xi)))

    def Ad(self, g: Tensor) -> Tensor:
        """Compute the matrix (..., dim, dim) of the adjoint, g hat(xi) g^-1 = hat(Ad(g) xi)."""
        self._require_element(g, "g")
        return self._pairs.congruence(self._carrier(g))

    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Compute dcay (..., dim, dim), d cayley(u) = hat(dcay du) cayley(u); in the body, dcay at -u."""
        self._require_tangent(u, "u")
        return self._pairs.congruence(self._carrier(torch.linalg.inv_ex(self._half(u))[0]))

    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Compute the inverse of dcay, (..., dim, dim): V to (I - U/2) V (I + U/2)."""
        self._require_tangent(u, "u")
        return self._pairs.congruence(self._carrier(self._half(u)))

    def inverse(self, g: Tensor) -> Tensor:
        """Compute the inverse P^-1 g^T P, (..., n, n), without a division."""
        self._require_element(g, "g")
        return self._carrier(g).mT

    def _defect(self, x: Tensor) -> Tensor:
        """Largest entry of P^-1 x^T P x - I, shape (...): that of x^T P x - P up to order and signs."""
        eye = torch.eye(self.matrix_dim, dtype=x.dtype, device=x.device)
        return (product(self._carrier(x).mT, x) - eye).abs().amax((-2, -1))

    def _half(self, u: Tensor) -> Tensor:
        """I - hat(u) / 2."""
        return torch.eye(self.matrix_dim, dtype=u.dtype, device=u.device) - 0.5 * self.hat(u)
