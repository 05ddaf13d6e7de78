"""The interface of a Lie group, and what follows from exp, log, composition and their derivatives."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ._barycentre import exponential_barycentre
from ._checks import require_last, require_one_device
from ._linalg import apply
from ._manifold import Manifold

if TYPE_CHECKING:
    from ._power import Power


class LieGroup(Manifold):
    """A Lie group: a stateless object whose methods act on plain tensors.

    Elements g and the algebra elements that ``hat`` makes have ``element_shape`` last; tangent vectors xi are
    coordinates (..., dim). Trivialisation is left (body) unless a name says otherwise: plus(g, xi) =
    g exp(xi). ``inverse``, ``Ad`` and ``act`` take g to be an element without looking; ``log`` and what is
    made of it check, see ``Manifold``.

    A group of matrices subclasses ``MatrixLieGroup``, which needs a basis alone.

    Attributes:
        name: Name used in messages.
        dim: Number of tangent coordinates.
        element_shape: Trailing dimensions of an element.
        point_shape: Trailing dimensions of the points that ``act`` moves.
        cayley_closed: Whether the Cayley transform maps the algebra into the group, as it does for quadratic
            groups {M : M^T P M = P}. False refuses the Cayley operations.
    """

    point_shape: tuple[int, ...]
    cayley_closed: bool = False

    def __pow__(self, count: int) -> Power:
        """Give the direct product of ``count`` copies of the group."""
        from ._power import Power

        return Power(self, count)

    # Algebra and coordinates

    @abstractmethod
    def hat(self, xi: Tensor) -> Tensor:
        """Compute the algebra element of tangent coordinates: the derivative of exp(s xi) at s = 0."""

    @abstractmethod
    def vee(self, X: Tensor) -> Tensor:
        """Compute the coordinates (..., dim) of an algebra element."""

    @abstractmethod
    def ad(self, xi: Tensor) -> Tensor:
        """Compute the matrix (..., dim, dim) of the bracket with xi."""

    def coadjoint_algebra(self, xi: Tensor, mu: Tensor) -> Tensor:
        """Compute the transpose of ad(xi) applied to mu, (..., dim): mu' of the force-free motion."""
        self._require_tangent(mu, "mu")
        require_one_device(xi, "xi", mu, "mu")
        return apply(self.ad(xi).mT, mu)

    # Group

    @abstractmethod
    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Make identity elements, shape (*batch, *element_shape)."""

    @abstractmethod
    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute the product a b, which acts with b first."""

    @abstractmethod
    def inverse(self, g: Tensor) -> Tensor:
        """Compute the inverse element."""

    @abstractmethod
    def act(self, g: Tensor, points: Tensor) -> Tensor:
        """Move points (..., *point_shape) by g, leading dimensions broadcast."""

    @abstractmethod
    def exp(self, xi: Tensor) -> Tensor:
        """Compute the group exponential of tangent coordinates."""

    @abstractmethod
    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the principal logarithm's coordinates, (..., dim)."""

    @abstractmethod
    def Ad(self, g: Tensor) -> Tensor:
        """Compute the matrix (..., dim, dim) of the adjoint, g exp(xi) g^-1 = exp(Ad(g) xi)."""

    def coadjoint(self, g: Tensor, mu: Tensor) -> Tensor:
        """Compute Ad(g)^T mu, (..., dim)."""
        self._require_tangent(mu, "mu")
        require_one_device(g, "g", mu, "mu")
        return apply(self.Ad(g).mT, mu)

    def plus(self, g: Tensor, xi: Tensor) -> Tensor:
        """Compute g exp(xi)."""
        self._require_element(g, "g")
        require_one_device(g, "g", xi, "xi")
        return self.compose(g, self.exp(xi))

    def minus(self, h: Tensor, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute log(g^-1 h), the tangent that takes g to h, (..., dim)."""
        self._require_pair(h, "h", g, "g", check)
        return self._difference(h, g, "g^-1 h", check)

    # Derivatives of the exponential

    @abstractmethod
    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Compute J_l (..., dim, dim) with d exp(xi) = hat(J_l dxi) exp(xi)."""

    @abstractmethod
    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute the inverse of the left Jacobian, (..., dim, dim)."""

    def right_jacobian(self, xi: Tensor) -> Tensor:
        """Compute J_r (..., dim, dim) with d exp(xi) = exp(xi) hat(J_r dxi)."""
        return self.left_jacobian(-xi)

    def right_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute the inverse of the right Jacobian, (..., dim, dim)."""
        return self.left_jacobian_inverse(-xi)

    # Cayley transform

    @abstractmethod
    def cayley(self, u: Tensor) -> Tensor:
        """Compute the Cayley transform, which is exp(u) up to O(|u|^3)."""

    @abstractmethod
    def cayley_inverse(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute u with cayley(u) = g, (..., dim)."""

    @abstractmethod
    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Compute dcay (..., dim, dim), d cayley(u) = hat(dcay du) cayley(u); in the body, dcay at -u."""

    @abstractmethod
    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Compute the inverse of dcay, (..., dim, dim)."""

    # Geometry

    def distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute |log(x^-1 y)|, shape (...); at x = y, where it has a kink, the slope is taken as 0."""
        self._require_pair(x, "x", y, "y", check)
        return torch.linalg.vector_norm(self._difference(y, x, "x^-1 y", check), dim=-1)

    def squared_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute |log(x^-1 y)|^2, shape (...): twice differentiable at x = y."""
        self._require_pair(x, "x", y, "y", check)
        return self._difference(y, x, "x^-1 y", check).square().sum(-1)

    def interpolate(self, x: Tensor, y: Tensor, s: Tensor | float, *, check: bool = True) -> Tensor:
        """Compute x exp(s log(x^-1 y)) for s of shape (...): x at s = 0, y at s = 1."""
        self._require_pair(x, "x", y, "y", check)
        step = self._difference(y, x, "x^-1 y", check)
        s = s if isinstance(s, Tensor) else torch.tensor(s, dtype=step.dtype, device=step.device)
        return self.plus(x, s.unsqueeze(-1) * step)

    def mean(self, points: Tensor, weights: Tensor | None = None, *, check: bool = True) -> Tensor:
        """Compute the element m with sum of w_i log(m^-1 g_i) = 0.

        This is the Fréchet mean where the distance is bi-invariant, as on SO(n), and the bi-invariant
        exponential barycentre (Pennec and Arsigny, 2013) on every group. It is found by Newton's method and
        differentiates twice through the points and weights.

        Args:
            points: Elements g_i, shape (..., N, *element_shape), near to each other: for rotations in a ball
                of radius pi/2.
            weights: Weights w_i of any positive sum, shape (..., N); None means equal ones.
            check: Whether values are checked.

        Returns:
            The mean, shape (..., *element_shape).

        Raises:
            ValueError: If there is no point, a point is not in the group, or no mean was found.
        """
        self._require_member(points, "points", check)
        return exponential_barycentre(self, points, weights, check)

    def _difference(self, h: Tensor, g: Tensor, name: str, check: bool) -> Tensor:
        """The logarithm of g^-1 h for elements that were checked: its domain alone is checked."""
        xi = self.log(self.compose(self.inverse(g), h), check=False)
        if check:
            self._refuse_unsolved(xi, torch.isfinite(xi).all(-1), name, self._no_logarithm)
        return xi

    @property
    def _no_logarithm(self) -> str:
        return (
            f"has no real principal logarithm in {self.name}: an eigenvalue is on, or next to, the negative "
            "real axis. Write it as a product of elements nearer to the identity, or pass check=False to get "
            "NaN there."
        )

    def _require_tangent(self, xi: Tensor, name: str) -> None:
        require_last(xi, self.dim, name, f"tangent coordinates of {self.name}")

    def _require_pair(self, a: Tensor, a_name: str, b: Tensor, b_name: str, check: bool) -> None:
        require_one_device(a, a_name, b, b_name)
        self._require_member(a, a_name, check)
        self._require_member(b, b_name, check)

    def _require_cayley(self) -> None:
        if not self.cayley_closed:
            raise ValueError(
                f"The Cayley transform does not map the algebra of {self.name} into the group; use exp. "
                "A group for which it does sets cayley_closed = True."
            )

    def _require_cayley_solved(self, u: Tensor, check: bool) -> Tensor:
        if check:
            good = (u.detach().abs() < 1 / torch.finfo(u.dtype).eps).all(-1)
            reason = (
                f"has the eigenvalue -1, where the Cayley transform of {self.name} has no inverse: use log."
            )
            self._refuse_unsolved(u, good, "g", reason)
        return u
