"""The interface of a matrix Lie group, every operation of which works from a basis of the algebra alone."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from . import _generic
from ._checks import require_last, require_matrix
from ._constants import Constant
from ._linalg import affine, apply, product


class LieGroup(ABC):
    """A matrix Lie group: a stateless object whose methods act on plain tensors.

    Elements g are matrices (..., n, n), tangent vectors xi are coordinates (..., dim) of the algebra in the
    group's basis, hat(xi) = sum of xi_i E_i. All leading dimensions are batch dimensions and broadcast;
    results have the dtype that ``torch.result_type`` gives; float32 and float64 are supported. Trivialisation
    is left (body) unless a name says otherwise: plus(g, xi) = g exp(xi).

    A new group sets ``name``, ``dim``, ``matrix_dim`` and defines ``basis``; it inherits the rest, computed
    by matrix functions, and overrides what it knows in closed form. ``lie.testing.LieGroupSuite`` checks it.
    A group that sets its attributes in ``__init__`` calls ``super().__init__()`` last.

    Attributes:
        name: Name used in messages.
        dim: Number of tangent coordinates.
        matrix_dim: Number n of rows of an element.
        cayley_closed: Whether the Cayley transform maps the algebra into the group, as it does for quadratic
            groups {M : M^T P M = P}. False refuses the Cayley operations.
    """

    name: str
    dim: int
    matrix_dim: int
    cayley_closed: bool = False

    def __init__(self) -> None:
        basis = self.basis(torch.float64, torch.device("cpu"))
        expected = (self.dim, self.matrix_dim, self.matrix_dim)
        if basis.shape != expected:
            raise ValueError(
                f"basis of {self.name} must have shape {expected}, (dim, matrix_dim, matrix_dim), "
                f"got {tuple(basis.shape)}."
            )
        basis = basis.flatten(-2)
        self._basis = Constant(basis)
        self._to_matrix = Constant(basis.mT)
        self._to_coordinates = Constant(torch.linalg.solve(basis @ basis.mT, basis))

    def __repr__(self) -> str:
        return f"lie.{self.name}"

    @abstractmethod
    def basis(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Give the basis of the algebra, shape (dim, n, n)."""

    # Algebra and coordinates

    def hat(self, xi: Tensor) -> Tensor:
        """Compute the matrix of tangent coordinates, (..., dim) to (..., n, n)."""
        self._require_tangent(xi, "xi")
        return affine(xi, self._to_matrix(xi)).unflatten(-1, (self.matrix_dim, self.matrix_dim))

    def vee(self, X: Tensor) -> Tensor:
        """Compute the coordinates (..., dim) of a matrix projected orthogonally on the algebra."""
        self._require_element(X, "X")
        return affine(X.flatten(-2), self._to_coordinates(X))

    def ad(self, xi: Tensor) -> Tensor:
        """Compute the matrix (..., dim, dim) that takes eta to vee([hat(xi), hat(eta)])."""
        matrix = self.hat(xi).unsqueeze(-3)
        basis = self._basis(xi).unflatten(-1, (self.matrix_dim, self.matrix_dim))
        return self.vee(product(matrix, basis) - product(basis, matrix)).mT

    def coadjoint_algebra(self, xi: Tensor, mu: Tensor) -> Tensor:
        """Compute the transpose of ad(xi) applied to mu, (..., dim): mu' of the force-free motion."""
        self._require_tangent(mu, "mu")
        return apply(self.ad(xi).mT, mu)

    # Group

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Make identity elements, shape (*batch, n, n)."""
        eye = torch.eye(self.matrix_dim, dtype=dtype, device=device)
        return eye.repeat(*batch, 1, 1)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute the product a b, which acts with b first, (..., n, n)."""
        self._require_element(a, "a")
        self._require_element(b, "b")
        return product(a, b)

    def inverse(self, g: Tensor) -> Tensor:
        """Compute the inverse element, (..., n, n)."""
        self._require_element(g, "g")
        return torch.linalg.inv_ex(g)[0]

    def act(self, g: Tensor, points: Tensor) -> Tensor:
        """Compute g p for points p (..., n), leading dimensions broadcast."""
        self._require_element(g, "g")
        require_last(points, self.matrix_dim, "points", f"points that {self.name} acts on")
        return apply(g, points)

    def exp(self, xi: Tensor) -> Tensor:
        """Compute the group exponential of tangent coordinates, (..., dim) to (..., n, n)."""
        return torch.linalg.matrix_exp(self.hat(xi))

    def log(self, g: Tensor) -> Tensor:
        """Compute the principal logarithm's coordinates (..., dim); NaN where none is found."""
        self._require_element(g, "g")
        return self.vee(_generic.logarithm(g))

    def Ad(self, g: Tensor) -> Tensor:
        """Compute the matrix (..., dim, dim) of the adjoint, g hat(xi) g^-1 = hat(Ad(g) xi)."""
        self._require_element(g, "g")
        basis = self._basis(g).unflatten(-1, (self.matrix_dim, self.matrix_dim))
        return self.vee(product(product(g.unsqueeze(-3), basis), self.inverse(g).unsqueeze(-3))).mT

    def coadjoint(self, g: Tensor, mu: Tensor) -> Tensor:
        """Compute Ad(g)^T mu, (..., dim)."""
        self._require_tangent(mu, "mu")
        return apply(self.Ad(g).mT, mu)

    def plus(self, g: Tensor, xi: Tensor) -> Tensor:
        """Compute g exp(xi), (..., n, n)."""
        return self.compose(g, self.exp(xi))

    def minus(self, h: Tensor, g: Tensor) -> Tensor:
        """Compute log(g^-1 h), the tangent that takes g to h, (..., dim)."""
        return self.log(self.compose(self.inverse(g), h))

    # Derivatives of the exponential

    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Compute J_l (..., dim, dim) with d exp(xi) = hat(J_l dxi) exp(xi)."""
        return _generic.phi1(self.ad(xi))

    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute the inverse of the left Jacobian, (..., dim, dim)."""
        return torch.linalg.inv_ex(self.left_jacobian(xi))[0]

    def right_jacobian(self, xi: Tensor) -> Tensor:
        """Compute J_r (..., dim, dim) with d exp(xi) = exp(xi) hat(J_r dxi)."""
        return self.left_jacobian(-xi)

    def right_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute the inverse of the right Jacobian, (..., dim, dim)."""
        return self.left_jacobian_inverse(-xi)

    # Cayley transform

    def cayley(self, u: Tensor) -> Tensor:
        """Compute (I - U/2)^-1 (I + U/2) with U = hat(u), (..., n, n): exp(u) up to O(|u|^3)."""
        self._require_cayley()
        return _generic.cayley(self.hat(u))

    def cayley_inverse(self, g: Tensor) -> Tensor:
        """Compute u with cayley(u) = g, (..., dim); not finite where g has the eigenvalue -1."""
        self._require_cayley()
        self._require_element(g, "g")
        return self.vee(_generic.cayley_inverse(g))

    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Compute dcay (..., dim, dim), d cayley(u) = hat(dcay du) cayley(u); in the body, dcay at -u."""
        self._require_cayley()
        return torch.linalg.inv_ex(self.cayley_jacobian_inverse(u))[0]

    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Compute the inverse of dcay, (..., dim, dim): V to (I - U/2) V (I + U/2)."""
        self._require_cayley()
        half = 0.5 * self.hat(u).unsqueeze(-3)
        basis = self._basis(u).unflatten(-1, (self.matrix_dim, self.matrix_dim))
        inner = basis - product(half, basis)
        return self.vee(inner + product(inner, half)).mT

    # Geometry, samples, membership

    def distance(self, g: Tensor, h: Tensor) -> Tensor:
        """Compute |log(g^-1 h)|, shape (...); at g = h, where it has a kink, the slope is taken as 0."""
        return torch.linalg.vector_norm(self.minus(h, g), dim=-1)

    def squared_distance(self, g: Tensor, h: Tensor) -> Tensor:
        """Compute |log(g^-1 h)|^2, shape (...): twice differentiable at g = h."""
        return self.minus(h, g).square().sum(-1)

    def interpolate(self, g: Tensor, h: Tensor, s: Tensor | float) -> Tensor:
        """Compute g exp(s log(g^-1 h)), (..., n, n), for s of shape (...): g at s = 0, h at s = 1."""
        step = self.minus(h, g)
        s = s if isinstance(s, Tensor) else torch.tensor(s, dtype=step.dtype, device=step.device)
        return self.plus(g, s.unsqueeze(-1) * step)

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw exp of standard normal coordinates, shape (*batch, n, n)."""
        return self.exp(torch.randn(*batch, self.dim, generator=generator, dtype=dtype, device=device))

    def project(self, M: Tensor) -> Tensor:
        """Compute exp of the logarithm of M projected on the algebra, for M near the group."""
        return self.exp(self.log(M))

    def residual(self, g: Tensor) -> Tensor:
        """Compute the largest absolute entry of g - project(g), shape (...)."""
        return (g - self.project(g)).abs().amax((-2, -1))

    def check(self, g: Tensor, name: str = "g", tol: float | None = None) -> None:
        """Refuse elements that are not in the group.

        It reads values, so it is not for use inside ``vmap`` or ``torch.compile``.

        Args:
            g: Elements, shape (..., n, n).
            name: Name of the argument in the message.
            tol: Largest residual accepted; None means the square root of the dtype's epsilon.

        Raises:
            ValueError: If the shape is wrong, an entry is not finite or a residual exceeds the tolerance.
        """
        self._require_element(g, name)
        tol = torch.finfo(g.dtype).eps ** 0.5 if tol is None else tol
        defect = self.residual(g.detach())
        good = defect <= tol
        if bool(good.all()):
            return
        index = tuple(torch.nonzero(~good)[0].tolist())
        where = f"{name}[{', '.join(map(str, index))}]" if index else name
        if not bool(torch.isfinite(g[index]).all()):
            raise ValueError(
                f"{where} has entries that are not finite; {name} must hold elements of {self.name}."
            )
        raise ValueError(
            f"{where} is not in {self.name}: its defect is {float(defect[index]):.3g}, more than {tol:.3g}. "
            f"Bring it back with lie.{self.name}.project, or pass a larger tol."
        )

    def _require_tangent(self, xi: Tensor, name: str) -> None:
        require_last(xi, self.dim, name, f"tangent coordinates of {self.name}")

    def _require_element(self, g: Tensor, name: str) -> None:
        require_matrix(g, self.matrix_dim, name, self.name)

    def _require_cayley(self) -> None:
        if not self.cayley_closed:
            raise ValueError(
                f"The Cayley transform does not map the algebra of {self.name} into the group; use exp. "
                "A group for which it does sets cayley_closed = True."
            )
