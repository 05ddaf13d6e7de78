"""The group Sim(3) of similarities, rigid motions with a change of scale, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _rotation, _scalar, _sim3_jacobian, _similarity
from ._checks import require_last, require_one_device
from ._constants import Constant
from ._linalg import apply, product, promote
from ._matrix_group import MatrixLieGroup
from ._so3 import SO3

_BOTTOM = Constant([[0, 0, 0, 1]])


def _blocks(first: Tensor, corner: Tensor, column: Tensor, second: Tensor, last: Tensor) -> Tensor:
    """The matrix [[first, corner, column], [0, second, 0], [0, 0, last]] of sizes 3, 3 and 1."""
    zero = torch.zeros_like(column)
    rows = (
        torch.cat((first, corner, column), -1),
        torch.cat((torch.zeros_like(first), second, zero), -1),
        torch.cat((zero.mT, zero.mT, last), -1),
    )
    return torch.cat(rows, -2)


class SimilarityGroup(MatrixLieGroup):
    """Similarities g = [[s R, t], [0, 1]], (..., 4, 4), with scale s > 0: act(g, p) = s R p + t.

    Tangent coordinates are (rho, phi, sigma), translation, rotation, logarithm of the scale, (..., 7); the
    exponential is (exp(sigma), exp(phi), V rho) with V = integral over [0, 1] of exp(u (sigma I + hat(phi)))
    du. Every function is right to rounding, with its first and second derivatives, at every scale and angle.
    The Cayley transform leaves the group: it stretches more across the axis than along it.

    No metric on Sim(3) is bi-invariant: ``distance`` is the left-invariant |log(g^-1 h)|, which adds
    lengths, radians and logarithms of scale.

    Examples:
        >>> import math
        >>> import torch
        >>> from lie import Sim3
        >>> g = Sim3.exp(torch.tensor([1.0, 0, 0, 0, 0, 0, math.log(2)], dtype=torch.float64))
        >>> Sim3.scale(g).round(decimals=12), Sim3.translation(g)[0].mul(math.log(2)).round(decimals=12)
        (tensor(2., dtype=torch.float64), tensor(1., dtype=torch.float64))
    """

    name = "Sim3"
    dim = 7
    matrix_dim = 4
    point_shape = (3,)

    def basis(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Give the generators of translation, rotation and scale, shape (7, 4, 4)."""
        eye = torch.eye(3, dtype=dtype, device=device)
        zero = torch.zeros(3, 3, 3, dtype=dtype, device=device)
        blocks = torch.cat((zero, _rotation.hat(eye), eye.unsqueeze(0)))
        columns = torch.cat((eye, zero[0], zero[0, :1])).unsqueeze(-1)
        top = torch.cat((blocks, columns), -1)
        return torch.cat((top, torch.zeros(7, 1, 4, dtype=dtype, device=device)), -2)

    def rotation(self, g: Tensor) -> Tensor:
        """Compute the rotation matrix R of g, (..., 3, 3)."""
        self._require_element(g, "g")
        return self._split(g)[1]

    def translation(self, g: Tensor) -> Tensor:
        """Give the translation t of g, a view (..., 3)."""
        self._require_element(g, "g")
        return g[..., :3, 3]

    def scale(self, g: Tensor) -> Tensor:
        """Compute the scale s of g, shape (...)."""
        self._require_element(g, "g")
        return self._split(g)[0].squeeze(-1).squeeze(-1)

    def from_parts(self, R: Tensor, t: Tensor, scale: Tensor) -> Tensor:
        """Assemble g from a rotation (..., 3, 3), a translation (..., 3) and a positive scale (...)."""
        SO3._require_element(R, "R")
        require_last(t, 3, "t", "translations")
        require_last(scale.unsqueeze(-1), 1, "scale", "scales")
        require_one_device(R, "R", t, "t")
        require_one_device(R, "R", scale, "scale")
        R, scale = promote(R, scale)
        return self._assemble(scale[..., None, None] * R, t)

    def exp(self, xi: Tensor) -> Tensor:
        """Compute scale e^sigma, the rotation by phi and translation V rho, (..., 7) to (..., 4, 4)."""
        self._require_tangent(xi, "xi")
        rho, phi, sigma = xi.split((3, 3, 1), -1)
        v = _similarity.translation(sigma, _scalar.squared_norm(phi))
        once = torch.linalg.cross(phi, rho)
        translation = v.a * rho + v.b * once + v.c * torch.linalg.cross(phi, once)
        return self._assemble(sigma.exp().unsqueeze(-1) * _rotation.quadratic(phi, v.A, v.B), translation)

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute (V^-1 t, phi, sigma) with phi = log R of length at most pi, (..., 4, 4) to (..., 7)."""
        self._require_member(g, "g", check)
        scale, rotation = self._split(g)
        phi, sigma = _rotation.vector_from_matrix(rotation), scale.squeeze(-1).log()
        first, second, third = _similarity.translation_inverse(sigma, _scalar.squared_norm(phi))
        t = g[..., :3, 3]
        once = torch.linalg.cross(phi, t)
        rho = first * t + second * once + third * torch.linalg.cross(phi, once)
        return torch.cat((rho, phi, sigma), -1)

    def inverse(self, g: Tensor) -> Tensor:
        """Compute (R^T / s, -R^T t / s), (..., 4, 4)."""
        self._require_element(g, "g")
        scale, rotation = self._split(g)
        back = rotation.mT / scale
        return self._assemble(back, -apply(back, g[..., :3, 3]))

    def act(self, g: Tensor, points: Tensor) -> Tensor:
        """Compute s R p + t for points p (..., 3), leading dimensions broadcast."""
        self._require_element(g, "g")
        require_last(points, 3, "points", "points in space")
        require_one_device(g, "g", points, "points")
        return apply(g[..., :3, :3], points) + g[..., :3, 3]

    def Ad(self, g: Tensor) -> Tensor:
        """Compute [[s R, hat(t) R, -t], [0, R, 0], [0, 0, 1]], (..., 7, 7)."""
        self._require_element(g, "g")
        t, rotation = g[..., :3, 3:], self._split(g)[1]
        corner = torch.linalg.cross(t, rotation, dim=-2)
        return _blocks(g[..., :3, :3], corner, -t, rotation, torch.ones_like(t[..., :1, :]))

    def ad(self, xi: Tensor) -> Tensor:
        """Compute [[sigma I + hat(phi), hat(rho), -rho], [0, hat(phi), 0], [0, 0, 0]], (..., 7, 7)."""
        self._require_tangent(xi, "xi")
        rho, phi, sigma = xi.split((3, 3, 1), -1)
        turn, sigma = _rotation.hat(phi), sigma.unsqueeze(-1)
        first = sigma * torch.eye(3, dtype=xi.dtype, device=xi.device) + turn
        return _blocks(first, _rotation.hat(rho), -rho.unsqueeze(-1), turn, torch.zeros_like(sigma))

    def left_jacobian(self, xi: Tensor) -> Tensor:
        """Compute [[V, Q, w], [0, J, 0], [0, 0, 1]] with J the left Jacobian of SO(3), (..., 7, 7)."""
        self._require_tangent(xi, "xi")
        parts = _sim3_jacobian.blocks(xi)
        last = torch.ones_like(parts.column[..., :1, :])
        return _blocks(parts.stretch, parts.corner, parts.column, parts.turn, last)

    def left_jacobian_inverse(self, xi: Tensor) -> Tensor:
        """Compute the inverse of the left Jacobian, (..., 7, 7); singular at |phi| = 2 pi k, k > 0, only."""
        self._require_tangent(xi, "xi")
        parts = _sim3_jacobian.blocks(xi)
        _, phi, sigma = xi.split((3, 3, 1), -1)
        x = _scalar.squared_norm(phi)
        first, second, third = _similarity.translation_inverse(sigma, x)
        stretch = _rotation.quadratic(phi, second / first, third / first) * first.unsqueeze(-1)
        turn = _rotation.quadratic(phi, -0.5, _scalar.d(x))
        corner = -product(product(stretch, parts.corner), turn)
        column = -product(stretch, parts.column)
        return _blocks(stretch, corner, column, turn, torch.ones_like(column[..., :1, :]))

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw uniform rotations, standard normal translations and logarithms of scale, (*batch, 4, 4)."""
        rotation = SO3.random(*batch, generator=generator, dtype=dtype, device=device)
        rest = torch.randn(*batch, 4, generator=generator, dtype=dtype, device=device)
        return self.from_parts(rotation, rest[..., :3], rest[..., 3].exp())

    def project(self, x: Tensor) -> Tensor:
        """Compute the similarity with nearest s R in the Frobenius norm and the same t, (..., 4, 4)."""
        self._require_element(x, "x")
        block = x[..., :3, :3]
        rotation = SO3.project(block)
        scale = (rotation * block).sum((-2, -1), keepdim=True) / 3
        return self._assemble(scale * rotation, x[..., :3, 3])

    def residual(self, x: Tensor) -> Tensor:
        """Compute the larger defect of R and last row, NaN where t is not finite or s = 0, shape (...)."""
        self._require_element(x, "x")
        row = (x[..., 3:, :] - _BOTTOM(x)).abs().amax((-2, -1))
        return torch.maximum(SO3.residual(self._split(x)[1]), row) + 0 * x[..., :3, 3].sum(-1)

    @staticmethod
    def _split(g: Tensor) -> tuple[Tensor, Tensor]:
        """Scale (..., 1, 1) and rotation of the upper left block."""
        block = g[..., :3, :3]
        size = block.detach().abs().amax((-2, -1), keepdim=True)
        near_one = block / size  # squares of scales beyond 1e19 would overflow in float32
        length = ((near_one * near_one).sum((-2, -1), keepdim=True) / 3).sqrt()
        return size * length, near_one / length

    @staticmethod
    def _assemble(block: Tensor, t: Tensor) -> Tensor:
        """[[block, t], [0, 1]]."""
        block, t = promote(block, t)
        if block.shape[:-2] != t.shape[:-1]:
            batch = torch.broadcast_shapes(block.shape[:-2], t.shape[:-1])
            block, t = block.expand(*batch, 3, 3), t.expand(*batch, 3)
        top = torch.cat((block, t.unsqueeze(-1)), -1)
        return torch.cat((top, _BOTTOM(top).expand(*top.shape[:-2], 1, 4)), -2)


Sim3 = SimilarityGroup()
