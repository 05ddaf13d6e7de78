"""The group SE(3) of rigid motions in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _rotation, _scalar
from ._checks import require_last, require_one_device
from ._constants import Constant
from ._linalg import apply, cross, product, promote, transform
from ._matrix_group import MatrixLieGroup
from ._motion import Motion
from ._motion_jacobian import MotionJacobian
from ._planes import by_rows
from ._so3 import SO3

_BOTTOM = Constant([[0, 0, 0, 1]])
_LAST = Constant([[0], [0], [0], [1]])
_MOTION = Motion(1)
_JACOBIAN = MotionJacobian(1)


def _blocks(diagonal: Tensor, corner: Tensor) -> Tensor:
    """The matrix [[diagonal, corner], [0, diagonal]]."""
    top = torch.cat((diagonal, corner), -1)
    return torch.cat((top, torch.cat((torch.zeros_like(diagonal), diagonal), -1)), -2)


class RigidMotionGroup(MatrixLieGroup):
    """Rigid motions g = [[R, t], [0, 1]], (..., 4, 4), body to world, on column vectors: act(g, p) = R p + t.

    Tangent coordinates are (rho, phi), translation first, (..., 6); lengths in the unit of t, angles in
    radians. The exponential is (exp(phi), J_l(phi) rho), with J_l the left Jacobian of SO(3). Every function
    is right to rounding, with its first and second derivatives, at the identity, in between and near half
    turns.

    No metric on SE(3) is bi-invariant: ``distance`` is the left-invariant |log(g^-1 h)|, which adds lengths
    and radians; ``interpolate`` moves along a screw, ``interpolate_split`` turns and translates
    independently.

    Examples:
        >>> import torch
        >>> from lie import SE3
        >>> g = SE3.exp(torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, torch.pi], dtype=torch.float64))
        >>> SE3.translation(g).mul(torch.pi).round(decimals=12)
        tensor([0., 2., 0.], dtype=torch.float64)
    """

    name = "SE3"
    dim = 6
    matrix_dim = 4
    point_shape = (3,)
    cayley_closed = True

    def basis(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Give the generators of translation along, then rotation about x, y and z, shape (6, 4, 4)."""
        eye = torch.eye(3, dtype=dtype, device=device)
        zero = torch.zeros(3, 3, 1, dtype=dtype, device=device)
        translations = torch.cat((torch.zeros_like(_rotation.hat(eye)), eye.unsqueeze(-1)), -1)
        rotations = torch.cat((_rotation.hat(eye), zero), -1)
        top = torch.cat((translations, rotations))
        return torch.cat((top, torch.zeros(6, 1, 4, dtype=dtype, device=device)), -2)

    def rotation(self, g: Tensor) -> Tensor:
        """Give the rotation matrix R of g, a view (..., 3, 3)."""
        self._require_element(g, "g")
        return g[..., :3, :3]

    def translation(self, g: Tensor) -> Tensor:
        """Give the translation t of g, a view (..., 3)."""
        self._require_element(g, "g")
        return g[..., :3, 3]

    def from_parts(self, R: Tensor, t: Tensor) -> Tensor:
        """Assemble g from a rotation matrix (..., 3, 3) and a translation (..., 3)."""
        SO3._require_element(R, "R")
        require_last(t, 3, "t", "translations")
        require_one_device(R, "R", t, "t")
        R, t = promote(R, t)
        if R.shape[:-2] != t.shape[:-1]:
            batch = torch.broadcast_shapes(R.shape[:-2], t.shape[:-1])
            R, t = R.expand(*batch, 3, 3), t.expand(*batch, 3)
        top = torch.cat((R, t.unsqueeze(-1)), -1)
        return torch.cat((top, _BOTTOM(top).expand(*top.shape[:-2], 1, 4)), -2)

    def from_quaternion(self, q_xyzw: Tensor, t: Tensor) -> Tensor:
        """Assemble g from a non-zero quaternion (x, y, z, w), (..., 4), and a translation (..., 3)."""
        return self.from_parts(SO3.from_quaternion(q_xyzw), t)

    def exp(self, xi: Tensor) -> Tensor:
        """Compute (exp(phi), J_l(phi) rho) for xi = (rho, phi), (..., 6) to (..., 4, 4)."""
        self._require_tangent(xi, "xi")
        return _MOTION.exp(xi)

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute (J_l(phi)^-1 t, phi) with phi = log R of length at most pi, (..., 4, 4) to (..., 6)."""
        self._require_member(g, "g", check)
        return _MOTION.log(g)

    def inverse(self, g: Tensor) -> Tensor:
        """Compute (R^T, -R^T t), (..., 4, 4)."""
        self._require_element(g, "g")
        return _MOTION.inverse(g)

    def act(self, g: Tensor, points: Tensor) -> Tensor:
        """Compute R p + t for points p (..., 3), leading dimensions broadcast."""
        self._require_element(g, "g")
        require_last(points, 3, "points", "points in space")
        require_one_device(g, "g", points, "points")
        return transform(g[..., :3, :3], points, g[..., :3, 3])

    def Ad(self, g: Tensor) -> Tensor:
        """Compute [[R, hat(t) R], [0, R]], (..., 6, 6)."""
        self._require_element(g, "g")
        rotation = g[..., :3, :3]
        return _blocks(rotation, product(_rotation.hat(g[..., :3, 3]), rotation))

    def ad(self, xi: Tensor) -> Tensor:
        """Compute [[hat(phi), hat(rho)], [0, hat(phi)]], (..., 6, 6)."""
        self._require_tangent(xi, "xi")
        return _blocks(_rotation.hat(xi[..., 3:]), _rotation.hat(xi[..., :3]))

    def coadjoint(self, g: Tensor, mu: Tensor) -> Tensor:
        """Compute (R^T p, R^T (L - t x p)) for mu = (p, L), linear and angular momentum, (..., 6)."""
        self._require_element(g, "g")
        self._require_tangent(mu, "mu")
        require_one_device(g, "g", mu, "mu")
        p, momentum = mu[..., :3], mu[..., 3:]
        back = g[..., :3, :3].mT
        return torch.cat((apply(back, p), apply(back, momentum - cross(g[..., :3, 3], p))), -1)

    def coadjoint_algebra(self, xi: Tensor, mu: Tensor) -> Tensor:
        """Compute (p x omega, L x omega + p x v) for xi = (v, omega) and mu = (p, L), (..., 6)."""
        self._require_tangent(xi, "xi")
        self._require_tangent(mu, "mu")
        require_one_device(xi, "xi", mu, "mu")
        v, omega, p, momentum = xi[..., :3], xi[..., 3:], mu[..., :3], mu[..., 3:]
        return torch.cat((cross(p, omega), cross(momentum, omega) + cross(p, v)), -1)

    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Compute [[J_l(phi), Q], [0, J_l(phi)]], Q = derivative of J_l(phi) along rho, (..., 6, 6)."""
        self._require_tangent(xi, "xi")
        return _JACOBIAN.left(xi)

    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute the inverse of the left Jacobian, (..., 6, 6); singular at |phi| = 2 pi only."""
        self._require_tangent(xi, "xi")
        return _JACOBIAN.left_inverse(xi)

    def cayley(self, u: Tensor) -> Tensor:
        """Compute (cay(phi), (I - hat(phi)/2)^-1 rho) for u = (rho, phi), (..., 6) to (..., 4, 4)."""
        self._require_tangent(u, "u")
        rho, phi = u[..., :3], u[..., 3:]
        return self.from_parts(SO3.cayley(phi), self._half_translation(phi, rho))

    def cayley_inverse(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute u with cayley(u) = g, (..., 4, 4) to (..., 6); refuses half turns, which have none."""
        self._require_member(g, "g", check)
        phi, t = SO3.cayley_inverse(g[..., :3, :3], check=False), g[..., :3, 3]
        u = torch.cat((torch.add(t, torch.linalg.cross(phi, t), alpha=-0.5), phi), -1)
        return self._require_cayley_solved(u, check)

    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Compute dcay (..., 6, 6) with d cayley(u) = hat(dcay du) cayley(u)."""
        self._require_tangent(u, "u")
        rho, phi = u[..., :3], u[..., 3:]
        rotation = SO3.cayley_jacobian(phi)
        # (I - U/2)^-1 V (I + U/2)^-1 has, with K = (I - hat(phi)/2)^-1,
        # the translation K (v + hat(K^T rho) w / 2).
        inverse = self._half_inverse(phi)
        corner = product(inverse, 0.5 * _rotation.hat(self._half_translation(-phi, rho)))
        top = torch.cat((inverse, corner), -1)
        return torch.cat((top, torch.cat((torch.zeros_like(rotation), rotation), -1)), -2)

    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Compute the inverse of dcay, (..., 6, 6)."""
        self._require_tangent(u, "u")
        rho, phi = u[..., :3], u[..., 3:]
        rotation = SO3.cayley_jacobian_inverse(phi)
        half = torch.eye(3, dtype=u.dtype, device=u.device) - 0.5 * _rotation.hat(phi)
        corner = -0.5 * product(half, _rotation.hat(rho))
        top = torch.cat((half, corner), -1)
        return torch.cat((top, torch.cat((torch.zeros_like(rotation), rotation), -1)), -2)

    def interpolate_split(self, x: Tensor, y: Tensor, s: Tensor | float, *, check: bool = True) -> Tensor:
        """Turn along the geodesic of SO(3), translate along the straight line, for s of shape (...)."""
        self._require_pair(x, "x", y, "y", check)
        start, end = x[..., :3, 3], y[..., :3, 3]
        share = s.unsqueeze(-1) if isinstance(s, Tensor) else s
        rotation = SO3.interpolate(x[..., :3, :3], y[..., :3, :3], s, check=False)
        return self.from_parts(rotation, start + share * (end - start))

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw uniform rotations with standard normal translations, shape (*batch, 4, 4)."""
        rotation = SO3.random(*batch, generator=generator, dtype=dtype, device=device)
        return self.from_parts(
            rotation, torch.randn(*batch, 3, generator=generator, dtype=dtype, device=device)
        )

    def project(self, x: Tensor) -> Tensor:
        """Compute the rigid motion with the nearest rotation and the same translation, (..., 4, 4)."""
        self._require_element(x, "x")
        return self.from_parts(SO3.project(x[..., :3, :3]), x[..., :3, 3])

    def polish(self, g: Tensor) -> Tensor:
        """Compute one Newton-Schulz step on the rotation, for defects below about 0.1, (..., 4, 4)."""
        self._require_element(g, "g")
        return self.from_parts(SO3.polish(g[..., :3, :3]), g[..., :3, 3])

    def residual(self, x: Tensor) -> Tensor:
        """Compute the larger defect of rotation and last row, NaN where t is not finite, shape (...)."""
        self._require_element(x, "x")
        return by_rows(_residual_rows, x, (4, 4), ())

    @staticmethod
    def _half_inverse(phi: Tensor) -> Tensor:
        """(I - hat(phi)/2)^-1 = I + (hat(phi)/2 + hat(phi)^2/4) / (1 + |phi|^2/4)."""
        scale = 1 / (1 + 0.25 * _scalar.squared_norm(phi))
        return _rotation.quadratic(phi, 0.5 * scale, 0.25 * scale)

    @staticmethod
    def _half_translation(phi: Tensor, rho: Tensor) -> Tensor:
        """(I - hat(phi)/2)^-1 rho."""
        half = 0.5 * phi
        once = torch.linalg.cross(half, rho)
        return rho + (once + torch.linalg.cross(half, once)) / (1 + _scalar.squared_norm(half))


def _residual_rows(rows: Tensor) -> Tensor:
    planes = rows.t().contiguous().unflatten(0, (4, 4))
    translation = 0 * planes[:3, 3]  # not finite where t is not
    defects = (*_rotation.defects(planes[:3, :3]), planes[3] - _LAST(rows), translation)
    return torch.cat(defects).abs().amax(0, keepdim=True).t()


SE3 = RigidMotionGroup()
