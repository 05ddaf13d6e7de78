"""The exponential barycentre of group elements by Newton's method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ._checks import require_float, require_one_device
from ._constants import is_readable
from ._linalg import promote, solve

if TYPE_CHECKING:
    from ._group import LieGroup

_STEPS = 64
_TRACED_STEPS = 24
_NEAR = 0.3  # Newton's method is safe once the mean of the logarithms is this small


def normalised_weights(points: Tensor, weights: Tensor | None, element_ndim: int) -> tuple[Tensor, Tensor]:
    """Check the weights of a mean and divide them by their sum.

    Args:
        points: Shape (..., N, *element_shape).
        weights: Shape (..., N), or None.
        element_ndim: Number of dimensions of an element.

    Returns:
        Points, and weights of shape (..., N), in one dtype.

    Raises:
        ValueError: If there is no point, or the weights have the wrong shape or device.
        TypeError: If the weights are neither float32 nor float64.
    """
    batch = points.shape[: points.ndim - element_ndim]
    if not batch or batch[-1] == 0:
        raise ValueError(
            f"points must have a dimension of at least one point before the {element_ndim} of an element, "
            f"got shape {tuple(points.shape)}."
        )
    if weights is None:
        return points, points.new_full((batch[-1],), 1 / batch[-1])
    if weights.ndim == 0 or weights.shape[-1] != batch[-1]:
        raise ValueError(
            f"weights must have shape (..., {batch[-1]}), one for each point, got {tuple(weights.shape)}."
        )
    require_float(weights, "weights")
    require_one_device(points, "points", weights, "weights")
    points, weights = promote(points, weights)
    return points, weights / weights.sum(-1, keepdim=True)


def exponential_barycentre(group: LieGroup, points: Tensor, weights: Tensor | None, check: bool) -> Tensor:
    """Solve sum of w_i log(m^-1 g_i) = 0 for m.

    Two last Newton steps carry the first and second derivatives; those before them are not differentiated.

    Args:
        group: The group.
        points: Elements g_i, shape (..., N, *element_shape).
        weights: Weights w_i, shape (..., N), or None.
        check: Whether a mean that was not found is refused.

    Returns:
        The mean, shape (..., *element_shape).

    Raises:
        ValueError: If no mean was found.
    """
    ndim = len(group.element_shape)
    points, weights = normalised_weights(points, weights, ndim)
    batch = torch.broadcast_shapes(points.shape[:-ndim], weights.shape)
    points = points.expand(*batch, *group.element_shape)

    def step(mean: Tensor, points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        logs = group.log(group.compose(group.inverse(mean).unsqueeze(-ndim - 1), points), check=False)
        share = weights.unsqueeze(-1)
        average = (share * logs).sum(-2)
        slope = (share.unsqueeze(-1) * group.left_jacobian_inverse(logs)).sum(-3)
        newton = solve(slope, average.unsqueeze(-1)).squeeze(-1)
        size = average.detach().abs().amax(-1, keepdim=True)
        return group.plus(mean, torch.where(size < _NEAR, newton, average)), size

    mean = points.detach().select(-ndim - 1, 0)
    readable = is_readable(points) and is_readable(weights)
    tolerance = torch.finfo(mean.dtype).eps ** 0.5  # the two steps that follow square it twice
    size = mean.new_full((*batch[:-1], 1), torch.inf)
    for _ in range(_STEPS if readable else _TRACED_STEPS):
        mean, size = step(mean, points.detach(), weights.detach())
        if readable and bool((size <= tolerance).all()):
            break
    if check and readable and not bool((size <= tolerance).all()):
        raise ValueError(
            f"points have no mean that Newton's method finds in {group.name}: they are too far apart. "
            "Pass points that are nearer to each other, or weights that favour some of them."
        )
    for _ in range(2):
        mean, _ = step(mean, points, weights)
    return mean
