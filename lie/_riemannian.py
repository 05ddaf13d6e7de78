"""The interface of a Riemannian manifold whose tangent vectors have the shape of its elements."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ._checks import require_one_device
from ._constants import is_readable
from ._karcher import karcher_mean
from ._manifold import MEMBER_TOLERANCE, Manifold, first_bad


class RiemannianManifold(Manifold):
    """A Riemannian manifold in a space of tensors: points and tangent vectors have ``element_shape``.

    The object is stateless and its methods act on plain tensors, see ``Manifold`` for batches, dtypes and
    checks. Tangent arguments are taken to be tangent without looking; ``check_tangent`` looks.
    """

    @abstractmethod
    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the tangent vector at x that is nearest to any tensor v, (..., *element_shape)."""

    @abstractmethod
    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Compute the inner product of tangent vectors at x, shape (...)."""

    @abstractmethod
    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the end of the geodesic that leaves x with velocity v, at time 1."""

    @abstractmethod
    def log(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the velocity at x of the shortest geodesic to y."""

    @abstractmethod
    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Carry a tangent vector v at x to a tangent vector at y."""

    def gradient(self, x: Tensor, euclidean: Tensor) -> Tensor:
        """Compute the Riemannian gradient at x of a function with this Euclidean gradient."""
        return self.project_tangent(x, euclidean)

    def norm(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the length of a tangent vector v at x, shape (...); at v = 0 the slope is taken as 0."""
        return _root(self.inner(x, v, v))

    def retract(self, x: Tensor, v: Tensor) -> Tensor:
        """Move x along v; ``exp`` where nothing is cheaper."""
        return self.exp(x, v)

    def distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the length of the shortest geodesic, shape (...); at x = y the slope is taken as 0."""
        return _root(self.squared_distance(x, y, check=check))

    def squared_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the squared distance of two points, shape (...): twice differentiable at x = y."""
        v = self.log(x, y, check=check)
        return self.inner(x, v, v)

    def interpolate(self, x: Tensor, y: Tensor, s: Tensor | float, *, check: bool = True) -> Tensor:
        """Compute the point at share s, of shape (...), of the geodesic from x to y."""
        v = self.log(x, y, check=check)
        s = s if isinstance(s, Tensor) else torch.tensor(s, dtype=v.dtype, device=v.device)
        return self.exp(x, s.reshape(*s.shape, *(1 for _ in self.element_shape)) * v)

    def mean(self, points: Tensor, weights: Tensor | None = None, *, check: bool = True) -> Tensor:
        """Compute the Karcher mean, where the weighted sum of log(m, x_i) is zero.

        It differentiates once through points and weights.

        Args:
            points: Points x_i, shape (..., N, *element_shape), near enough to each other for one mean.
            weights: Weights of any positive sum, shape (..., N); None means equal ones.
            check: Whether values are checked.

        Returns:
            The mean, shape (..., *element_shape).

        Raises:
            ValueError: If there is no point, a point is not on the manifold, or no mean was found.
        """
        self._require_member(points, "points", check)
        return karcher_mean(self, points, weights, check)

    def random_tangent(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a standard normal tensor and project it on the tangent space at x."""
        drawn = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return self.project_tangent(x, drawn)

    def check_tangent(self, x: Tensor, v: Tensor, name: str = "v") -> None:
        """Refuse tensors that are not tangent at x.

        Args:
            x: Points, shape (..., *element_shape).
            v: Tensors of the same trailing shape.
            name: Name of the argument in the message.

        Raises:
            ValueError: If the shape is wrong or v leaves the tangent space by more than a thousandth.
        """
        self._require_element(x, "x")
        self._require_element(v, name)
        require_one_device(x, "x", v, name)
        axes = tuple(range(-len(self.element_shape), 0))
        size = v.abs().amax(axes).clamp_min(1)
        good = (v - self.project_tangent(x, v)).abs().amax(axes) <= MEMBER_TOLERANCE * size
        if is_readable(good) and not bool(good.all()):
            raise ValueError(
                f"{first_bad(good, name)[0]} is not tangent to {self.name} at its point; "
                f"bring it there with lie.{self.name}.project_tangent."
            )

    def _require_points(self, x: Tensor, x_name: str, y: Tensor, y_name: str, check: bool = False) -> None:
        """Check two arguments of the shape of elements: devices, shapes and, if asked for, membership."""
        require_one_device(x, x_name, y, y_name)
        self._require_member(x, x_name, check)
        self._require_member(y, y_name, check)


def _root(squared: Tensor) -> Tensor:
    """The square root, with slope 0 at 0."""
    zero = squared == 0
    return torch.where(zero, 0, torch.where(zero, 1, squared).sqrt())
