"""The rotation group SO(2) in closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._checks import require_last
from ._linalg import determinant, product
from ._matrix_group import MatrixLieGroup


def quarter_turn(v: Tensor) -> Tensor:
    """Compute (-y, x) for vectors (x, y).

    Args:
        v: Vectors, shape (..., 2).

    Returns:
        Vectors turned by 90 degrees, shape (..., 2).
    """
    return torch.stack((-v[..., 1], v[..., 0]), -1)


def scaled_rotation(cosine: Tensor, sine: Tensor) -> Tensor:
    """Assemble [[c, -s], [s, c]].

    Args:
        cosine: The entry c, shape (..., 1).
        sine: The entry s, shape (..., 1).

    Returns:
        Matrices, shape (..., 2, 2).
    """
    return torch.cat((cosine, -sine, sine, cosine), -1).unflatten(-1, (2, 2))


def sine_cosine(g: Tensor) -> tuple[Tensor, Tensor]:
    """Read sine and cosine from all four entries of rotation matrices.

    Args:
        g: Matrices, shape (..., 2, 2) or with more rows and columns.

    Returns:
        Sine and cosine, each (..., 1).
    """
    return (
        0.5 * (g[..., 1, 0] - g[..., 0, 1]).unsqueeze(-1),
        0.5 * (g[..., 0, 0] + g[..., 1, 1]).unsqueeze(-1),
    )


class PlanarRotationGroup(MatrixLieGroup):
    """Rotation matrices R = [[cos, -sin], [sin, cos]] of the plane, (..., 2, 2), body to world.

    Tangent coordinates are angles (..., 1) in radians, counter-clockwise from x to y. The group is
    commutative: Ad and the Jacobians of exp are 1. The logarithm is the angle in [-pi, pi].

    Examples:
        >>> import torch
        >>> from lie import SO2
        >>> R = SO2.from_angle(torch.tensor(torch.pi / 2, dtype=torch.float64))
        >>> SO2.act(R, torch.tensor([1.0, 0.0], dtype=torch.float64)).round(decimals=12)
        tensor([0., 1.], dtype=torch.float64)
    """

    name = "SO2"
    dim = 1
    matrix_dim = 2
    cayley_closed = True

    def basis(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Give the generator [[0, -1], [1, 0]], shape (1, 2, 2)."""
        return torch.tensor([[[0, -1], [1, 0]]], dtype=dtype, device=device)

    def from_angle(self, angle: Tensor) -> Tensor:
        """Compute the rotation by an angle in radians, (...) to (..., 2, 2)."""
        xi = angle.unsqueeze(-1)
        require_last(xi, 1, "angle", "angles")
        return self.exp(xi)

    def angle(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the angle in [-pi, pi] radians, (..., 2, 2) to (...)."""
        return self.log(g, check=check).squeeze(-1)

    def exp(self, xi: Tensor) -> Tensor:
        """Compute the rotation by xi radians, (..., 1) to (..., 2, 2)."""
        self._require_tangent(xi, "xi")
        return scaled_rotation(xi.cos(), xi.sin())

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the angle in [-pi, pi] radians, (..., 2, 2) to (..., 1)."""
        self._require_member(g, "g", check)
        return torch.atan2(*sine_cosine(g))

    def inverse(self, g: Tensor) -> Tensor:
        """Compute the transpose, (..., 2, 2)."""
        self._require_element(g, "g")
        return g.mT

    def Ad(self, g: Tensor) -> Tensor:
        """Give the adjoint, which is 1, (..., 1, 1)."""
        self._require_element(g, "g")
        return torch.ones_like(g[..., :1, :1])

    def ad(self, xi: Tensor) -> Tensor:
        """Give the bracket with xi, which is 0, (..., 1, 1)."""
        self._require_tangent(xi, "xi")
        return torch.zeros_like(xi).unsqueeze(-1)

    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Give the left Jacobian, which is 1, (..., 1, 1)."""
        self._require_tangent(xi, "xi")
        return torch.ones_like(xi).unsqueeze(-1)

    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Give the inverse of the left Jacobian, which is 1, (..., 1, 1)."""
        return self.left_jacobian(xi)

    def cayley(self, u: Tensor) -> Tensor:
        """Compute the rotation by 2 atan(u/2), rational in u, (..., 1) to (..., 2, 2)."""
        self._require_tangent(u, "u")
        quarter = 0.25 * u * u
        scale = 1 / (1 + quarter)
        return scaled_rotation((1 - quarter) * scale, u * scale)

    def cayley_inverse(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute u = 2 tan(angle/2), (..., 2, 2) to (..., 1); refuses half turns, which have none."""
        self._require_member(g, "g", check)
        sine, cosine = sine_cosine(g)
        ahead = cosine >= 0
        near = 2 * sine / torch.where(ahead, 1 + cosine, 1)
        return self._require_cayley_solved(
            torch.where(ahead, near, 2 * (1 - cosine) / torch.where(ahead, 1, sine)), check
        )

    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Compute dcay = 1 / (1 + u^2/4), (..., 1, 1)."""
        return 1 / self.cayley_jacobian_inverse(u)

    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Compute 1 + u^2/4, (..., 1, 1)."""
        self._require_tangent(u, "u")
        return (1 + 0.25 * u * u).unsqueeze(-1)

    def distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the angle of x^-1 y in [0, pi] radians, shape (...); at x = y the slope is taken as 0."""
        self._require_pair(x, "x", y, "y", check)
        return self._difference(y, x, "x^-1 y", check).squeeze(-1).abs()

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw rotations uniformly (Haar measure), shape (*batch, 2, 2)."""
        share = torch.rand(*batch, 1, generator=generator, dtype=dtype, device=device)
        return self.exp((2 * share - 1) * math.pi)

    def project(self, x: Tensor) -> Tensor:
        """Compute the rotation nearest to any matrix in the Frobenius norm.

        Args:
            x: Matrices, shape (..., 2, 2).

        Returns:
            Rotations, shape (..., 2, 2); NaN where every rotation is as near, as for x = 0.
        """
        self._require_element(x, "x")
        sine, cosine = sine_cosine(x)
        length = torch.hypot(sine, cosine)
        return scaled_rotation(cosine / length, sine / length)

    def residual(self, x: Tensor) -> Tensor:
        """Compute the larger of max |x^T x - I| and |det x - 1|, shape (...)."""
        self._require_element(x, "x")
        eye = torch.eye(2, dtype=x.dtype, device=x.device)
        orthogonality = (product(x.mT, x) - eye).abs().amax((-2, -1))
        return torch.maximum(orthogonality, (determinant(x) - 1).abs())


SO2 = PlanarRotationGroup()
