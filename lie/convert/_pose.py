"""Poses as vectors of numbers, and matrices that act on rows."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import require_last
from .._se2 import SE2
from .._se3 import SE3
from .._sim3 import Sim3
from .._so3 import SO3
from ._rotation import quat_wxyz_from_xyzw, quat_xyzw_from_wxyz


def se3_from_trans_quat_xyzw(pose: Tensor) -> Tensor:
    """Compute the rigid motion of (t, q), q = x, y, z, w of any length but zero, (..., 7) to (..., 4, 4).

    This is the order of ROS geometry_msgs/Pose and Transform and of pypose's SE3.

    Args:
        pose: Translation and quaternion, shape (..., 7).

    Returns:
        Rigid motions, shape (..., 4, 4).
    """
    require_last(pose, 7, "pose", "translation, quaternion x, y, z, w")
    return SE3.from_quaternion(pose[..., 3:], pose[..., :3])


def trans_quat_xyzw_from_se3(g: Tensor) -> Tensor:
    """Compute (t, q), q = x, y, z, w with w >= 0, as in ROS and pypose, (..., 4, 4) to (..., 7)."""
    return torch.cat((SE3.translation(g), SO3.to_quaternion(SE3.rotation(g))), -1)


def se3_from_trans_quat_wxyz(pose: Tensor) -> Tensor:
    """Compute the rigid motion of (t, q), q = w, x, y, z of any length but zero, (..., 7) to (..., 4, 4).

    This is the order of the coordinates qpos of MuJoCo's free joint.

    Args:
        pose: Translation and quaternion, shape (..., 7).

    Returns:
        Rigid motions, shape (..., 4, 4).
    """
    require_last(pose, 7, "pose", "translation, quaternion w, x, y, z")
    return SE3.from_quaternion(quat_xyzw_from_wxyz(pose[..., 3:]), pose[..., :3])


def trans_quat_wxyz_from_se3(g: Tensor) -> Tensor:
    """Compute (t, q), q = w, x, y, z with w >= 0, as in MuJoCo's qpos, (..., 4, 4) to (..., 7)."""
    return torch.cat((SE3.translation(g), quat_wxyz_from_xyzw(SO3.to_quaternion(SE3.rotation(g)))), -1)


def se3_from_quat_wxyz_trans(pose: Tensor) -> Tensor:
    """Compute the rigid motion of (q, t), q = w, x, y, z of any length but zero, (..., 7) to (..., 4, 4).

    This is the order ``wxyz_xyz`` of jaxlie.

    Args:
        pose: Quaternion and translation, shape (..., 7).

    Returns:
        Rigid motions, shape (..., 4, 4).
    """
    require_last(pose, 7, "pose", "quaternion w, x, y, z, translation")
    return SE3.from_quaternion(quat_xyzw_from_wxyz(pose[..., :4]), pose[..., 4:])


def quat_wxyz_trans_from_se3(g: Tensor) -> Tensor:
    """Compute (q, t), q = w, x, y, z with w >= 0, as in jaxlie, (..., 4, 4) to (..., 7)."""
    return trans_quat_wxyz_from_se3(g).roll(4, -1)


def sim3_from_trans_quat_xyzw_scale(pose: Tensor) -> Tensor:
    """Compute the similarity of (t, q, s), q = x, y, z, w, as in pypose's Sim3, (..., 8) to (..., 4, 4)."""
    require_last(pose, 8, "pose", "translation, quaternion x, y, z, w, scale")
    return Sim3.from_parts(SO3.from_quaternion(pose[..., 3:7]), pose[..., :3], pose[..., 7])


def trans_quat_xyzw_scale_from_sim3(g: Tensor) -> Tensor:
    """Compute (t, q, s), q = x, y, z, w with w >= 0, as in pypose's Sim3, (..., 4, 4) to (..., 8)."""
    rotation = SO3.to_quaternion(Sim3.rotation(g))
    return torch.cat((Sim3.translation(g), rotation, Sim3.scale(g).unsqueeze(-1)), -1)


def se2_from_trans_angle(pose: Tensor) -> Tensor:
    """Compute the planar motion of (x, y, heading in radians), (..., 3) to (..., 3, 3)."""
    require_last(pose, 3, "pose", "x, y, heading in radians")
    return SE2.from_angle(pose[..., 2], pose[..., :2])


def trans_angle_from_se2(g: Tensor) -> Tensor:
    """Compute (x, y, heading in [-pi, pi] radians) of a planar motion, (..., 3, 3) to (..., 3)."""
    return torch.cat((SE2.translation(g), SE2.angle(g, check=False).unsqueeze(-1)), -1)


def column_matrix_from_row_matrix(M: Tensor) -> Tensor:
    """Transpose a matrix acting on rows, as in PyTorch3D, to one acting on columns, as here, (..., n, n).

    In a homogeneous matrix the translation moves from the last row to the last column.

    Args:
        M: Matrices that act on rows, shape (..., n, n).

    Returns:
        Matrices that act on columns, shape (..., n, n).

    Raises:
        ValueError: If they are not square.
    """
    return _transpose(M, "M")


def row_matrix_from_column_matrix(g: Tensor) -> Tensor:
    """Transpose a matrix acting on columns, as here, to one acting on rows, as in PyTorch3D, (..., n, n).

    Args:
        g: Matrices that act on columns, shape (..., n, n).

    Returns:
        Matrices that act on rows, shape (..., n, n).

    Raises:
        ValueError: If they are not square.
    """
    return _transpose(g, "g")


def _transpose(matrix: Tensor, name: str) -> Tensor:
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"{name} must be matrices of shape (..., n, n), got {tuple(matrix.shape)}.")
    return matrix.mT
