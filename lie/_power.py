"""The direct product of N copies of one Lie group."""

from __future__ import annotations

import torch
from torch import Tensor

from ._barycentre import normalised_weights
from ._checks import require_one_device, require_shape
from ._group import LieGroup
from ._linalg import repeated_diagonal


class Power(LieGroup):
    """The direct product of N copies of a group: N elements at once, such as the poses of N links.

    Written ``lie.SE3 ** 4`` too. Elements are (..., N, *element_shape), points (..., N, *point_shape) and
    algebra elements like elements; tangents are flat, (..., N dim), one copy after the other: ``tangents``
    views them as (..., N, dim), and ``.flatten(-2)`` leads back. Every operation works copy by copy, in one
    batch; Ad, ad and the Jacobians are block diagonal. The squared distance is the sum over the copies.

    Args:
        group: The group.
        count: Number N of copies, at least 1.

    Raises:
        TypeError: If group is not a Lie group.
        ValueError: If count is not a positive integer.

    Examples:
        >>> import torch
        >>> from lie import SE3, Power
        >>> links = Power(SE3, 4)
        >>> links == SE3**4, links.dim
        (True, 24)
        >>> links.exp(torch.zeros(24)).shape
        torch.Size([4, 4, 4])
    """

    def __init__(self, group: LieGroup, count: int) -> None:
        if not isinstance(group, LieGroup):
            raise TypeError(f"group must be a Lie group, such as lie.SE3, got {group!r}.")
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"count must be a positive integer, the number of copies, got {count!r}.")
        self.group = group
        self.count = count
        self.name = f"Power({group.name}, {count})"
        self.dim = count * group.dim
        self.element_shape = (count, *group.element_shape)
        self.point_shape = (count, *group.point_shape)
        self.cayley_closed = group.cayley_closed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Power) and (other.group, other.count) == (self.group, self.count)

    def __hash__(self) -> int:
        return hash((Power, self.group, self.count))

    def tangents(self, xi: Tensor, name: str = "xi") -> Tensor:
        """View tangents (..., N dim) as those of the copies, (..., N, dim)."""
        self._require_tangent(xi, name)
        return xi.unflatten(-1, (self.count, self.group.dim))

    # Algebra

    def hat(self, xi: Tensor) -> Tensor:
        """Compute the algebra elements of the copies, (..., N dim) to (..., N, *element_shape)."""
        return self.group.hat(self.tangents(xi))

    def vee(self, X: Tensor) -> Tensor:
        """Compute the coordinates of algebra elements, (..., N, *element_shape) to (..., N dim)."""
        self._require_element(X, "X")
        return self.group.vee(X).flatten(-2)

    def ad(self, xi: Tensor) -> Tensor:
        """Compute the block diagonal matrix of the copies' ad, (..., N dim, N dim)."""
        return repeated_diagonal(self.group.ad(self.tangents(xi)))

    def coadjoint_algebra(self, xi: Tensor, mu: Tensor) -> Tensor:
        """Compute the transpose of ad(xi) applied to mu, copy by copy, (..., N dim)."""
        require_one_device(xi, "xi", mu, "mu")
        return self.group.coadjoint_algebra(self.tangents(xi), self.tangents(mu, "mu")).flatten(-2)

    # Group

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Make identity elements, shape (*batch, N, *element_shape)."""
        return self.group.identity(*batch, self.count, dtype=dtype, device=device)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute the products of the copies' elements, (..., N, *element_shape)."""
        self._require_element(a, "a")
        self._require_element(b, "b")
        return self.group.compose(a, b)

    def inverse(self, g: Tensor) -> Tensor:
        """Compute the inverses of the copies' elements, (..., N, *element_shape)."""
        self._require_element(g, "g")
        return self.group.inverse(g)

    def act(self, g: Tensor, points: Tensor) -> Tensor:
        """Move one point per copy, (..., N, *point_shape)."""
        self._require_element(g, "g")
        require_shape(points, self.point_shape, "points", f"points that {self.name} acts on")
        return self.group.act(g, points)

    def exp(self, xi: Tensor) -> Tensor:
        """Compute the exponentials of the copies' tangents, (..., N dim) to (..., N, *element_shape)."""
        return self.group.exp(self.tangents(xi))

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the principal logarithms of the copies, (..., N, *element_shape) to (..., N dim)."""
        self._require_element(g, "g")
        return self.group.log(g, check=check).flatten(-2)

    def Ad(self, g: Tensor) -> Tensor:
        """Compute the block diagonal matrix of the copies' adjoints, (..., N dim, N dim)."""
        self._require_element(g, "g")
        return repeated_diagonal(self.group.Ad(g))

    def coadjoint(self, g: Tensor, mu: Tensor) -> Tensor:
        """Compute Ad(g)^T mu copy by copy, (..., N dim)."""
        self._require_element(g, "g")
        return self.group.coadjoint(g, self.tangents(mu, "mu")).flatten(-2)

    # Derivatives of the exponential

    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Compute the block diagonal matrix of the copies' left Jacobians, (..., N dim, N dim)."""
        return repeated_diagonal(self.group.left_jacobian(self.tangents(xi)))

    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute the block diagonal matrix of their inverses, (..., N dim, N dim)."""
        return repeated_diagonal(self.group.left_jacobian_inverse(self.tangents(xi)))

    # Cayley transform

    def cayley(self, u: Tensor) -> Tensor:
        """Compute the Cayley transforms of the copies, (..., N dim) to (..., N, *element_shape)."""
        return self.group.cayley(self.tangents(u, "u"))

    def cayley_inverse(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute u with cayley(u) = g, (..., N, *element_shape) to (..., N dim)."""
        self._require_element(g, "g")
        return self.group.cayley_inverse(g, check=check).flatten(-2)

    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Compute the block diagonal matrix of the copies' dcay, (..., N dim, N dim)."""
        return repeated_diagonal(self.group.cayley_jacobian(self.tangents(u, "u")))

    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Compute the block diagonal matrix of their inverses, (..., N dim, N dim)."""
        return repeated_diagonal(self.group.cayley_jacobian_inverse(self.tangents(u, "u")))

    # Geometry, samples, membership

    def mean(self, points: Tensor, weights: Tensor | None = None, *, check: bool = True) -> Tensor:
        """Compute the means of the copies.

        Args:
            points: Elements, shape (..., P, N, *element_shape).
            weights: Weights of the P points, shape (..., P); None means equal ones.
            check: Whether values are checked.

        Returns:
            The mean, shape (..., N, *element_shape).

        Raises:
            ValueError: If there is no point, a point is not in the group, or no mean was found.
        """
        self._require_member(points, "points", check)
        copies = -len(self.element_shape)
        points, weights = normalised_weights(points, weights, -copies)
        return self.group.mean(points.movedim(copies, copies - 1), weights.unsqueeze(-2), check=check)

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw an element of each copy, as the group draws them, shape (*batch, N, *element_shape)."""
        return self.group.random(*batch, self.count, generator=generator, dtype=dtype, device=device)

    def project(self, x: Tensor) -> Tensor:
        """Project every copy, (..., N, *element_shape)."""
        self._require_element(x, "x")
        return self.group.project(x)

    def residual(self, x: Tensor) -> Tensor:
        """Compute the largest residual of the copies, shape (...)."""
        self._require_element(x, "x")
        return self.group.residual(x).amax(-1)

    def _refuse_strangers(self, x: Tensor, name: str, tol: float) -> None:
        self.group._refuse_strangers(x, name, tol)

    def _require_cayley(self) -> None:
        self.group._require_cayley()
