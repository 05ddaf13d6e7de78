"""Conversions between tensors and the objects of other libraries: scipy, ROS, pypose and MuJoCo.

Values are copied, to the CPU where the other side wants them there, and no gradient passes. None of these
libraries but scipy is needed to import this module. Conversions between plain tensors, which differentiate,
are in ``lie.convert``.

Examples:
    >>> import torch
    >>> from geomlearn import interop
    >>> pose = {"position": {"x": 1, "y": 2, "z": 3}, "orientation": {"x": 0, "y": 0, "z": 1, "w": 0}}
    >>> interop.se3_from_ros(pose)[:3, 3]
    tensor([1., 2., 3.], dtype=torch.float64)
"""

from ._mujoco import (
    se3_from_mujoco_body,
    se3_from_mujoco_free_joint,
    set_mujoco_free_joint,
    twist_from_mujoco_body,
    twist_from_mujoco_free_joint,
)
from ._pypose import (
    pypose_from_se3,
    pypose_from_sim3,
    pypose_from_so3,
    se3_from_pypose,
    sim3_from_pypose,
    so3_from_pypose,
)
from ._ros import (
    ros_pose_from_se3,
    ros_transform_from_se3,
    ros_twist_from_twist,
    se3_from_ros,
    twist_from_ros,
)
from ._scipy import scipy_from_se3, scipy_from_so3, se3_from_scipy, so3_from_scipy

__all__ = [
    "pypose_from_se3",
    "pypose_from_sim3",
    "pypose_from_so3",
    "ros_pose_from_se3",
    "ros_transform_from_se3",
    "ros_twist_from_twist",
    "scipy_from_se3",
    "scipy_from_so3",
    "se3_from_mujoco_body",
    "se3_from_mujoco_free_joint",
    "se3_from_pypose",
    "se3_from_ros",
    "se3_from_scipy",
    "set_mujoco_free_joint",
    "sim3_from_pypose",
    "so3_from_pypose",
    "so3_from_scipy",
    "twist_from_mujoco_body",
    "twist_from_mujoco_free_joint",
    "twist_from_ros",
]
