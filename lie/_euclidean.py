"""The additive group of vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from ._checks import require_last, require_one_device
from ._group import LieGroup
from ._linalg import promote


class Euclidean(LieGroup):
    """Vectors x (..., n) under addition: elements, tangents, algebra and points are all vectors.

    exp and log change nothing, compose adds, Ad and the Jacobians are the identity, brackets vanish. This is
    the factor of a ``Product`` for plain numbers.

    Args:
        n: Number of entries, at least 1.

    Raises:
        ValueError: If n is no positive integer.

    Examples:
        >>> import torch
        >>> from lie import Euclidean
        >>> Euclidean(2).compose(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.0]))
        tensor([1.5000, 2.0000])
    """

    cayley_closed = True

    def __init__(self, n: int) -> None:
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"n must be a positive integer, the number of entries, got {n!r}.")
        self.name = f"Euclidean({n})"
        self.dim = n
        self.element_shape = (n,)
        self.point_shape = (n,)

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Make zero vectors, shape (*batch, n)."""
        return torch.zeros(*batch, self.dim, dtype=dtype, device=device)

    def hat(self, xi: Tensor) -> Tensor:
        """Give xi itself, (..., n)."""
        self._require_tangent(xi, "xi")
        return xi

    def vee(self, X: Tensor) -> Tensor:
        """Give X itself, (..., n)."""
        self._require_element(X, "X")
        return X

    def exp(self, xi: Tensor) -> Tensor:
        """Give xi itself, (..., n)."""
        self._require_tangent(xi, "xi")
        return xi

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Give g itself, (..., n)."""
        self._require_member(g, "g", check)
        return g

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute a + b, (..., n)."""
        self._require_element(a, "a")
        self._require_element(b, "b")
        require_one_device(a, "a", b, "b")
        return a + b

    def inverse(self, g: Tensor) -> Tensor:
        """Compute -g, (..., n)."""
        self._require_element(g, "g")
        return -g

    def act(self, g: Tensor, points: Tensor) -> Tensor:
        """Compute points + g, (..., n)."""
        self._require_element(g, "g")
        require_last(points, self.dim, "points", f"points that {self.name} acts on")
        require_one_device(g, "g", points, "points")
        return points + g

    def Ad(self, g: Tensor) -> Tensor:
        """Give the identity matrix, (..., n, n)."""
        self._require_element(g, "g")
        return self._eye(g)

    def ad(self, xi: Tensor) -> Tensor:
        """Give the zero matrix, (..., n, n)."""
        self._require_tangent(xi, "xi")
        return torch.zeros_like(self._eye(xi))

    def coadjoint(self, g: Tensor, mu: Tensor) -> Tensor:
        """Give mu, (..., n)."""
        self._require_element(g, "g")
        self._require_tangent(mu, "mu")
        require_one_device(g, "g", mu, "mu")
        return torch.broadcast_tensors(*promote(mu, g))[0]

    def coadjoint_algebra(self, xi: Tensor, mu: Tensor) -> Tensor:
        """Give zero, (..., n): momenta are constant without forces."""
        self._require_tangent(xi, "xi")
        self._require_tangent(mu, "mu")
        require_one_device(xi, "xi", mu, "mu")
        return torch.zeros_like(torch.broadcast_tensors(*promote(xi, mu))[0])

    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Give the identity matrix, (..., n, n)."""
        self._require_tangent(xi, "xi")
        return self._eye(xi)

    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Give the identity matrix, (..., n, n)."""
        self._require_tangent(xi, "xi")
        return self._eye(xi)

    def cayley(self, u: Tensor) -> Tensor:
        """Give u itself, (..., n)."""
        self._require_tangent(u, "u")
        return u

    def cayley_inverse(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Give g itself, (..., n)."""
        self._require_member(g, "g", check)
        return g

    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Give the identity matrix, (..., n, n)."""
        self._require_tangent(u, "u")
        return self._eye(u)

    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Give the identity matrix, (..., n, n)."""
        self._require_tangent(u, "u")
        return self._eye(u)

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw standard normal vectors, shape (*batch, n)."""
        return torch.randn(*batch, self.dim, generator=generator, dtype=dtype, device=device)

    def project(self, x: Tensor) -> Tensor:
        """Give x itself, (..., n)."""
        self._require_element(x, "x")
        return x

    def residual(self, x: Tensor) -> Tensor:
        """Give zero, or NaN where an entry is not finite, shape (...)."""
        self._require_element(x, "x")
        return (0 * x).sum(-1)

    def _eye(self, x: Tensor) -> Tensor:
        """Identity matrices with the batch dimensions of x."""
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        return eye.expand(*x.shape[:-1], self.dim, self.dim)
