"""The group of unit quaternions, which stores a rotation in four numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from . import quaternion
from ._checks import require_one_device
from ._constants import Constant
from ._group import LieGroup
from ._so3 import SO3

_ONE = Constant([0, 0, 0, 1])


class UnitQuaternionGroup(LieGroup):
    """Unit quaternions q (..., 4) in the order x, y, z, w, turning vectors from body to world.

    The tangent coordinates are those of SO(3): rotation vectors (..., 3) in radians, of which hat(xi) =
    (xi/2, 0) is the pure quaternion d/ds exp(s xi) at s = 0. With them Ad, ad, all Jacobians and distances
    are those of SO(3).

    q and -q are the same rotation and, here, the same point: ``log`` gives both the same rotation vector, of
    length at most pi, so that exp(log(q)) is q or -q; ``distance`` is the angle between the rotations;
    ``interpolate`` takes the shorter way and ends at h or at -h; ``mean`` does not see signs. Elements are
    stored as they come: ``quaternion.canonical`` chooses a sign. ``quaternion`` holds the functions that need
    no group, ``quaternion.to_matrix`` and ``quaternion.from_matrix`` lead to SO(3) and back.

    Source: J. Solà, "Quaternion kinematics for the error-state Kalman filter", arXiv:1711.02508, sections 2
    and 4 (there w comes first).

    Examples:
        >>> import torch
        >>> from lie import UnitQuaternion
        >>> q = UnitQuaternion.exp(torch.tensor([0.0, 0.0, torch.pi / 2], dtype=torch.float64))
        >>> UnitQuaternion.act(q, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)).round(decimals=12)
        tensor([0., 1., 0.], dtype=torch.float64)
    """

    name = "UnitQuaternion"
    dim = 3
    element_shape = (4,)
    point_shape = (3,)
    cayley_closed = True

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Make quaternions (0, 0, 0, 1), shape (*batch, 4)."""
        like = torch.empty(0, dtype=dtype, device=device)
        return _ONE(like).repeat(*batch, 1)

    def hat(self, xi: Tensor) -> Tensor:
        """Compute the pure quaternion (xi/2, 0), (..., 3) to (..., 4)."""
        self._require_tangent(xi, "xi")
        return torch.cat((0.5 * xi, torch.zeros_like(xi[..., :1])), -1)

    def vee(self, X: Tensor) -> Tensor:
        """Compute twice the vector part, (..., 4) to (..., 3)."""
        self._require_element(X, "X")
        return 2 * X[..., :3]

    def exp(self, xi: Tensor) -> Tensor:
        """Compute the quaternion of the rotation by |xi| radians about xi, (..., 3) to (..., 4)."""
        self._require_tangent(xi, "xi")
        return quaternion.exp(xi)

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the rotation vector of length at most pi, the same for g and -g, (..., 4) to (..., 3)."""
        self._require_member(g, "g", check)
        return quaternion.log(g)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute the quaternion product a b, which turns by b first, (..., 4)."""
        self._require_element(a, "a")
        self._require_element(b, "b")
        return quaternion.multiply(a, b)

    def inverse(self, g: Tensor) -> Tensor:
        """Compute the conjugate, (..., 4)."""
        self._require_element(g, "g")
        return quaternion.conjugate(g)

    def act(self, g: Tensor, points: Tensor) -> Tensor:
        """Turn points (..., 3), leading dimensions broadcast."""
        self._require_element(g, "g")
        require_one_device(g, "g", points, "points")
        return quaternion.rotate(g, points)

    def Ad(self, g: Tensor) -> Tensor:
        """Compute the rotation matrix of g, (..., 3, 3)."""
        self._require_element(g, "g")
        return quaternion.to_matrix(g)

    def ad(self, xi: Tensor) -> Tensor:
        """Compute the matrix of the cross product with xi, (..., 3, 3)."""
        self._require_tangent(xi, "xi")
        return SO3.ad(xi)

    def coadjoint_algebra(self, xi: Tensor, mu: Tensor) -> Tensor:
        """Compute mu x xi, (..., 3): the free rigid body obeys mu' = mu x omega in the body frame."""
        self._require_tangent(xi, "xi")
        self._require_tangent(mu, "mu")
        require_one_device(xi, "xi", mu, "mu")
        return SO3.coadjoint_algebra(xi, mu)

    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Compute that of SO(3), (..., 3, 3)."""
        self._require_tangent(xi, "xi")
        return SO3.left_jacobian(xi)

    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute that of SO(3), (..., 3, 3); singular at |xi| = 2 pi only."""
        self._require_tangent(xi, "xi")
        return SO3.left_jacobian_inverse(xi)

    def cayley(self, u: Tensor) -> Tensor:
        """Compute (u/2, 1) over its length, the rotation by 2 atan(|u|/2) about u, (..., 3) to (..., 4)."""
        self._require_tangent(u, "u")
        return quaternion.normalize(torch.cat((0.5 * u, torch.ones_like(u[..., :1])), -1))

    def cayley_inverse(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute u = 2 v / w, with cayley(u) = g or -g, (..., 4) to (..., 3); refuses half turns."""
        self._require_member(g, "g", check)
        return self._require_cayley_solved(2 * g[..., :3] / g[..., 3:], check)

    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Compute that of SO(3), (..., 3, 3)."""
        self._require_tangent(u, "u")
        return SO3.cayley_jacobian(u)

    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Compute that of SO(3), (..., 3, 3)."""
        self._require_tangent(u, "u")
        return SO3.cayley_jacobian_inverse(u)

    def distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the angle between two rotations, in [0, pi] radians, shape (...); -x counts as x."""
        self._require_pair(x, "x", y, "y", check)
        return quaternion.distance(x, y)

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw rotations uniformly (Haar measure), of either sign, shape (*batch, 4)."""
        return quaternion.normalize(torch.randn(*batch, 4, generator=generator, dtype=dtype, device=device))

    def project(self, x: Tensor) -> Tensor:
        """Divide by the length, which is the nearest unit quaternion, (..., 4); zero gives NaN."""
        self._require_element(x, "x")
        return quaternion.normalize(x)

    def residual(self, x: Tensor) -> Tensor:
        """Compute the distance |length - 1| from the unit quaternions, shape (...), NaN if not finite."""
        self._require_element(x, "x")
        return (torch.linalg.vector_norm(x, dim=-1) - 1).abs() + 0 * x.sum(-1)


UnitQuaternion = UnitQuaternionGroup()
