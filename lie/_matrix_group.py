"""Groups of matrices: every operation works from a basis of the algebra alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from . import _dexp, _generic
from ._checks import require_last, require_matrix, require_one_device
from ._constants import Constant
from ._group import LieGroup
from ._linalg import affine, apply, product


class MatrixLieGroup(LieGroup):
    """A matrix Lie group: elements g are matrices (..., n, n), hat(xi) = sum of xi_i E_i over the basis.

    A new group sets ``name``, ``dim``, ``matrix_dim`` and defines ``basis``; it inherits the rest, computed
    by matrix functions, and overrides what it knows in closed form. ``lie.testing.MatrixLieGroupSuite``
    checks it. A group that sets its attributes in ``__init__`` calls ``super().__init__()`` last.

    Attributes:
        name: Name used in messages.
        dim: Number of tangent coordinates.
        matrix_dim: Number n of rows of an element.
        element_shape: (n, n).
        point_shape: (n,), unless the group sets another.
        cayley_closed: Whether the Cayley transform maps the algebra into the group, as it does for quadratic
            groups {M : M^T P M = P}. False refuses the Cayley operations.
    """

    matrix_dim: int

    def __init__(self) -> None:
        self.element_shape = (self.matrix_dim, self.matrix_dim)
        if not hasattr(self, "point_shape"):
            self.point_shape = (self.matrix_dim,)
        basis = self.basis(torch.float64, torch.device("cpu"))
        expected = (self.dim, *self.element_shape)
        if basis.shape != expected:
            raise ValueError(
                f"basis of {self.name} must have shape {expected}, (dim, matrix_dim, matrix_dim), "
                f"got {tuple(basis.shape)}."
            )
        basis = basis.flatten(-2)
        self._basis = Constant(basis)
        self._to_matrix = Constant(basis.mT)
        self._to_coordinates = Constant(torch.linalg.solve(basis @ basis.mT, basis))

    @abstractmethod
    def basis(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Give the basis of the algebra, shape (dim, n, n)."""

    # Algebra and coordinates

    def hat(self, xi: Tensor) -> Tensor:
        """Compute the matrix of tangent coordinates, (..., dim) to (..., n, n)."""
        self._require_tangent(xi, "xi")
        return affine(xi, self._to_matrix(xi)).unflatten(-1, self.element_shape)

    def vee(self, X: Tensor) -> Tensor:
        """Compute the coordinates (..., dim) of a matrix projected orthogonally on the algebra."""
        self._require_element(X, "X")
        return affine(X.flatten(-2), self._to_coordinates(X))

    def ad(self, xi: Tensor) -> Tensor:
        """Compute the matrix (..., dim, dim) that takes eta to vee([hat(xi), hat(eta)])."""
        matrix = self.hat(xi).unsqueeze(-3)
        basis = self._basis(xi).unflatten(-1, self.element_shape)
        return self.vee(product(matrix, basis) - product(basis, matrix)).mT

    # Group

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Make identity matrices, shape (*batch, n, n)."""
        eye = torch.eye(self.matrix_dim, dtype=dtype, device=device)
        return eye.repeat(*batch, 1, 1)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute the product a b, which acts with b first, (..., n, n)."""
        self._require_element(a, "a")
        self._require_element(b, "b")
        require_one_device(a, "a", b, "b")
        return product(a, b)

    def inverse(self, g: Tensor) -> Tensor:
        """Compute the inverse matrix, (..., n, n)."""
        self._require_element(g, "g")
        return torch.linalg.inv_ex(g)[0]

    def act(self, g: Tensor, points: Tensor) -> Tensor:
        """Compute g p for points p (..., n), leading dimensions broadcast."""
        self._require_element(g, "g")
        require_last(points, self.matrix_dim, "points", f"points that {self.name} acts on")
        require_one_device(g, "g", points, "points")
        return apply(g, points)

    def exp(self, xi: Tensor) -> Tensor:
        """Compute the group exponential of tangent coordinates, (..., dim) to (..., n, n)."""
        return _generic.exponential(self.hat(xi))

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the principal logarithm's coordinates.

        Args:
            g: Elements, shape (..., n, n).
            check: Whether values are checked; without, NaN marks what has no logarithm.

        Returns:
            Coordinates, shape (..., dim).

        Raises:
            ValueError: If an element is not in the group or has no real principal logarithm.
        """
        return self._log_by(_generic.logarithm, g, check)

    def _log_by(self, logarithm: Callable[[Tensor], Tensor], g: Tensor, check: bool) -> Tensor:
        """The coordinates of a matrix logarithm, with the checks of ``log``."""
        self._require_member(g, "g", check)
        xi = self.vee(logarithm(g))
        if check:
            self._refuse_unsolved(xi, torch.isfinite(xi).all(-1), "g", self._no_logarithm)
        return xi

    def Ad(self, g: Tensor) -> Tensor:
        """Compute the matrix (..., dim, dim) of the adjoint, g hat(xi) g^-1 = hat(Ad(g) xi)."""
        self._require_element(g, "g")
        basis = self._basis(g).unflatten(-1, self.element_shape)
        return self.vee(product(product(g.unsqueeze(-3), basis), self.inverse(g).unsqueeze(-3))).mT

    # Derivatives of the exponential

    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Compute J_l (..., dim, dim) with d exp(xi) = hat(J_l dxi) exp(xi)."""
        return _dexp.phi1(self.ad(xi))

    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute the inverse of the left Jacobian, (..., dim, dim)."""
        return _dexp.phi1_inverse(self.ad(xi))

    # Cayley transform

    def cayley(self, u: Tensor) -> Tensor:
        """Compute (I - U/2)^-1 (I + U/2) with U = hat(u), (..., n, n): exp(u) up to O(|u|^3)."""
        self._require_cayley()
        self._require_tangent(u, "u")
        return _generic.cayley(self.hat(u))

    def cayley_inverse(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute u with cayley(u) = g.

        Args:
            g: Elements without the eigenvalue -1, shape (..., n, n).
            check: Whether values are checked; without, the answer is not finite where there is none.

        Returns:
            Coordinates, shape (..., dim).

        Raises:
            ValueError: If an element is not in the group or has the eigenvalue -1.
        """
        self._require_cayley()
        self._require_member(g, "g", check)
        return self._require_cayley_solved(self.vee(_generic.cayley_inverse(g)), check)

    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Compute dcay (..., dim, dim), d cayley(u) = hat(dcay du) cayley(u); in the body, dcay at -u."""
        self._require_cayley()
        return torch.linalg.inv_ex(self.cayley_jacobian_inverse(u))[0]

    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Compute the inverse of dcay, (..., dim, dim): V to (I - U/2) V (I + U/2)."""
        self._require_cayley()
        self._require_tangent(u, "u")
        half = 0.5 * self.hat(u).unsqueeze(-3)
        basis = self._basis(u).unflatten(-1, self.element_shape)
        inner = basis - product(half, basis)
        return self.vee(inner + product(inner, half)).mT

    # Samples, membership

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw exp of standard normal coordinates, shape (*batch, n, n)."""
        return self.exp(torch.randn(*batch, self.dim, generator=generator, dtype=dtype, device=device))

    def project(self, x: Tensor) -> Tensor:
        """Compute exp of the logarithm of x projected on the algebra, for x near the group."""
        self._require_element(x, "x")
        return self.exp(self.vee(_generic.logarithm(x)))

    def residual(self, x: Tensor) -> Tensor:
        """Compute the largest absolute entry of x - project(x), shape (...)."""
        return (x - self.project(x)).abs().amax((-2, -1))

    def _require_element(self, x: Tensor, name: str) -> None:
        require_matrix(x, self.matrix_dim, name, self.name)
