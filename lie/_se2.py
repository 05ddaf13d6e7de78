"""The group SE(2) of rigid motions of the plane in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _scalar
from ._checks import require_last, require_one_device
from ._constants import Constant
from ._linalg import apply, promote
from ._matrix_group import MatrixLieGroup
from ._so2 import SO2, quarter_turn, scaled_rotation

_BOTTOM = Constant([[0, 0, 1]])


def _assemble(block: Tensor, column: Tensor, corner: Tensor) -> Tensor:
    """The matrix [[block, column], [0, corner]] of sizes 2 and 1."""
    top = torch.cat((block, column.unsqueeze(-1)), -1)
    bottom = torch.cat((torch.zeros_like(column), corner), -1).unsqueeze(-2)
    return torch.cat((top, bottom), -2)


class PlanarMotionGroup(MatrixLieGroup):
    """Rigid motions g = [[R, t], [0, 1]] of the plane, (..., 3, 3), body to world: act(g, p) = R p + t.

    Tangent coordinates are (x, y, theta), translation first, (..., 3); lengths in the unit of t, the angle
    in radians, counter-clockwise. With rho = (x, y) and rho' = (-y, x) the exponential turns by theta and
    moves by A rho + theta B rho'. Since ad^3 = -theta^2 ad, the Jacobians are those of SO(3) with ad in place
    of hat(phi). Every function is right to rounding, with its first and second derivatives, at every angle.

    No metric on SE(2) is bi-invariant: ``distance`` is the left-invariant |log(g^-1 h)|, which adds lengths
    and radians; ``interpolate`` moves along a circle.

    Examples:
        >>> import torch
        >>> from lie import SE2
        >>> g = SE2.exp(torch.tensor([1.0, 0.0, torch.pi], dtype=torch.float64))
        >>> SE2.translation(g).mul(torch.pi).round(decimals=12)
        tensor([0., 2.], dtype=torch.float64)
    """

    name = "SE2"
    dim = 3
    matrix_dim = 3
    point_shape = (2,)
    cayley_closed = True

    def basis(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Give the generators of translation along x and y, then of rotation, shape (3, 3, 3)."""
        generators = [
            [[0, 0, 1], [0, 0, 0], [0, 0, 0]],
            [[0, 0, 0], [0, 0, 1], [0, 0, 0]],
            [[0, -1, 0], [1, 0, 0], [0, 0, 0]],
        ]
        return torch.tensor(generators, dtype=dtype, device=device)

    def rotation(self, g: Tensor) -> Tensor:
        """Give the rotation matrix R of g, a view (..., 2, 2)."""
        self._require_element(g, "g")
        return g[..., :2, :2]

    def translation(self, g: Tensor) -> Tensor:
        """Give the translation t of g, a view (..., 2)."""
        self._require_element(g, "g")
        return g[..., :2, 2]

    def angle(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the angle of g in [-pi, pi] radians, shape (...)."""
        self._require_member(g, "g", check)
        return SO2.angle(g[..., :2, :2], check=False)

    def from_parts(self, R: Tensor, t: Tensor) -> Tensor:
        """Assemble g from a rotation matrix (..., 2, 2) and a translation (..., 2)."""
        SO2._require_element(R, "R")
        require_last(t, 2, "t", "translations")
        require_one_device(R, "R", t, "t")
        R, t = promote(R, t)
        if R.shape[:-2] != t.shape[:-1]:
            batch = torch.broadcast_shapes(R.shape[:-2], t.shape[:-1])
            R, t = R.expand(*batch, 2, 2), t.expand(*batch, 2)
        top = torch.cat((R, t.unsqueeze(-1)), -1)
        return torch.cat((top, _BOTTOM(top).expand(*top.shape[:-2], 1, 3)), -2)

    def from_angle(self, angle: Tensor, t: Tensor) -> Tensor:
        """Assemble g from an angle in radians (...) and a translation (..., 2)."""
        return self.from_parts(SO2.from_angle(angle), t)

    def exp(self, xi: Tensor) -> Tensor:
        """Compute the rotation by theta with the translation V rho, (..., 3) to (..., 3, 3)."""
        self._require_tangent(xi, "xi")
        rho, theta = xi[..., :2], xi[..., 2:]
        a, b = _scalar.ab(theta * theta)
        return self.from_parts(SO2.exp(theta), a * rho + theta * b * quarter_turn(rho))

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute (V^-1 t, theta) with theta in [-pi, pi], (..., 3, 3) to (..., 3)."""
        self._require_member(g, "g", check)
        theta, t = SO2.log(g[..., :2, :2], check=False), g[..., :2, 2]
        square = theta * theta
        rho = (1 - square * _scalar.d(square)) * t - 0.5 * theta * quarter_turn(t)
        return torch.cat((rho, theta), -1)

    def inverse(self, g: Tensor) -> Tensor:
        """Compute (R^T, -R^T t), (..., 3, 3)."""
        self._require_element(g, "g")
        back = g[..., :2, :2].mT
        return self.from_parts(back, -apply(back, g[..., :2, 2]))

    def act(self, g: Tensor, points: Tensor) -> Tensor:
        """Compute R p + t for points p (..., 2), leading dimensions broadcast."""
        self._require_element(g, "g")
        require_last(points, 2, "points", "points of the plane")
        require_one_device(g, "g", points, "points")
        return apply(g[..., :2, :2], points) + g[..., :2, 2]

    def Ad(self, g: Tensor) -> Tensor:
        """Compute [[R, (t_y, -t_x)], [0, 1]], (..., 3, 3)."""
        self._require_element(g, "g")
        return self.from_parts(g[..., :2, :2], -quarter_turn(g[..., :2, 2]))

    def ad(self, xi: Tensor) -> Tensor:
        """Compute [[theta J, (y, -x)], [0, 0]] with J the quarter turn, (..., 3, 3)."""
        self._require_tangent(xi, "xi")
        rho, theta = xi[..., :2], xi[..., 2:]
        zero = torch.zeros_like(theta)
        return _assemble(scaled_rotation(zero, theta), -quarter_turn(rho), zero)

    def coadjoint_algebra(self, xi: Tensor, mu: Tensor) -> Tensor:
        """Compute (omega p_y, -omega p_x, p_x v_y - p_y v_x) for xi = (v, omega), mu = (p, L), (..., 3)."""
        self._require_tangent(xi, "xi")
        self._require_tangent(mu, "mu")
        require_one_device(xi, "xi", mu, "mu")
        xi, mu = torch.broadcast_tensors(*promote(xi, mu))
        v, p = xi[..., :2], mu[..., :2]
        force = -xi[..., 2:] * quarter_turn(p)
        return torch.cat((force, -(quarter_turn(v) * p).sum(-1, keepdim=True)), -1)

    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Compute J_l = I + B ad(xi) + C ad(xi)^2, (..., 3, 3)."""
        self._require_tangent(xi, "xi")
        rho, theta = xi[..., :2], xi[..., 2:]
        a, b, c = _scalar.abc(theta * theta)
        column = theta * c * rho - b * quarter_turn(rho)
        return _assemble(scaled_rotation(a, theta * b), column, torch.ones_like(theta))

    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute I - ad(xi)/2 + D ad(xi)^2, (..., 3, 3); singular at |theta| = 2 pi k, k > 0, only."""
        self._require_tangent(xi, "xi")
        rho, theta = xi[..., :2], xi[..., 2:]
        square = theta * theta
        d = _scalar.d(square)
        column = theta * d * rho + 0.5 * quarter_turn(rho)
        return _assemble(scaled_rotation(1 - square * d, -0.5 * theta), column, torch.ones_like(theta))

    def cayley(self, u: Tensor) -> Tensor:
        """Compute (cay(theta), (I - theta J/2)^-1 rho) for u = (rho, theta), (..., 3) to (..., 3, 3)."""
        self._require_tangent(u, "u")
        rho, half = u[..., :2], 0.5 * u[..., 2:]
        translation = (rho + half * quarter_turn(rho)) / (1 + half * half)
        return self.from_parts(SO2.cayley(u[..., 2:]), translation)

    def cayley_inverse(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute u with cayley(u) = g, (..., 3, 3) to (..., 3); refuses half turns, which have none."""
        self._require_member(g, "g", check)
        theta, t = SO2.cayley_inverse(g[..., :2, :2], check=False), g[..., :2, 2]
        u = torch.cat((t - 0.5 * theta * quarter_turn(t), theta), -1)
        return self._require_cayley_solved(u, check)

    def cayley_jacobian(self, u: Tensor) -> Tensor:
        """Compute dcay (..., 3, 3) with d cayley(u) = hat(dcay du) cayley(u)."""
        self._require_tangent(u, "u")
        rho, half = u[..., :2], 0.5 * u[..., 2:]
        scale = 1 / (1 + half * half)
        return _assemble(scaled_rotation(scale, half * scale), -0.5 * scale * quarter_turn(rho), scale)

    def cayley_jacobian_inverse(self, u: Tensor) -> Tensor:
        """Compute the inverse of dcay, (..., 3, 3)."""
        self._require_tangent(u, "u")
        rho, half = u[..., :2], 0.5 * u[..., 2:]
        column = 0.5 * (quarter_turn(rho) + half * rho)
        return _assemble(scaled_rotation(torch.ones_like(half), -half), column, 1 + half * half)

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw uniform rotations with standard normal translations, shape (*batch, 3, 3)."""
        rotation = SO2.random(*batch, generator=generator, dtype=dtype, device=device)
        return self.from_parts(
            rotation, torch.randn(*batch, 2, generator=generator, dtype=dtype, device=device)
        )

    def project(self, x: Tensor) -> Tensor:
        """Compute the motion with the nearest rotation and the same translation, (..., 3, 3)."""
        self._require_element(x, "x")
        return self.from_parts(SO2.project(x[..., :2, :2]), x[..., :2, 2])

    def residual(self, x: Tensor) -> Tensor:
        """Compute the larger defect of rotation and last row, NaN where t is not finite, shape (...)."""
        self._require_element(x, "x")
        row = (x[..., 2:, :] - _BOTTOM(x)).abs().amax((-2, -1))
        return torch.maximum(SO2.residual(x[..., :2, :2]), row) + 0 * x[..., :2, 2].sum(-1)


SE2 = PlanarMotionGroup()
