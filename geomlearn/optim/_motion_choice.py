"""Which motion a parameter has."""

from __future__ import annotations

import torch
from torch import Tensor

from lie import Grassmann, LieGroup, Sphere, Stiefel, StructuredSPD

from ._manifold_parameter import ManifoldParameter, Space
from ._motion import GroupMotion, Motion, RiemannianMotion
from ._quick_motion import FrameMotion, SphereMotion


def motion_on(manifold: Space, *, quick: bool = False) -> Motion:
    """Give the motion on a manifold.

    Args:
        manifold: The manifold.
        quick: Whether spheres and frames take the cheapest retraction, x + v normalised or made orthonormal
            by QR, and carry vectors by projection.

    Returns:
        The motion.

    Raises:
        ValueError: If the manifold is one of structured factors, whose frames these motions do not have.
    """
    if isinstance(manifold, StructuredSPD):
        raise ValueError(
            f"params: a ManifoldParameter on {manifold!r} is moved by its factor, which SPDMomentum keeps;"
            " give it to geomlearn.optim.SPDMomentum, or take lie.SPD(n) without a structure"
        )
    if isinstance(manifold, LieGroup):
        return GroupMotion(manifold)
    if quick and isinstance(manifold, Sphere):
        return SphereMotion(manifold)
    if quick and isinstance(manifold, Stiefel | Grassmann):
        return FrameMotion(manifold)
    return RiemannianMotion(manifold)


def motion_of(parameter: Tensor, *, quick: bool = False) -> Motion | None:
    """Give the motion of a parameter on a manifold, None for other tensors."""
    return motion_on(parameter.manifold, quick=quick) if isinstance(parameter, ManifoldParameter) else None


def still(parameter: Tensor) -> Tensor:
    """Make the velocity of a parameter at rest, in its tangent space if it is on a manifold."""
    if isinstance(parameter, ManifoldParameter) and not isinstance(parameter.manifold, StructuredSPD):
        return motion_on(parameter.manifold).zero(parameter)
    return torch.zeros_like(parameter)
