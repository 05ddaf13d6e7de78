"""Conversions to and from other libraries' conventions; both conventions are in each name."""

from __future__ import annotations

import torch
from torch import Tensor

from ._checks import require_last


def quat_xyzw_from_wxyz(q_wxyz: Tensor) -> Tensor:
    """Reorder quaternions (w, x, y, z), as in MuJoCo, to (x, y, z, w), as in scipy or here, (..., 4)."""
    require_last(q_wxyz, 4, "q_wxyz", "quaternions w, x, y, z")
    return torch.cat((q_wxyz[..., 1:], q_wxyz[..., :1]), -1)


def quat_wxyz_from_xyzw(q_xyzw: Tensor) -> Tensor:
    """Reorder quaternions (x, y, z, w), as in scipy or here, to (w, x, y, z), as in MuJoCo, (..., 4)."""
    require_last(q_xyzw, 4, "q_xyzw", "quaternions x, y, z, w")
    return torch.cat((q_xyzw[..., 3:], q_xyzw[..., :3]), -1)


def tangent_trans_rot_from_rot_trans(xi_rot_trans: Tensor) -> Tensor:
    """Reorder tangents (phi, rho) of SE(3), as in GTSAM or scipy, to (rho, phi), as here, (..., 6)."""
    require_last(xi_rot_trans, 6, "xi_rot_trans", "rotation, then translation")
    return torch.cat((xi_rot_trans[..., 3:], xi_rot_trans[..., :3]), -1)


def tangent_rot_trans_from_trans_rot(xi_trans_rot: Tensor) -> Tensor:
    """Reorder tangents (rho, phi) of SE(3), as here, to (phi, rho), as in GTSAM or scipy, (..., 6)."""
    require_last(xi_trans_rot, 6, "xi_trans_rot", "translation, then rotation")
    return torch.cat((xi_trans_rot[..., 3:], xi_trans_rot[..., :3]), -1)
