"""Orders of tangent coordinates, and frames of velocities."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import require_last, require_one_device
from .._linalg import apply
from .._se3 import SE3


def tangent_trans_rot_from_rot_trans(xi_rot_trans: Tensor) -> Tensor:
    """Reorder tangents (phi, rho) of SE(3), as in GTSAM or scipy, to (rho, phi), as here, (..., 6)."""
    require_last(xi_rot_trans, 6, "xi_rot_trans", "rotation, then translation")
    return torch.cat((xi_rot_trans[..., 3:], xi_rot_trans[..., :3]), -1)


def tangent_rot_trans_from_trans_rot(xi_trans_rot: Tensor) -> Tensor:
    """Reorder tangents (rho, phi) of SE(3), as here, to (phi, rho), as in GTSAM or scipy, (..., 6)."""
    require_last(xi_trans_rot, 6, "xi_trans_rot", "translation, then rotation")
    return torch.cat((xi_trans_rot[..., 3:], xi_trans_rot[..., :3]), -1)


def tangent_pos_vel_rot_from_rot_pos_vel(xi_rot_pos_vel: Tensor) -> Tensor:
    """Reorder tangents (phi, rho, nu) of SE_2(3), as in GTSAM, to (rho, nu, phi), as here, (..., 9)."""
    require_last(xi_rot_pos_vel, 9, "xi_rot_pos_vel", "rotation, position, velocity")
    return xi_rot_pos_vel.roll(-3, -1)


def tangent_rot_pos_vel_from_pos_vel_rot(xi_pos_vel_rot: Tensor) -> Tensor:
    """Reorder tangents (rho, nu, phi) of SE_2(3), as here, to (phi, rho, nu), as in GTSAM, (..., 9)."""
    require_last(xi_pos_vel_rot, 9, "xi_pos_vel_rot", "position, velocity, rotation")
    return xi_pos_vel_rot.roll(3, -1)


def tangent_pos_vel_rot_from_rot_vel_pos(xi_rot_vel_pos: Tensor) -> Tensor:
    """Reorder tangents (phi, nu, rho) of SE_2(3), as in invariant filtering, to (rho, nu, phi), (..., 9)."""
    require_last(xi_rot_vel_pos, 9, "xi_rot_vel_pos", "rotation, velocity, position")
    return _reverse_thirds(xi_rot_vel_pos)


def tangent_rot_vel_pos_from_pos_vel_rot(xi_pos_vel_rot: Tensor) -> Tensor:
    """Reorder tangents (rho, nu, phi) of SE_2(3) to (phi, nu, rho), as in invariant filtering, (..., 9)."""
    require_last(xi_pos_vel_rot, 9, "xi_pos_vel_rot", "position, velocity, rotation")
    return _reverse_thirds(xi_pos_vel_rot)


def tangent_trans_rot_scale_from_rot_scale(xi_rot_scale: Tensor) -> Tensor:
    """Place tangents (phi, sigma) of scaled rotations, pypose's RxSO3, among those of Sim(3), (..., 7)."""
    require_last(xi_rot_scale, 4, "xi_rot_scale", "rotation, logarithm of the scale")
    return torch.cat((torch.zeros_like(xi_rot_scale[..., :3]), xi_rot_scale), -1)


def twist_body_from_mujoco_qvel(g: Tensor, qvel: Tensor) -> Tensor:
    """Compute the body twist (R^T v, omega) of MuJoCo's free joint.

    MuJoCo's velocity qvel holds v, the velocity of the body's origin in the world frame, and omega, the
    angular velocity in the body frame. The result is g^-1 dg/dt in the coordinates of SE(3).

    Args:
        g: Pose of the body, shape (..., 4, 4).
        qvel: Velocity (v, omega), shape (..., 6).

    Returns:
        Twist, both parts in the body frame, shape (..., 6).
    """
    rotation, v, omega = _split(g, qvel, "qvel", "v in the world frame, omega in the body frame")
    return torch.cat(torch.broadcast_tensors(apply(rotation.mT, v), omega), -1)


def mujoco_qvel_from_twist_body(g: Tensor, twist: Tensor) -> Tensor:
    """Compute MuJoCo's free joint velocity (R v, omega) of a body twist (v, omega).

    Args:
        g: Pose of the body, shape (..., 4, 4).
        twist: Twist g^-1 dg/dt, both parts in the body frame, shape (..., 6).

    Returns:
        Velocity qvel, v in the world frame and omega in the body frame, shape (..., 6).
    """
    rotation, v, omega = _split(g, twist, "twist", "v and omega in the body frame")
    return torch.cat(torch.broadcast_tensors(apply(rotation, v), omega), -1)


def twist_body_from_world_axes(g: Tensor, velocity: Tensor) -> Tensor:
    """Compute the body twist (R^T v, R^T omega) of velocities along the world's axes.

    This is the form of Bullet and Isaac root states and of Pinocchio's LOCAL_WORLD_ALIGNED. It is not the
    spatial twist dg/dt g^-1, whose v is that of the point at the world's origin: for that one use Ad.

    Args:
        g: Pose of the body, shape (..., 4, 4).
        velocity: Velocity of the body's origin and angular velocity, in the world frame, shape (..., 6).

    Returns:
        Twist, both parts in the body frame, shape (..., 6).
    """
    rotation, v, omega = _split(g, velocity, "velocity", "v and omega in the world frame")
    return torch.cat((apply(rotation.mT, v), apply(rotation.mT, omega)), -1)


def world_axes_from_twist_body(g: Tensor, twist: Tensor) -> Tensor:
    """Compute velocities along the world's axes, (R v, R omega), of a body twist (v, omega).

    Args:
        g: Pose of the body, shape (..., 4, 4).
        twist: Twist g^-1 dg/dt, both parts in the body frame, shape (..., 6).

    Returns:
        Velocity of the body's origin and angular velocity, in the world frame, shape (..., 6).
    """
    rotation, v, omega = _split(g, twist, "twist", "v and omega in the body frame")
    return torch.cat((apply(rotation, v), apply(rotation, omega)), -1)


def _split(g: Tensor, velocity: Tensor, name: str, meaning: str) -> tuple[Tensor, Tensor, Tensor]:
    require_last(velocity, 6, name, meaning)
    require_one_device(g, "g", velocity, name)
    return SE3.rotation(g), velocity[..., :3], velocity[..., 3:]


def _reverse_thirds(xi: Tensor) -> Tensor:
    return torch.cat((xi[..., 6:], xi[..., 3:6], xi[..., :3]), -1)
