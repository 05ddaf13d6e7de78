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
    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Project v on the tangent space at x."""

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
            carried.copy_(self.tangent(x, carried))


class SphereMotion(QuickMotion):
    """On spheres x + v is normalised."""

    def gradient(self, x: Tensor, euclidean: Tensor) -> Tensor:
        return self.tangent(x, euclidean)

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return torch.linalg.vecdot(u, v)

    def land(self, y: Tensor) -> Tensor:
        return y / torch.linalg.vector_norm(y, dim=-1, keepdim=True)

    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        return torch.addcmul(v, torch.linalg.vecdot(x, v).unsqueeze(-1), x, value=-1)

    def per_element(self, numbers: Tensor) -> Tensor:
        return numbers.unsqueeze(-1)


class FrameMotion(QuickMotion):
    """Among frames x + v is replaced by the Q of its QR decomposition, of positive diagonal."""

    manifold: Stiefel | Grassmann

    def land(self, y: Tensor) -> Tensor:
        q, r = torch.linalg.qr(y)
        return q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)  # no 0: x + v is as long as x at least

    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        return _horizontal(x, v) if isinstance(self.manifold, Grassmann) else _without_symmetric(x, v)

    def gradient(self, x: Tensor, euclidean: Tensor) -> Tensor:
        M = self.manifold
        return M.gradient(x, euclidean) if _is_canonical(M) else self.tangent(x, euclidean)

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return self.manifold.inner(x, u, v) if _is_canonical(self.manifold) else (u * v).sum((-2, -1))

    def per_element(self, numbers: Tensor) -> Tensor:
        return numbers[..., None, None]


def _is_canonical(manifold: Stiefel | Grassmann) -> bool:
    return isinstance(manifold, Stiefel) and manifold.metric == "canonical"


def _without_symmetric(x: Tensor, v: Tensor) -> Tensor:
    half = x.mT @ v
    return torch.sub(v, x @ (half + half.mT), alpha=0.5)


def _horizontal(x: Tensor, v: Tensor) -> Tensor:
    return v - x @ (x.mT @ v)
