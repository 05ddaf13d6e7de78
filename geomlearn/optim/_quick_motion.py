"""The cheapest steps on spheres and among frames: x + v brought back, vectors carried by projection."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from lie import Grassmann, Stiefel

from ._motion import RiemannianMotion
from ._scalars import Scalar


class QuickMotion(RiemannianMotion):
    """Base: a step lands where x + v is brought back to the manifold."""

    @abstractmethod
    def land(self, y: Tensor) -> Tensor:
        """Bring a point near the manifold to it; what y holds may be lost."""

    @abstractmethod
    def normal(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor | None, float]:
        """Give a tensor, another or none to multiply it by, and a number: what of v is not tangent at x."""

    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Project v on the tangent space at x."""
        a, b, factor = self.normal(x, v)
        return torch.sub(v, a, alpha=factor) if b is None else torch.addcmul(v, a, b, value=-factor)

    def make_tangent(self, x: Tensor, v: Tensor) -> None:
        """Project v on the tangent space at x in place."""
        a, b, factor = self.normal(x, v)
        if b is None:
            v.sub_(a, alpha=factor)
        else:
            v.addcmul_(a, b, value=-factor)

    def move(self, x: Tensor, step: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
        end = self.land(x + step)
        return end, self.tangent(end, carried)

    def go(
        self, x: Tensor, factor: Scalar, direction: Tensor, carried: Tensor | None, size: Tensor | None = None
    ) -> None:
        """Move x by factor · direction / size and carry a tangent vector along, both in place."""
        if isinstance(factor, Tensor):
            super().go(x, factor, direction, carried, size)
            return
        if size is None:
            there = torch.add(x, direction, alpha=factor)
        else:
            there = torch.addcdiv(x, direction, self.per_element(size), value=factor)
        x.copy_(self.land(there))
        if carried is not None:
            self.make_tangent(x, carried)


class SphereMotion(QuickMotion):
    """On spheres x + v is normalised."""

    def gradient(self, x: Tensor, euclidean: Tensor) -> Tensor:
        return self.tangent(x, euclidean)

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return torch.linalg.vecdot(u, v)

    def land(self, y: Tensor) -> Tensor:
        return y / torch.linalg.vector_norm(y, dim=-1, keepdim=True)

    def normal(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor | None, float]:
        return torch.linalg.vecdot(x, v).unsqueeze(-1), x, 1.0

    def per_element(self, numbers: Tensor) -> Tensor:
        return numbers.unsqueeze(-1) if numbers.ndim else numbers


class FrameMotion(QuickMotion):
    """Among frames x + v is replaced by the Q of its QR decomposition, of positive diagonal."""

    manifold: Stiefel | Grassmann

    def land(self, y: Tensor) -> Tensor:
        q, r = torch.linalg.qr(y)
        return q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)  # no 0: x + v is as long as x at least

    def normal(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor | None, float]:
        along = x.mT @ v
        if isinstance(self.manifold, Grassmann):
            return _times(x, along), None, 1.0
        return _times(x, along + along.mT), None, 0.5

    def gradient(self, x: Tensor, euclidean: Tensor) -> Tensor:
        M = self.manifold
        return M.gradient(x, euclidean) if _is_canonical(M) else self.tangent(x, euclidean)

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return self.manifold.inner(x, u, v) if _is_canonical(self.manifold) else (u * v).sum((-2, -1))

    def per_element(self, numbers: Tensor) -> Tensor:
        return numbers.unsqueeze(-1).unsqueeze(-1) if numbers.ndim else numbers


def _is_canonical(manifold: Stiefel | Grassmann) -> bool:
    return isinstance(manifold, Stiefel) and manifold.metric == "canonical"


def _times(x: Tensor, small: Tensor) -> Tensor:
    """Multiply by columns, as QR lays frames out: several times faster for batches of tall frames."""
    return (small.mT @ x.mT).mT
