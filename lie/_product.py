"""Direct products of Lie groups, stored flat."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ._checks import require_one_device, require_shape
from ._group import LieGroup
from ._linalg import block_diagonal


class Product(LieGroup):
    """The direct product of Lie groups: an element holds one element of each factor.

    Elements are flat, (..., size): the factors' elements, each flattened row by row, in order. This is the
    layout of a state vector with one block per factor. ``split`` and ``join`` lead to the factors' elements
    and back. Tangents (..., dim) and points (..., point size) are concatenated alike, and so are the algebra
    elements that ``hat`` makes. Every operation works factor by factor; Ad, ad and the Jacobians are block
    diagonal. The squared distance is the sum of the factors' squared distances, which adds their units:
    scale them, or use the factors' distances one by one, where that is not meant.

    The Cayley transform is that of each factor, and refused if one has none.

    Args:
        *factors: The groups, one or more; products and powers too.

    Raises:
        ValueError: If there is no factor.
        TypeError: If a factor is not a Lie group.

    Examples:
        >>> import torch
        >>> from lie import SO3, Euclidean, Product
        >>> body = Product(SO3, Euclidean(3))
        >>> g = body.join(torch.eye(3), torch.tensor([1.0, 2.0, 3.0]))
        >>> g.shape, body.dim
        (torch.Size([12]), 6)
        >>> body.split(g)[1]
        tensor([1., 2., 3.])
    """

    def __init__(self, *factors: LieGroup) -> None:
        if not factors:
            raise ValueError("factors must hold at least one Lie group, got none.")
        for k, factor in enumerate(factors):
            if not isinstance(factor, LieGroup):
                raise TypeError(
                    f"factors must be Lie groups, such as lie.SO3 or lie.Euclidean(3), got {factor!r} at "
                    f"position {k}."
                )
        self.factors = factors
        self.name = f"Product({', '.join(factor.name for factor in factors)})"
        self.dim = sum(factor.dim for factor in factors)
        self._shapes = tuple(factor.element_shape for factor in factors)
        self._tangent_shapes = tuple((factor.dim,) for factor in factors)
        self._point_shapes = tuple(factor.point_shape for factor in factors)
        self.element_shape = (sum(map(math.prod, self._shapes)),)
        self.point_shape = (sum(map(math.prod, self._point_shapes)),)
        self.cayley_closed = all(factor.cayley_closed for factor in factors)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Product) and other.factors == self.factors

    def __hash__(self) -> int:
        return hash((Product, self.factors))

    # Parts

    def split(self, g: Tensor, name: str = "g") -> tuple[Tensor, ...]:
        """Cut elements into those of the factors.

        Args:
            g: Elements, shape (..., size).
            name: Name of the argument in messages.

        Returns:
            For each factor its elements, shape (..., *factor.element_shape), views where strides allow.
        """
        self._require_element(g, name)
        return _cut(g, self._shapes)

    def join(self, *parts: Tensor) -> Tensor:
        """Assemble elements of those of the factors.

        Args:
            *parts: For each factor its elements, shape (..., *factor.element_shape); batch dimensions
                broadcast.

        Returns:
            Elements, shape (..., size).
        """
        return self._join_checked(parts, self._shapes, "elements")

    def split_tangent(self, xi: Tensor, name: str = "xi") -> tuple[Tensor, ...]:
        """Cut tangents into those of the factors.

        Args:
            xi: Tangents, shape (..., dim).
            name: Name of the argument in messages.

        Returns:
            For each factor its tangents, shape (..., factor.dim).
        """
        self._require_tangent(xi, name)
        return _cut(xi, self._tangent_shapes)

    def join_tangent(self, *parts: Tensor) -> Tensor:
        """Assemble tangents of those of the factors.

        Args:
            *parts: For each factor its tangents, shape (..., factor.dim); batch dimensions broadcast.

        Returns:
            Tangents, shape (..., dim).
        """
        return self._join_checked(parts, self._tangent_shapes, "tangents")

    def _join_checked(
        self, parts: tuple[Tensor, ...], shapes: tuple[tuple[int, ...], ...], what: str
    ) -> Tensor:
        if len(parts) != len(shapes):
            raise ValueError(
                f"parts must be the {what} of the {len(shapes)} factors of {self.name}, got {len(parts)}."
            )
        for k, (part, shape, factor) in enumerate(zip(parts, shapes, self.factors, strict=True)):
            require_shape(part, shape, f"parts[{k}]", f"{what} of {factor.name}")
            require_one_device(parts[0], "parts[0]", part, f"parts[{k}]")
        return _join(parts, shapes)

    # Algebra

    def hat(self, xi: Tensor) -> Tensor:
        """Compute the factors' algebra elements, in the layout of elements, (..., dim) to (..., size)."""
        return self._elements(factor.hat(part) for factor, part in self._each_tangent(xi, "xi"))

    def vee(self, X: Tensor) -> Tensor:
        """Compute the coordinates of algebra elements, (..., size) to (..., dim)."""
        return self._tangents(factor.vee(part) for factor, part in self._each(X, "X"))

    def ad(self, xi: Tensor) -> Tensor:
        """Compute the block diagonal matrix of the factors' ad, (..., dim, dim)."""
        return block_diagonal([factor.ad(part) for factor, part in self._each_tangent(xi, "xi")])

    def coadjoint_algebra(self, xi: Tensor, mu: Tensor) -> Tensor:
        """Compute the transpose of ad(xi) applied to mu, factor by factor, (..., dim)."""
        momenta = self.split_tangent(mu, "mu")
        pairs = zip(self._each_tangent(xi, "xi"), momenta, strict=True)
        return self._tangents(factor.coadjoint_algebra(part, momentum) for (factor, part), momentum in pairs)

    # Group

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Make identity elements, shape (*batch, size)."""
        return self._elements(factor.identity(*batch, dtype=dtype, device=device) for factor in self.factors)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute the products of the factors' elements, (..., size)."""
        require_one_device(a, "a", b, "b")
        pairs = zip(self._each(a, "a"), self.split(b, "b"), strict=True)
        return self._elements(factor.compose(left, right) for (factor, left), right in pairs)

    def inverse(self, g: Tensor) -> Tensor:
        """Compute the inverses of the factors' elements, (..., size)."""
        return self._elements(factor.inverse(part) for factor, part in self._each(g, "g"))

    def act(self, g: Tensor, points: Tensor) -> Tensor:
        """Move points of every factor, concatenated and of sizes ``point_shape``, (..., point size)."""
        require_shape(points, self.point_shape, "points", f"points that {self.name} acts on")
        require_one_device(g, "g", points, "points")
        pairs = zip(self._each(g, "g"), _cut(points, self._point_shapes), strict=True)
        return _join((factor.act(part, point) for (factor, part), point in pairs), self._point_shapes)

    def exp(self, xi: Tensor) -> Tensor:
        """Compute the exponentials of the factors' tangents, (..., dim) to (..., size)."""
        return self._elements(factor.exp(part) for factor, part in self._each_tangent(xi, "xi"))

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the principal logarithms of the factors' elements, (..., size) to (..., dim)."""
        self._require_member(g, "g", check)
        xi = self._tangents(factor.log(part, check=False) for factor, part in self._each(g, "g"))
        if check:
            self._refuse_unsolved(xi, torch.isfinite(xi).all(-1), "g", self._no_logarithm)
        return xi

    def Ad(self, g: Tensor) -> Tensor:
        """Compute the block diagonal matrix of the factors' adjoints, (..., dim, dim)."""
        return block_diagonal([factor.Ad(part) for factor, part in self._each(g, "g")])

    def coadjoint(self, g: Tensor, mu: Tensor) -> Tensor:
        """Compute Ad(g)^T mu factor by factor, (..., dim)."""
        require_one_device(g, "g", mu, "mu")
        pairs = zip(self._each(g, "g"), self.split_tangent(mu, "mu"), strict=True)
        return self._tangents(factor.coadjoint(part, momentum) for (factor, part), momentum in pairs)

    # Derivatives of the exponential

    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Compute the block diagonal matrix of the factors' left Jacobians, (..., dim, dim)."""
        return block_diagonal([factor.left_jacobian(part) for factor, part in self._each_tangent(xi, "xi")])

    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute the block diagonal matrix of their inverses, (..., dim, dim)."""
        return block_diagonal(
            [factor.left_jacobian_inverse(part) for factor, part in self._each_tangent(xi, "xi")]
        )

    # Cayley transform

    def cayley(self, u: Tensor) -> Tensor:
        """Compute the factors' Cayley transforms, (..., dim) to (..., size)."""
        self._require_cayley()
        return self._elements(factor.cayley(part) for factor, part in self._each_tangent(u, "u"))

    def cayley_inverse(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute u with cayley(u) = g, (..., size) to (..., dim)."""
        self._require_cayley()
        self._require_member(g, "g", check)
        u = self._tangents(factor.cayley_inverse(part, check=False) for factor, part in self._each(g, "g"))
        return self._require_cayley_solved(u, check)

    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Compute the block diagonal matrix of the factors' dcay, (..., dim, dim)."""
        self._require_cayley()
        return block_diagonal([factor.cayley_jacobian(part) for factor, part in self._each_tangent(u, "u")])

    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Compute the block diagonal matrix of their inverses, (..., dim, dim)."""
        self._require_cayley()
        return block_diagonal(
            [factor.cayley_jacobian_inverse(part) for factor, part in self._each_tangent(u, "u")]
        )

    # Geometry, samples, membership

    def mean(self, points: Tensor, weights: Tensor | None = None, *, check: bool = True) -> Tensor:
        """Compute the means of the factors' elements, points (..., N, size) to (..., size)."""
        self._require_member(points, "points", check)
        return self._elements(
            factor.mean(part, weights, check=check) for factor, part in self._each(points, "points")
        )

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw an element of each factor, as it draws them, shape (*batch, size)."""
        return self._elements(
            factor.random(*batch, generator=generator, dtype=dtype, device=device) for factor in self.factors
        )

    def project(self, x: Tensor) -> Tensor:
        """Project the part of each factor, (..., size)."""
        return self._elements(factor.project(part) for factor, part in self._each(x, "x"))

    def residual(self, x: Tensor) -> Tensor:
        """Compute the largest residual of the factors, shape (...)."""
        return torch.stack([factor.residual(part) for factor, part in self._each(x, "x")]).amax(0)

    def _refuse_strangers(self, x: Tensor, name: str, tol: float) -> None:
        for k, (factor, part) in enumerate(self._each(x, name)):
            factor._refuse_strangers(part, f"factor {k} of {name}", tol)

    def _require_cayley(self) -> None:
        for factor in self.factors:
            factor._require_cayley()

    def _each(self, g: Tensor, name: str) -> list[tuple[LieGroup, Tensor]]:
        return list(zip(self.factors, self.split(g, name), strict=True))

    def _each_tangent(self, xi: Tensor, name: str) -> list[tuple[LieGroup, Tensor]]:
        return list(zip(self.factors, self.split_tangent(xi, name), strict=True))

    def _elements(self, parts: Iterable[Tensor]) -> Tensor:
        return _join(parts, self._shapes)

    def _tangents(self, parts: Iterable[Tensor]) -> Tensor:
        return _join(parts, self._tangent_shapes)


def _cut(x: Tensor, shapes: Sequence[tuple[int, ...]]) -> tuple[Tensor, ...]:
    """Cut the last dimension into blocks of the shapes given."""
    parts = x.split([math.prod(shape) for shape in shapes], -1)
    return tuple(part.reshape(*part.shape[:-1], *shape) for part, shape in zip(parts, shapes, strict=True))


def _join(parts: Iterable[Tensor], shapes: Sequence[tuple[int, ...]]) -> Tensor:
    """Flatten blocks of the shapes given and concatenate them, their batch dimensions broadcast."""
    flat = [
        part.reshape(*part.shape[: part.ndim - len(shape)], math.prod(shape))
        for part, shape in zip(parts, shapes, strict=True)
    ]
    batch = torch.broadcast_shapes(*(part.shape[:-1] for part in flat))
    return torch.cat([part.expand(*batch, part.shape[-1]) for part in flat], -1)
