"""Conversions to and from the conventions of other libraries, on plain tensors; each name says both sides.

Angles are in radians, quaternions as the names order them, leading dimensions are batches, and everything
differentiates. What is not here is the same on both sides: pypose, Sophus and manif order the tangents of
SE(3) as (rho, phi), and pypose those of Sim(3) as (rho, phi, sigma), as here.
"""

from ._euler import euler_from_matrix, matrix_from_euler
from ._pose import (
    column_matrix_from_row_matrix,
    quat_wxyz_trans_from_se3,
    row_matrix_from_column_matrix,
    se2_from_trans_angle,
    se3_from_quat_wxyz_trans,
    se3_from_trans_quat_wxyz,
    se3_from_trans_quat_xyzw,
    sim3_from_trans_quat_xyzw_scale,
    trans_angle_from_se2,
    trans_quat_wxyz_from_se3,
    trans_quat_xyzw_from_se3,
    trans_quat_xyzw_scale_from_sim3,
)
from ._rotation import (
    axis_angle_from_rotvec,
    quat_wxyz_from_xyzw,
    quat_xyzw_from_rotvec,
    quat_xyzw_from_wxyz,
    rotvec_from_axis_angle,
    rotvec_from_quat_xyzw,
)
from ._tangent import (
    mujoco_qvel_from_twist_body,
    tangent_pos_vel_rot_from_rot_pos_vel,
    tangent_pos_vel_rot_from_rot_vel_pos,
    tangent_rot_pos_vel_from_pos_vel_rot,
    tangent_rot_trans_from_trans_rot,
    tangent_rot_vel_pos_from_pos_vel_rot,
    tangent_trans_rot_from_rot_trans,
    tangent_trans_rot_scale_from_rot_scale,
    twist_body_from_mujoco_qvel,
    twist_body_from_world_axes,
    world_axes_from_twist_body,
)

__all__ = [
    "axis_angle_from_rotvec",
    "column_matrix_from_row_matrix",
    "euler_from_matrix",
    "matrix_from_euler",
    "mujoco_qvel_from_twist_body",
    "quat_wxyz_from_xyzw",
    "quat_wxyz_trans_from_se3",
    "quat_xyzw_from_rotvec",
    "quat_xyzw_from_wxyz",
    "rotvec_from_axis_angle",
    "rotvec_from_quat_xyzw",
    "row_matrix_from_column_matrix",
    "se2_from_trans_angle",
    "se3_from_quat_wxyz_trans",
    "se3_from_trans_quat_wxyz",
    "se3_from_trans_quat_xyzw",
    "sim3_from_trans_quat_xyzw_scale",
    "tangent_pos_vel_rot_from_rot_pos_vel",
    "tangent_pos_vel_rot_from_rot_vel_pos",
    "tangent_rot_pos_vel_from_pos_vel_rot",
    "tangent_rot_trans_from_trans_rot",
    "tangent_rot_vel_pos_from_pos_vel_rot",
    "tangent_trans_rot_from_rot_trans",
    "tangent_trans_rot_scale_from_rot_scale",
    "trans_angle_from_se2",
    "trans_quat_wxyz_from_se3",
    "trans_quat_xyzw_from_se3",
    "trans_quat_xyzw_scale_from_sim3",
    "twist_body_from_mujoco_qvel",
    "twist_body_from_world_axes",
    "world_axes_from_twist_body",
]
