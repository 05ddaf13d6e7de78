"""The rotation group SO(3) in closed form."""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor

from . import _rotation, _scalar
from ._checks import require_last, require_one_device
from ._constants import Series
from ._linalg import cross, product
from ._matrix_group import MatrixLieGroup
from ._planes import by_rows
from ._polar import nearest_rotation

# arcsin(s)^2 / s^2 as a series in s^2
_ARCSINE_SQUARED = Series([[0.5 * 4**k / (k * k * comb(2 * k, k)) for k in range(1, 16)]], radius=0.01)


class RotationGroup(MatrixLieGroup):
    """Rotation matrices R (..., 3, 3), body to world.

    R p turns the components of p in the body frame into those in the world frame. Tangent coordinates are
    rotation vectors phi (..., 3) in radians with hat(phi) p = phi x p. Quaternions are (x, y, z, w).

    Every function is right to rounding, with its first and second derivatives, at the identity, between
    and near half turns. At an angle of exactly pi the logarithm, which jumps there, is n pi or -n pi.

    Examples:
        >>> import torch
        >>> from lie import SO3
        >>> R = SO3.exp(torch.tensor([0.0, 0.0, torch.pi / 2], dtype=torch.float64))
        >>> SO3.act(R, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)).round(decimals=12)
        tensor([0., 1., 0.], dtype=torch.float64)
    """

    name = "SO3"
    dim = 3
    matrix_dim = 3
    cayley_closed = True

    def basis(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Give the generators of rotation about x, y and z, shape (3, 3, 3)."""
        return _rotation.hat(torch.eye(3, dtype=dtype, device=device))

    def exp(self, xi: Tensor) -> Tensor:
        """Compute the rotation by |xi| radians about xi, (..., 3) to (..., 3, 3)."""
        self._require_tangent(xi, "xi")
        return _rotation.matrix_from_vector(xi)

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the rotation vector of length at most pi, (..., 3, 3) to (..., 3)."""
        self._require_member(g, "g", check)
        return _rotation.vector_from_matrix(g)

    def inverse(self, g: Tensor) -> Tensor:
        """Compute the transpose, (..., 3, 3)."""
        self._require_element(g, "g")
        return g.mT

    def Ad(self, g: Tensor) -> Tensor:
        """Give the adjoint, which is g itself, (..., 3, 3)."""
        self._require_element(g, "g")
        return g

    def ad(self, xi: Tensor) -> Tensor:
        """Compute the matrix of the cross product with xi, (..., 3, 3)."""
        return self.hat(xi)

    def coadjoint_algebra(self, xi: Tensor, mu: Tensor) -> Tensor:
        """Compute mu x xi, (..., 3): the free rigid body obeys mu' = mu x omega in the body frame."""
        self._require_tangent(xi, "xi")
        self._require_tangent(mu, "mu")
        require_one_device(xi, "xi", mu, "mu")
        return cross(mu, xi)

    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Compute J_l = I + B hat(xi) + C hat(xi)^2, (..., 3, 3)."""
        self._require_tangent(xi, "xi")
        return _rotation.left_jacobian(xi)

    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute I - hat(xi)/2 + D hat(xi)^2, (..., 3, 3); singular at |xi| = 2 pi only."""
        self._require_tangent(xi, "xi")
        return _rotation.left_jacobian_inverse(xi)

    def cayley(self, u: Tensor) -> Tensor:
        """Compute the rotation by 2 atan(|u|/2) about u, rational in u, (..., 3) to (..., 3, 3)."""
        self._require_tangent(u, "u")
        return _rotation.matrix_from_any(torch.cat((0.5 * u, torch.ones_like(u[..., :1])), -1))

    def cayley_inverse(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute u with cayley(u) = g, (..., 3, 3) to (..., 3); refuses half turns, which have none."""
        self._require_member(g, "g", check)
        q = _rotation.candidate_from_matrix(g)
        return self._require_cayley_solved(2 * q[..., :3] / q[..., 3:], check)

    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Compute dcay = (I + hat(u)/2) / (1 + |u|^2/4), (..., 3, 3)."""
        self._require_tangent(u, "u")
        half = 0.5 * self.hat(u)
        eye = torch.eye(3, dtype=u.dtype, device=u.device)
        return (eye + half) / (1 + 0.25 * _scalar.squared_norm(u)).unsqueeze(-1)

    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Compute I - hat(u)/2 + u u^T/4, (..., 3, 3)."""
        self._require_tangent(u, "u")
        half = 0.5 * u
        eye = torch.eye(3, dtype=u.dtype, device=u.device)
        return eye - 0.5 * self.hat(u) + half.unsqueeze(-1) * half.unsqueeze(-2)

    def distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the angle of x^-1 y in [0, pi] radians, shape (...); at x = y the slope is taken as 0."""
        sine, cosine = self._sine_cosine(x, y, check)
        return torch.atan2(torch.linalg.vector_norm(sine, dim=-1), cosine.squeeze(-1))

    def squared_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the squared angle of x^-1 y, shape (...), in square radians.

        Twice differentiable at x = y, where the slope is 0. The slope stays finite up to half turns, and is
        taken as 0 at a half turn, where the angle has a kink.

        Args:
            x: Rotation, shape (..., 3, 3).
            y: Rotation, shape (..., 3, 3).
            check: Whether values are checked.

        Returns:
            Squared angle, shape (...).
        """
        sine, cosine = self._sine_cosine(x, y, check)
        square = _scalar.squared_norm(sine)
        small = (square < 0.01) & (cosine > 0)
        noise = torch.finfo(square.dtype).eps ** 2
        closed = torch.atan2(torch.where(small, 1, square).clamp_min(noise).sqrt(), cosine)
        xs = torch.where(small, square, 0)
        return torch.where(small, xs * _ARCSINE_SQUARED(xs), closed * closed).squeeze(-1)

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw rotations uniformly (Haar measure), shape (*batch, 3, 3)."""
        return _rotation.matrix_from_any(
            torch.randn(*batch, 4, generator=generator, dtype=dtype, device=device)
        )

    def project(self, x: Tensor) -> Tensor:
        """Compute the rotation nearest to any matrix in the Frobenius norm.

        It differentiates at equal singular values, as every rotation has. For rotations up to rounding
        ``polish`` is cheaper.

        Args:
            x: Matrices, shape (..., 3, 3).

        Returns:
            Rotations, shape (..., 3, 3); NaN where no rotation is nearest, as for x = 0.
        """
        self._require_element(x, "x")
        return nearest_rotation(x)

    def polish(self, g: Tensor) -> Tensor:
        """Compute one Newton-Schulz step g (3 I - g^T g) / 2 towards the group, (..., 3, 3).

        It squares the defect, which must be below about 0.1: 1e-5 becomes 1e-10.

        Args:
            g: Matrices near the group, shape (..., 3, 3).

        Returns:
            Matrices nearer to the group, shape (..., 3, 3).
        """
        self._require_element(g, "g")
        return 1.5 * g - 0.5 * product(g, product(g.mT, g))

    def residual(self, x: Tensor) -> Tensor:
        """Compute how far two rows are from orthonormal, and the third from their cross product, (...)."""
        self._require_element(x, "x")
        return by_rows(_residual_rows, x, (3, 3), ())

    def from_quaternion(self, q_xyzw: Tensor) -> Tensor:
        """Compute the rotation matrix of a non-zero quaternion (x, y, z, w), (..., 4) to (..., 3, 3)."""
        require_last(q_xyzw, 4, "q_xyzw", "quaternions x, y, z, w")
        return _rotation.matrix_from_any(q_xyzw)

    def to_quaternion(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the unit quaternion (x, y, z, w), w >= 0, of a rotation matrix, (..., 4)."""
        self._require_member(g, "g", check)
        q = _rotation.flip(_rotation.candidate_from_matrix(g))
        return q * _scalar.squared_norm(q).rsqrt()

    def _sine_cosine(self, x: Tensor, y: Tensor, check: bool) -> tuple[Tensor, Tensor]:
        """Axis times sine, (..., 3), and cosine, (..., 1), of the angle of x^-1 y."""
        self._require_pair(x, "x", y, "y", check)
        sine = 0.5 * cross(y, x).sum(-2)  # rows: the axial vector of x^T y without the product
        return sine, 0.5 * (x * y).flatten(-2).sum(-1, keepdim=True) - 0.5


def _residual_rows(rows: Tensor) -> Tensor:
    defects = _rotation.defects(rows.t().contiguous().unflatten(0, (3, 3)))
    return torch.cat(defects).abs().amax(0, keepdim=True).t()


SO3 = RotationGroup()
