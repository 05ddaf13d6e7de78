"""What a network sees of a configuration."""

from __future__ import annotations

import torch
from torch import Tensor

from lie import SO3


def matrix_features(q: tuple[Tensor, ...]) -> Tensor:
    """The nine entries of ``R``, after ``x`` where there is one.

    Args:
        q: ``(R,)`` or ``(x, R)``.

    Returns:
        ``(..., 9)`` or ``(..., 12)``.
    """
    flat = q[-1].flatten(-2)
    return flat if len(q) == 1 else _join(q[0], flat)


def quaternion_features(q: tuple[Tensor, ...], sign: float) -> Tensor:
    """The unit quaternion (xyzw) of ``R`` or its negative, after ``x`` where there is one.

    A function of the rotation results only from a mean over both signs.

    Args:
        q: ``(R,)`` or ``(x, R)``.
        sign: 1 or -1.

    Returns:
        ``(..., 4)`` or ``(..., 7)``.
    """
    quaternion = sign * SO3.to_quaternion(q[-1], check=False)
    return quaternion if len(q) == 1 else _join(q[0], quaternion)


def torque_of_quaternion_slope(quaternion: Tensor, slope: Tensor) -> Tensor:
    """Body torque ``-dU/dR`` from the derivative with respect to the quaternion.

    A body rotation by ``eta`` moves the quaternion by ``q * (eta, 0) / 2``.

    Args:
        quaternion: Unit quaternions xyzw ``(..., 4)``.
        slope: ``dU/dq`` ``(..., 4)``.

    Returns:
        Torques ``(..., 3)``.
    """
    u, w = quaternion[..., :3], quaternion[..., 3:]
    slope_u, slope_w = slope[..., :3], slope[..., 3:]
    return -0.5 * (w * slope_u + torch.linalg.cross(slope_u, u) - slope_w * u)


def slope_of_torque(rotation: Tensor, torque: Tensor) -> Tensor:
    """A gradient ``dU/dR`` with a given body torque, tangent to the group: ``-R S(torque) / 2``.

    Args:
        rotation: ``(..., 3, 3)``.
        torque: ``(..., 3)``.

    Returns:
        ``(..., 3, 3)``.
    """
    return 0.5 * torch.linalg.cross(torque.unsqueeze(-2), rotation)


def _join(a: Tensor, b: Tensor) -> Tensor:
    if a.shape[:-1] != b.shape[:-1]:
        batch = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1])
        a, b = a.expand(*batch, -1), b.expand(*batch, -1)
    return torch.cat((a, b), dim=-1)
