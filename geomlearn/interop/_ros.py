"""Poses, transforms and twists of ROS geometry_msgs, or anything with the same fields.

Messages are told by their fields, so ROS need not be installed: objects and dictionaries both do, as do
stamped messages and messages with covariance, whose inner pose, transform or twist is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lie import SE3
from lie.convert import se3_from_trans_quat_xyzw, trans_quat_xyzw_from_se3

_MOTIONS = ("pose", "transform")
_TWISTS = ("twist",)
_PLACES = ("position", "translation")
_TURNS = ("orientation", "rotation")


def _get(message: Any, field: str) -> Any:
    """A field of an object or dictionary; None where there is none."""
    return message.get(field) if isinstance(message, Mapping) else getattr(message, field, None)


def _unwrap(message: Any, wrappers: tuple[str, ...]) -> Any:
    """The message inside a stamped one, or one with covariance, by the names of the fields that hold it."""
    for field in wrappers:
        inner = _get(message, field)
        if inner is not None:
            return _unwrap(inner, wrappers)
    return message


def _numbers(message: Any, fields: tuple[str, ...], parts: str, kind: str) -> list[float]:
    """The numbers x, y, ... of the first of the fields that the message has."""
    inner = next((part for part in (_get(message, field) for field in fields) if part is not None), None)
    values = [None if inner is None else _get(inner, part) for part in parts]
    if any(value is None for value in values):
        raise TypeError(
            f"message must be a {kind} with {' or '.join(fields)} of fields {', '.join(parts)}, "
            f"got {type(message).__name__}."
        )
    return [float(value) for value in values if value is not None]


def se3_from_ros(
    message: Any, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None
) -> Tensor:
    """Compute the rigid motion of a Pose or Transform.

    Args:
        message: Pose (position, orientation), Transform (translation, rotation), either of them stamped or
            with covariance, a dictionary of the same fields, or a list or tuple of N of these.
        dtype: Of the result.
        device: Of the result.

    Returns:
        Rigid motion, shape (4, 4), or (N, 4, 4) for a list.

    Raises:
        TypeError: If the fields are missing.
        ValueError: If the quaternion is zero, as in a message that was never filled, or not finite.
    """
    if isinstance(message, (list, tuple)):
        poses = [se3_from_ros(part, dtype=dtype, device=device) for part in message]
        return torch.stack(poses) if poses else torch.empty(0, 4, 4, dtype=dtype, device=device)
    inner = _unwrap(message, _MOTIONS)
    place = _numbers(inner, _PLACES, "xyz", "Pose or Transform")
    turn = _numbers(inner, _TURNS, "xyzw", "Pose or Transform")
    if not 0 < sum(entry * entry for entry in turn) < float("inf"):
        raise ValueError(f"message must have a finite quaternion x, y, z, w that is not zero, got {turn}.")
    return se3_from_trans_quat_xyzw(torch.tensor(place + turn, dtype=torch.float64)).to(device, dtype)


def twist_from_ros(
    message: Any, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None
) -> Tensor:
    """Read (linear, angular) of a Twist, in the frame that the message says.

    The twist of nav_msgs/Odometry is in the frame of the body (child_frame_id), so that it is g^-1 dg/dt of
    its pose. ``lie.convert.twist_body_from_world_axes`` takes one along the axes of the world to the body.

    Args:
        message: Twist (linear, angular), stamped or with covariance, or a dictionary of the same fields.
        dtype: Of the result.
        device: Of the result.

    Returns:
        Linear and angular velocity, shape (6,).

    Raises:
        TypeError: If the fields are missing.
    """
    twist = _unwrap(message, _TWISTS)
    numbers = [*_numbers(twist, ("linear",), "xyz", "Twist"), *_numbers(twist, ("angular",), "xyz", "Twist")]
    return torch.tensor(numbers, dtype=dtype, device=device)


def ros_pose_from_se3(g: Tensor, message: Any = None) -> Any:
    """Write a rigid motion to a Pose.

    Args:
        g: Rigid motion, shape (4, 4).
        message: Pose, or stamped one, or one with covariance, to fill; None makes a dictionary.

    Returns:
        The message, or a dictionary of position and orientation.

    Raises:
        TypeError: If the message has no such fields.
        ValueError: If g is no single rigid motion.
    """
    return _write(_halves(g, ("position", "orientation")), message, _MOTIONS, "Pose")


def ros_transform_from_se3(g: Tensor, message: Any = None) -> Any:
    """Write a rigid motion to a Transform.

    Args:
        g: Rigid motion, shape (4, 4).
        message: Transform, or stamped one, to fill; None makes a dictionary.

    Returns:
        The message, or a dictionary of translation and rotation.

    Raises:
        TypeError: If the message has no such fields.
        ValueError: If g is no single rigid motion.
    """
    return _write(_halves(g, ("translation", "rotation")), message, _MOTIONS, "Transform")


def ros_twist_from_twist(xi: Tensor, message: Any = None) -> Any:
    """Write (linear, angular) to a Twist.

    Args:
        xi: Linear and angular velocity, shape (6,).
        message: Twist, or stamped one, or one with covariance, to fill; None makes a dictionary.

    Returns:
        The message, or a dictionary of linear and angular.

    Raises:
        TypeError: If the message has no such fields.
        ValueError: If xi is no single twist.
    """
    if xi.shape != (6,):
        raise ValueError(f"xi must have shape (6,), one twist per message, got {tuple(xi.shape)}.")
    values = xi.tolist()
    fields = {"linear": dict(zip("xyz", values[:3])), "angular": dict(zip("xyz", values[3:]))}
    return _write(fields, message, _TWISTS, "Twist")


def _halves(g: Tensor, names: tuple[str, str]) -> dict[str, dict[str, float]]:
    if g.shape != (4, 4):
        raise ValueError(f"g must have shape (4, 4), one motion per message, got {tuple(g.shape)}.")
    SE3.check(g, "g")
    values = trans_quat_xyzw_from_se3(g).tolist()
    return {names[0]: dict(zip("xyz", values[:3])), names[1]: dict(zip("xyzw", values[3:]))}


def _write(fields: dict[str, dict[str, float]], message: Any, wrappers: tuple[str, ...], kind: str) -> Any:
    if message is None:
        return fields
    target = _unwrap(message, wrappers)
    for field, values in fields.items():
        inner = _get(target, field)
        if inner is None:
            raise TypeError(
                f"message must be a {kind} with fields {' and '.join(fields)}, got {type(message).__name__}."
            )
        for part, value in values.items():
            if isinstance(inner, dict):
                inner[part] = value
            else:
                setattr(inner, part, value)
    return message
