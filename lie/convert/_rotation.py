"""Quaternions, rotation vectors, axes with angles."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import _rotation
from .._checks import require_last, require_one_device
from .._linalg import promote


def quat_xyzw_from_wxyz(q_wxyz: Tensor) -> Tensor:
    """Reorder quaternions (w, x, y, z), as in MuJoCo, to (x, y, z, w), as in scipy or here, (..., 4)."""
    require_last(q_wxyz, 4, "q_wxyz", "quaternions w, x, y, z")
    return torch.cat((q_wxyz[..., 1:], q_wxyz[..., :1]), -1)


def quat_wxyz_from_xyzw(q_xyzw: Tensor) -> Tensor:
    """Reorder quaternions (x, y, z, w), as in scipy or here, to (w, x, y, z), as in MuJoCo, (..., 4)."""
    require_last(q_xyzw, 4, "q_xyzw", "quaternions x, y, z, w")
    return torch.cat((q_xyzw[..., 3:], q_xyzw[..., :3]), -1)


def quat_xyzw_from_rotvec(rotvec: Tensor) -> Tensor:
    """Compute the unit quaternion (x, y, z, w) of a rotation vector in radians, (..., 3) to (..., 4)."""
    require_last(rotvec, 3, "rotvec", "rotation vectors")
    return _rotation.unit_from_vector(rotvec)


def rotvec_from_quat_xyzw(q_xyzw: Tensor) -> Tensor:
    """Compute the rotation vector, of length at most pi, of a non-zero quaternion, (..., 4) to (..., 3)."""
    require_last(q_xyzw, 4, "q_xyzw", "quaternions x, y, z, w")
    return _rotation.vector_from_candidate(q_xyzw)


def rotvec_from_axis_angle(axis: Tensor, angle: Tensor) -> Tensor:
    """Compute the rotation vector of an axis, of any length but zero, and an angle in radians.

    Args:
        axis: Axis, shape (..., 3); its length does not matter.
        angle: Angle in radians, shape (...).

    Returns:
        Rotation vector, shape (..., 3); NaN where the axis is zero.
    """
    require_last(axis, 3, "axis", "axes")
    require_last(angle.unsqueeze(-1), 1, "angle", "angles")
    require_one_device(axis, "axis", angle, "angle")
    axis, angle = promote(axis, angle)
    size = axis.detach().abs().amax(-1, keepdim=True)
    scaled = axis / size  # squares of entries below 1e-19 would vanish in float32
    return angle.unsqueeze(-1) * scaled / (scaled * scaled).sum(-1, keepdim=True).sqrt()


def axis_angle_from_rotvec(rotvec: Tensor) -> tuple[Tensor, Tensor]:
    """Split a rotation vector into unit axis and angle.

    At zero the axis is x, and the slopes of axis and angle, which have none there, are taken as 0.

    Args:
        rotvec: Rotation vector in radians, shape (..., 3), of any length.

    Returns:
        Unit axis, shape (..., 3), and angle, at least 0, shape (...).
    """
    require_last(rotvec, 3, "rotvec", "rotation vectors")
    size = rotvec.detach().abs().amax(-1, keepdim=True)
    none = size == 0
    x_axis = torch.tensor([1.0, 0.0, 0.0], dtype=rotvec.dtype, device=rotvec.device)
    scaled = torch.where(none, x_axis, rotvec / torch.where(none, 1, size))
    length = (scaled * scaled).sum(-1, keepdim=True).sqrt()
    return scaled / length, (torch.where(none, 0, length) * size).squeeze(-1)
