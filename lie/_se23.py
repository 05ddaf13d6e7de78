"""The group SE_2(3) of extended poses (rotation, position, velocity) in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _rotation, _scalar
from ._checks import require_last, require_one_device
from ._constants import Constant
from ._linalg import cross, product, promote, transform
from ._matrix_group import MatrixLieGroup
from ._motion import Motion
from ._motion_jacobian import MotionJacobian
from ._se3 import SE3
from ._so3 import SO3

_MOTION = Motion(2)
_JACOBIAN = MotionJacobian(2)
_BOTTOM = Constant([[0, 0, 0, 1, 0], [0, 0, 0, 0, 1]])


def _blocks(diagonal: Tensor, upper: Tensor, lower: Tensor, last: Tensor) -> Tensor:
    """The matrix [[diagonal, 0, upper], [0, diagonal, lower], [0, 0, last]]."""
    zero = torch.zeros_like(diagonal)
    rows = ((diagonal, zero, upper), (zero, diagonal, lower), (zero, zero, last))
    return torch.cat([torch.cat(row, -1) for row in rows], -2)


def _pair(xi: Tensor) -> tuple[Tensor, Tensor]:
    """The vectors (rho, nu), shape (..., 2, 3), and phi, shape (..., 1, 3)."""
    return xi[..., :6].unflatten(-1, (2, 3)), xi[..., 6:].unsqueeze(-2)


class ExtendedPoseGroup(MatrixLieGroup):
    """Extended poses g = [[R, p, v], [0, 1, 0], [0, 0, 1]], (..., 5, 5): rotation, position and velocity.

    R maps body to world; p and v are in the world frame. Tangent coordinates are (rho, nu, phi), position,
    velocity, rotation, (..., 9). The exponential is (exp(phi), J_l(phi) rho, J_l(phi) nu), with J_l the left
    Jacobian of SO(3). A product turns and adds both columns alike, (R_a R_b, R_a p_b + p_a, R_a v_b + v_a);
    ``act`` moves points by R x + p and does not use v. In this group the errors of inertial navigation
    evolve without regard to the trajectory (Barrau and Bonnabel, "The invariant extended Kalman filter as a
    stable observer", 2017). Every function is right to rounding, with its first and second derivatives, at
    the identity, in between and near half turns.

    No metric on SE_2(3) is bi-invariant: ``distance`` is the left-invariant |log(g^-1 h)|, which adds
    lengths, speeds and radians.

    Examples:
        >>> import torch
        >>> from lie import SE23
        >>> g = SE23.exp(torch.tensor([1.0, 0, 0, 0, 2.0, 0, 0, 0, torch.pi], dtype=torch.float64))
        >>> SE23.velocity(g).mul(torch.pi).round(decimals=12)
        tensor([-4.,  0.,  0.], dtype=torch.float64)
    """

    name = "SE23"
    dim = 9
    matrix_dim = 5
    point_shape = (3,)
    cayley_closed = True

    def basis(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Give the generators of position, velocity and rotation, shape (9, 5, 5)."""
        eye = torch.eye(3, dtype=dtype, device=device)
        zero = torch.zeros(3, 3, dtype=dtype, device=device)
        turns = _rotation.hat(eye)
        parts = (
            (torch.zeros_like(turns), eye, zero),
            (torch.zeros_like(turns), zero, eye),
            (turns, zero, zero),
        )
        top = torch.cat([torch.cat((r, p.unsqueeze(-1), v.unsqueeze(-1)), -1) for r, p, v in parts])
        return torch.cat((top, torch.zeros(9, 2, 5, dtype=dtype, device=device)), -2)

    def rotation(self, g: Tensor) -> Tensor:
        """Give the rotation matrix R of g, a view (..., 3, 3)."""
        self._require_element(g, "g")
        return g[..., :3, :3]

    def position(self, g: Tensor) -> Tensor:
        """Give the position p of g, a view (..., 3)."""
        self._require_element(g, "g")
        return g[..., :3, 3]

    def velocity(self, g: Tensor) -> Tensor:
        """Give the velocity v of g, a view (..., 3)."""
        self._require_element(g, "g")
        return g[..., :3, 4]

    def from_parts(self, R: Tensor, position: Tensor, velocity: Tensor) -> Tensor:
        """Assemble g from a rotation matrix (..., 3, 3), a position and a velocity, each (..., 3)."""
        SO3._require_element(R, "R")
        for vector, name in ((position, "position"), (velocity, "velocity")):
            require_last(vector, 3, name, "vectors in the world frame")
            require_one_device(R, "R", vector, name)
        columns = torch.stack(torch.broadcast_tensors(*promote(position, velocity)), -1)
        return self._assemble(R, columns)

    def exp(self, xi: Tensor) -> Tensor:
        """Compute (exp(phi), J_l(phi) rho, J_l(phi) nu), (..., 9) to (..., 5, 5)."""
        self._require_tangent(xi, "xi")
        return _MOTION.exp(xi)

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute (J_l^-1 p, J_l^-1 v, phi), phi = log R of length at most pi, (..., 5, 5) to (..., 9)."""
        self._require_member(g, "g", check)
        return _MOTION.log(g)

    def inverse(self, g: Tensor) -> Tensor:
        """Compute (R^T, -R^T p, -R^T v), (..., 5, 5)."""
        self._require_element(g, "g")
        return _MOTION.inverse(g)

    def act(self, g: Tensor, points: Tensor) -> Tensor:
        """Compute R x + p for points x (..., 3), leading dimensions broadcast; v does not enter."""
        self._require_element(g, "g")
        require_last(points, 3, "points", "points in space")
        require_one_device(g, "g", points, "points")
        return transform(g[..., :3, :3], points, g[..., :3, 3])

    def Ad(self, g: Tensor) -> Tensor:
        """Compute [[R, 0, hat(p) R], [0, R, hat(v) R], [0, 0, R]], (..., 9, 9)."""
        self._require_element(g, "g")
        rotation = g[..., :3, :3]
        position, velocity = (product(_rotation.hat(g[..., :3, k]), rotation) for k in (3, 4))
        return _blocks(rotation, position, velocity, rotation)

    def ad(self, xi: Tensor) -> Tensor:
        """Compute [[hat(phi), 0, hat(rho)], [0, hat(phi), hat(nu)], [0, 0, hat(phi)]], (..., 9, 9)."""
        self._require_tangent(xi, "xi")
        rho, nu, phi = (_rotation.hat(part) for part in xi.split(3, -1))
        return _blocks(phi, rho, nu, phi)

    def coadjoint_algebra(self, xi: Tensor, mu: Tensor) -> Tensor:
        """Compute (p x phi, q x phi, p x rho + q x nu + L x phi) for mu = (p, q, L), (..., 9)."""
        self._require_tangent(xi, "xi")
        self._require_tangent(mu, "mu")
        require_one_device(xi, "xi", mu, "mu")
        rho, nu, phi = xi.split(3, -1)
        p, q, momentum = mu.split(3, -1)
        return torch.cat(
            (cross(p, phi), cross(q, phi), cross(p, rho) + cross(q, nu) + cross(momentum, phi)), -1
        )

    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Compute [[J, 0, Q(rho)], [0, J, Q(nu)], [0, 0, J]], blocks as for SE(3), (..., 9, 9)."""
        self._require_tangent(xi, "xi")
        return _JACOBIAN.left(xi)

    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute the inverse of the left Jacobian, (..., 9, 9); singular at |phi| = 2 pi k, k > 0, only."""
        self._require_tangent(xi, "xi")
        return _JACOBIAN.left_inverse(xi)

    def cayley(self, u: Tensor) -> Tensor:
        """Compute (cay(phi), K rho, K nu) with K = (I - hat(phi)/2)^-1, (..., 9) to (..., 5, 5)."""
        self._require_tangent(u, "u")
        vectors, phi = _pair(u)
        half = 0.5 * phi
        once = torch.linalg.cross(half, vectors)
        moved = vectors + (once + torch.linalg.cross(half, once)) / (1 + _scalar.squared_norm(half))
        return self._assemble(SO3.cayley(u[..., 6:]), moved.mT)

    def cayley_inverse(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute u with cayley(u) = g, (..., 5, 5) to (..., 9); refuses half turns, which have none."""
        self._require_member(g, "g", check)
        vectors, phi = g[..., :3, 3:].mT, SO3.cayley_inverse(g[..., :3, :3], check=False)
        moved = torch.add(vectors, torch.linalg.cross(phi.unsqueeze(-2), vectors), alpha=-0.5)
        return self._require_cayley_solved(torch.cat((moved.flatten(-2), phi), -1), check)

    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Compute dcay (..., 9, 9) with d cayley(u) = hat(dcay du) cayley(u), blocks as for SE(3)."""
        self._require_tangent(u, "u")
        rho, nu, phi = u.split(3, -1)
        position, velocity = (SE3.cayley_jacobian(torch.cat((part, phi), -1)) for part in (rho, nu))
        return _blocks(
            position[..., :3, :3], position[..., :3, 3:], velocity[..., :3, 3:], position[..., 3:, 3:]
        )

    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Compute the inverse of dcay, (..., 9, 9), blocks as for SE(3)."""
        self._require_tangent(u, "u")
        rho, nu, phi = u.split(3, -1)
        position, velocity = (SE3.cayley_jacobian_inverse(torch.cat((part, phi), -1)) for part in (rho, nu))
        return _blocks(
            position[..., :3, :3], position[..., :3, 3:], velocity[..., :3, 3:], position[..., 3:, 3:]
        )

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw uniform rotations with standard normal positions and velocities, shape (*batch, 5, 5)."""
        rotation = SO3.random(*batch, generator=generator, dtype=dtype, device=device)
        return self._assemble(
            rotation, torch.randn(*batch, 3, 2, generator=generator, dtype=dtype, device=device)
        )

    def project(self, x: Tensor) -> Tensor:
        """Compute the extended pose with the nearest rotation, same position and velocity, (..., 5, 5)."""
        self._require_element(x, "x")
        return self._assemble(SO3.project(x[..., :3, :3]), x[..., :3, 3:])

    def polish(self, g: Tensor) -> Tensor:
        """Compute one Newton-Schulz step on the rotation, for defects below about 0.1, (..., 5, 5)."""
        self._require_element(g, "g")
        return self._assemble(SO3.polish(g[..., :3, :3]), g[..., :3, 3:])

    def residual(self, x: Tensor) -> Tensor:
        """Compute the larger defect of R and last rows, NaN where p or v is not finite, shape (...)."""
        self._require_element(x, "x")
        rows = (x[..., 3:, :] - _BOTTOM(x)).abs().amax((-2, -1))
        return torch.maximum(SO3.residual(x[..., :3, :3]), rows) + 0 * x[..., :3, 3:].sum((-2, -1))

    @staticmethod
    def _assemble(R: Tensor, columns: Tensor) -> Tensor:
        """[[R, columns], [0, I]] for columns (..., 3, 2)."""
        R, columns = promote(R, columns)
        if R.shape[:-2] != columns.shape[:-2]:
            batch = torch.broadcast_shapes(R.shape[:-2], columns.shape[:-2])
            R, columns = R.expand(*batch, 3, 3), columns.expand(*batch, 3, 2)
        top = torch.cat((R, columns), -1)
        return torch.cat((top, _BOTTOM(top).expand(*top.shape[:-2], 2, 5)), -2)


SE23 = ExtendedPoseGroup()
