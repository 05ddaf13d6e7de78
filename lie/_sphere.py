"""The unit sphere with its round metric, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _scalar
from ._constants import Series
from ._riemannian import RiemannianManifold

_ATAN = Series([[(-1) ** k / (2 * k + 1) for k in range(16)]], radius=0.01)  # atan(t)/t as a series in t^2
_NOISE = 16  # a length of so many epsilons is rounding, without a direction


class Sphere(RiemannianManifold):
    """Unit vectors x (..., n) of R^n: the sphere of dimension n - 1, with angles in radians as lengths.

    n is the size of the vectors, not the dimension: ``Sphere(3)`` is the ordinary sphere in space. Tangent
    vectors v (..., n) are orthogonal to x; the metric is the dot product. Everything is right to rounding
    with all derivatives at x = y. Antipodal points, x = -y, have no logarithm and no transport.

    Args:
        n: Number of entries of the vectors, at least 2.

    Raises:
        ValueError: If n is no integer of at least 2.

    Examples:
        >>> import torch
        >>> from lie import Sphere
        >>> north, east = torch.eye(3, dtype=torch.float64)[[2, 0]]
        >>> Sphere(3).interpolate(north, east, 1 / 3).round(decimals=4)
        tensor([0.5000, 0.0000, 0.8660], dtype=torch.float64)
    """

    def __init__(self, n: int) -> None:
        if not isinstance(n, int) or n < 2:
            raise ValueError(f"n must be an integer of at least 2, the size of the vectors, got {n!r}.")
        self.name = f"Sphere({n})"
        self.dim = n - 1
        self.element_shape = (n,)

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute v - (x . v) x, the nearest vector orthogonal to x, (..., n).

        It turns the Euclidean gradient of a function into the Riemannian one, as ``gradient`` does.

        Args:
            x: Points, shape (..., n).
            v: Any vectors, shape (..., n).

        Returns:
            Tangent vectors at x, shape (..., n).
        """
        self._require_points(x, "x", v, "v")
        return v - _dot(x, v) * x

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Compute the dot product of u and v, shape (...)."""
        self._require_points(x, "x", u, "u")
        self._require_points(x, "x", v, "v")
        u, v, _ = torch.broadcast_tensors(u, v, x)
        return (u * v).sum(-1)

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute cos(|v|) x + sin(|v|)/|v| v, the end of the great arc from x along v, (..., n)."""
        self._require_points(x, "x", v, "v")
        half_sine, cosine = _scalar.sw(4 * _scalar.squared_norm(v))
        return cosine * x + 2 * half_sine * v

    def log(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the tangent vector at x along the shorter great arc to y, as long as the angle.

        Args:
            x: Points, shape (..., n).
            y: Points, shape (..., n).
            check: Whether values are checked.

        Returns:
            Tangent vectors at x, shape (..., n), of length below pi; NaN where x = -y.

        Raises:
            ValueError: If an argument is not on the sphere, or x = -y, which no arc is the shortest between.
        """
        self._require_points(x, "x", y, "y", check)
        normal, r, cosine = _offset(x, y)
        solved = (cosine > 0) | (r > (_NOISE * torch.finfo(r.dtype).eps) ** 2)
        v = torch.where(solved, _angle(r, cosine)[0], torch.nan) * normal
        if check:
            reason = (
                "is antipodal to its x: every great arc between them is a shortest one. Move one of them."
            )
            self._refuse_unsolved(v, solved.squeeze(-1), "y", reason)
        return v

    def squared_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the squared angle between two unit vectors, in [0, pi^2], shape (...).

        Twice differentiable at x = y, where the slope is 0; at x = -y, where the angle has a kink, the slope
        is taken as 0. The gradient in x is -2 log(x, y).

        Args:
            x: Points, shape (..., n).
            y: Points, shape (..., n).
            check: Whether values are checked.

        Returns:
            Squared angles, shape (...).

        Raises:
            ValueError: If an argument is not on the sphere.
        """
        self._require_points(x, "x", y, "y", check)
        _, r, cosine = _offset(x, y)
        return _angle(r, cosine)[1].squeeze(-1)

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Compute the parallel transport of v along the shorter great arc from x to y, (..., n).

        It is the reflection that takes x to -y, so that lengths and angles stay.

        Args:
            x: Points, shape (..., n).
            y: Points, shape (..., n).
            v: Tangent vectors at x, shape (..., n).

        Returns:
            Tangent vectors at y, shape (..., n); NaN where x = -y.
        """
        self._require_points(x, "x", y, "y")
        self._require_points(x, "x", v, "v")
        middle = x + y
        size = _scalar.squared_norm(middle)
        size = torch.where(size > (_NOISE * torch.finfo(size.dtype).eps) ** 2, size, torch.nan)
        return v - (2 * _dot(middle, v) / size) * middle

    def transport_along(self, x: Tensor, v: Tensor, u: Tensor) -> Tensor:
        """Compute the parallel transport of u from x to exp(x, v) along the geodesic of v, of any length.

        Args:
            x: Points, shape (..., n).
            v: Velocity of the geodesic, tangent at x, shape (..., n).
            u: Tangent vectors at x, shape (..., n).

        Returns:
            Tangent vectors at exp(x, v), shape (..., n).
        """
        self._require_points(x, "x", v, "v")
        self._require_points(x, "x", u, "u")
        a, b = _scalar.ab(_scalar.squared_norm(v))
        return u - _dot(v, u) * (a * x + b * v)

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw points uniformly, shape (*batch, n)."""
        return self.project(
            torch.randn(*batch, *self.element_shape, generator=generator, dtype=dtype, device=device)
        )

    def project(self, x: Tensor) -> Tensor:
        """Compute x / |x|, the nearest unit vector, (..., n); NaN for x = 0, which has none."""
        self._require_element(x, "x")
        return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)

    def residual(self, x: Tensor) -> Tensor:
        """Compute the difference of |x| from 1, shape (...)."""
        self._require_element(x, "x")
        return (torch.linalg.vector_norm(x, dim=-1) - 1).abs()


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)


def _offset(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The part of y orthogonal to x, which keeps its digits next to x, its squared length, and x . y."""
    apart = y - x
    normal = apart - _dot(x, apart) * x
    return normal, _scalar.squared_norm(normal), _dot(x, y)


def _angle(r: Tensor, cosine: Tensor) -> tuple[Tensor, Tensor]:
    """The angle of squared sine r divided by its sine, and the squared angle."""
    small = (r < 0.01 * cosine * cosine) & (cosine > 0)
    cs = torch.where(small, cosine, 1)
    rs = torch.where(small, r, 0)
    noise = torch.finfo(r.dtype).eps ** 2
    sine = torch.where(small, 1, r).clamp_min(noise).sqrt()
    angle = torch.atan2(sine, cosine)
    series = _ATAN(rs / (cs * cs)) / cs
    return torch.where(small, series, angle / sine), torch.where(small, rs * series * series, angle * angle)
