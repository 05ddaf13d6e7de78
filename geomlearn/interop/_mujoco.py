"""Poses and velocities in a MuJoCo simulation, in float64, lengths in the model's unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lie import SE3
from lie.convert import (
    mujoco_qvel_from_twist_body,
    se3_from_trans_quat_wxyz,
    trans_quat_wxyz_from_se3,
    twist_body_from_mujoco_qvel,
)

from ..data._mujoco_model import import_mujoco


def se3_from_mujoco_body(data: Any, body: int | str) -> Tensor:
    """Read the pose of a body's frame, body to world, as the last ``mj_forward`` or ``mj_step`` left it.

    Args:
        data: An ``mujoco.MjData``.
        body: Name or number of the body.

    Returns:
        Pose, shape (4, 4).
    """
    view = data.body(body)
    return se3_from_trans_quat_wxyz(torch.tensor(np.concatenate((view.xpos, view.xquat))))


def twist_from_mujoco_body(data: Any, body: int | str) -> Tensor:
    """Compute the body twist g^-1 dg/dt of a body's frame, as (v, omega), both in the body frame.

    Args:
        data: An ``mujoco.MjData`` whose velocities are up to date, as after ``mj_forward``.
        body: Name or number of the body.

    Returns:
        Twist, shape (6,).
    """
    mujoco = import_mujoco()
    velocity = np.zeros(6)
    kind = mujoco.mjtObj.mjOBJ_XBODY
    mujoco.mj_objectVelocity(data.model, data, kind, data.body(body).id, velocity, 1)
    return torch.tensor(velocity).roll(3)


def se3_from_mujoco_free_joint(data: Any, joint: int | str) -> Tensor:
    """Read the pose of a body on a free joint from qpos.

    Args:
        data: An ``mujoco.MjData``.
        joint: Name or number of the joint.

    Returns:
        Pose, shape (4, 4).

    Raises:
        ValueError: If the joint is not free.
    """
    return se3_from_trans_quat_wxyz(torch.tensor(_free_joint(data, joint).qpos))


def twist_from_mujoco_free_joint(data: Any, joint: int | str) -> Tensor:
    """Compute the body twist g^-1 dg/dt of a body on a free joint from qvel.

    Args:
        data: An ``mujoco.MjData``.
        joint: Name or number of the joint.

    Returns:
        Twist (v, omega), both in the body frame, shape (6,).

    Raises:
        ValueError: If the joint is not free.
    """
    qvel = torch.tensor(_free_joint(data, joint).qvel)
    return twist_body_from_mujoco_qvel(se3_from_mujoco_free_joint(data, joint), qvel)


def set_mujoco_free_joint(data: Any, joint: int | str, g: Tensor, twist: Tensor | None = None) -> None:
    """Write pose and, if given, body twist of a body on a free joint to qpos and qvel.

    Positions of other quantities follow with the next ``mj_forward``.

    Args:
        data: An ``mujoco.MjData``, changed in place.
        joint: Name or number of the joint.
        g: Pose, shape (4, 4).
        twist: Twist g^-1 dg/dt as (v, omega), shape (6,); None leaves qvel as it is.

    Raises:
        ValueError: If the joint is not free, or g is no single rigid motion, or twist no single twist.
    """
    view = _free_joint(data, joint)
    if g.shape != (4, 4):
        raise ValueError(f"g must have shape (4, 4), one pose, got {tuple(g.shape)}.")
    if twist is not None and twist.shape != (6,):
        raise ValueError(f"twist must have shape (6,), one twist, got {tuple(twist.shape)}.")
    SE3.check(g, "g")
    view.qpos[:] = trans_quat_wxyz_from_se3(g).tolist()
    if twist is not None:
        view.qvel[:] = mujoco_qvel_from_twist_body(g, twist).tolist()


def _free_joint(data: Any, joint: int | str) -> Any:
    view = data.joint(joint)
    if len(view.qpos) != 7:
        raise ValueError(
            f"joint must name a free joint, of 7 coordinates, but {view.name!r} has {len(view.qpos)}."
        )
    return view
