"""The Karcher mean of points of a Riemannian manifold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ._barycentre import normalised_weights
from ._constants import differentiates, is_readable
from ._linalg import solve

if TYPE_CHECKING:
    from ._riemannian import RiemannianManifold

_STEPS = 200
_TRACED_STEPS = 40


def karcher_mean(space: RiemannianManifold, points: Tensor, weights: Tensor | None, check: bool) -> Tensor:
    """Solve sum of w_i log(m, x_i) = 0 for m by gradient steps, and differentiate the solution implicitly.

    Args:
        space: The manifold.
        points: Points x_i, shape (..., N, *element_shape).
        weights: Weights w_i, shape (..., N), or None.
        check: Whether a mean that was not found is refused.

    Returns:
        The mean, shape (..., *element_shape).

    Raises:
        ValueError: If no mean was found.
    """
    shape = space.element_shape
    ndim = len(shape)
    points, weights = normalised_weights(points, weights, ndim)
    batch = torch.broadcast_shapes(points.shape[:-ndim], weights.shape)
    points, weights = points.expand(*batch, *shape), weights.expand(batch)

    def pull(mean: Tensor, points: Tensor, weights: Tensor) -> Tensor:
        logs = space.log(mean.unsqueeze(-ndim - 1), points, check=False)
        return (weights.reshape(*weights.shape, *(1 for _ in shape)) * logs).sum(-ndim - 1)

    mean = points.detach().select(-ndim - 1, 0)
    readable = is_readable(points) and is_readable(weights)
    tolerance = 16 * torch.finfo(mean.dtype).eps
    moved = mean.new_full(batch[:-1], torch.inf)
    best = moved
    for k in range(_STEPS if readable else _TRACED_STEPS):
        step = pull(mean, points.detach(), weights.detach())
        moved = step.abs().flatten(-ndim).amax(-1) / mean.abs().flatten(-ndim).amax(-1)
        mean = space.exp(mean, step)
        if readable and bool((moved <= tolerance).all()):
            break
        if readable and k % 8 == 7:  # rounding may stop it above the tolerance
            if bool((moved >= 0.5 * best).all()) and bool((moved <= 1e3 * tolerance).all()):
                break
            best = torch.minimum(best, moved)
    if check and readable and not bool((moved <= 1e3 * tolerance).all()):
        raise ValueError(
            f"points have no mean that gradient steps find in {space.name}: they are too far apart. "
            "Pass points that are nearer to each other, or weights that favour some of them."
        )
    if not differentiates(points) and not differentiates(weights):
        return mean
    return _attach(space, mean, points, weights)


def _attach(space: RiemannianManifold, mean: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    """Give a mean its derivative by one Newton step, whose linear system is not differentiated."""
    shape = space.element_shape
    size = mean.new_empty(shape).numel()

    def pull(mean: Tensor, points: Tensor, weights: Tensor) -> Tensor:
        logs = space.log(mean.unsqueeze(0), points, check=False)
        return (weights.reshape(-1, *(1 for _ in shape)) * logs).sum(0)

    def system(mean: Tensor, points: Tensor, weights: Tensor) -> Tensor:
        """The negative derivative of ``pull`` on the tangent space, the identity across it."""
        eye = torch.eye(size, dtype=mean.dtype, device=mean.device).reshape(size, *shape)
        onto = torch.vmap(lambda v: space.project_tangent(mean, v))(eye).reshape(size, size).mT

        def displaced(v: Tensor) -> Tensor:
            there = space.exp(mean, space.project_tangent(mean, v.reshape(shape)))
            return space.project_tangent(mean, pull(there, points, weights)).flatten()

        slope = torch.func.jacrev(displaced)(mean.new_zeros(size))
        return torch.eye(size, dtype=mean.dtype, device=mean.device) - onto - slope

    batch = weights.shape[:-1]
    count = weights.shape[-1]
    flat = mean.reshape(-1, *shape), points.reshape(-1, count, *shape), weights.reshape(-1, count)
    matrices = torch.vmap(system)(*(part.detach() for part in flat))
    rest = torch.vmap(pull)(*flat).reshape(-1, size, 1)
    step = solve(matrices, rest).reshape(*batch, *shape)
    return space.exp(mean, step)
