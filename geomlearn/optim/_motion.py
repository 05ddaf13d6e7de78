"""How a parameter on a manifold is moved: gradient, inner product, a step and what it carries along.

Points were checked when they became parameters, and a gradient has the shape of its parameter: steps that are
to be quick are made of plain tensor operations, without looking at their arguments again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from lie import Grassmann, LieGroup, RiemannianManifold, Sphere, Stiefel

from ._scalars import Scalar


class Motion(ABC):
    """Steps on a manifold in tangent vectors of one kind: ambient tensors, or coordinates of an algebra."""

    @abstractmethod
    def zero(self, x: Tensor) -> Tensor:
        """Make the tangent vectors 0 at x."""

    @abstractmethod
    def gradient(self, x: Tensor, euclidean: Tensor) -> Tensor:
        """Compute the Riemannian gradient from the Euclidean one."""

    @abstractmethod
    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Compute the inner product of tangent vectors at x, one for each element."""

    @abstractmethod
    def move(self, x: Tensor, step: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
        """Go from x along step; carry another tangent vector to the end."""

    @abstractmethod
    def per_element(self, numbers: Tensor) -> Tensor:
        """Shape numbers, one for each element, to multiply tangent vectors."""

    def go(
        self, x: Tensor, factor: Scalar, direction: Tensor, carried: Tensor | None, size: Tensor | None = None
    ) -> None:
        """Move x by factor · direction / size and carry a tangent vector along, both in place.

        Args:
            x: Points; they are changed.
            factor: A number, or a 0-dim tensor.
            direction: Tangent vectors at x.
            carried: Tangent vectors at x that become such at the end, ``direction`` itself for example.
            size: A number for each element, to divide by.
        """
        step = factor * direction
        if size is not None:
            step = step / self.per_element(size)
        end, moved = self.move(x, step.to(direction.dtype), step if carried is None else carried)
        x.copy_(end)
        if carried is not None:
            carried.copy_(moved)


class RiemannianMotion(Motion):
    """On a Riemannian manifold: by geodesics of a sphere, else by the retraction of the manifold."""

    def __init__(self, manifold: RiemannianManifold) -> None:
        self.manifold = manifold

    def zero(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def gradient(self, x: Tensor, euclidean: Tensor) -> Tensor:
        return self.manifold.gradient(x, euclidean)

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return self.manifold.inner(x, u, v)

    def move(self, x: Tensor, step: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
        M = self.manifold
        if isinstance(M, Sphere):
            end = M.project(M.exp(x, step))
            return end, M.project_tangent(end, M.transport_along(x, step, carried))
        end = M.retract(x, step)
        if isinstance(M, Stiefel) and M.metric == "canonical":
            end = M.project(end)  # Cayley transforms keep what rounding has done before
        if isinstance(M, Grassmann):  # the basis moves with the retraction: project, as on frames
            return end, M.project_tangent(end, carried)
        return end, M.transport(x, end, carried)

    def per_element(self, numbers: Tensor) -> Tensor:
        return numbers.reshape(*numbers.shape, *(1 for _ in self.manifold.element_shape))


class GroupMotion(Motion):
    """On a Lie group: x exp(ξ), with velocities in coordinates ξ, which left translation does not change."""

    def __init__(self, group: LieGroup) -> None:
        self.group = group

    def zero(self, x: Tensor) -> Tensor:
        batch = x.shape[: x.ndim - len(self.group.element_shape)]
        return x.new_zeros(*batch, self.group.dim)

    def gradient(self, x: Tensor, euclidean: Tensor) -> Tensor:
        pull: Any = torch.func.vjp(lambda xi: self.group.plus(x, xi), self.zero(x))[1]
        return pull(euclidean)[0]

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        return (u * v).sum(-1)

    def move(self, x: Tensor, step: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
        return self.group.project(self.group.plus(x, step)), carried

    def per_element(self, numbers: Tensor) -> Tensor:
        return numbers.unsqueeze(-1)
