"""Euler angles of all 24 sequences."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import _rotation
from .._checks import require_last, require_matrix
from .._linalg import product


def _axes(sequence: str) -> tuple[tuple[int, int, int], bool]:
    """Numbers of the axes in the order written, and whether they are the moving ones."""
    letters = sequence.lower() if isinstance(sequence, str) else ""
    good = len(letters) == 3 and set(letters) <= set("xyz") and sequence in (letters, letters.upper())
    if not good or letters[0] == letters[1] or letters[1] == letters[2]:
        raise ValueError(
            "sequence must be three letters of xyz (extrinsic, about the fixed axes) or of XYZ (intrinsic, "
            f"about the moving axes), neighbours different, such as 'xyz' or 'ZYX', got {sequence!r}."
        )
    first, second, third = ("xyz".index(letter) for letter in letters)
    return (first, second, third), sequence != letters


def _about(axis: int, angle: Tensor) -> Tensor:
    """Rotation about a coordinate axis."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    cosine, sine = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    entries = {(axis, axis): one, (i, i): cosine, (j, j): cosine, (i, j): -sine, (j, i): sine}
    flat = [entries.get((row, column), zero) for row in range(3) for column in range(3)]
    return torch.stack(flat, -1).unflatten(-1, (3, 3))


def matrix_from_euler(angles: Tensor, sequence: str) -> Tensor:
    """Compute the rotation matrix of Euler angles.

    Lower-case sequences turn about the fixed axes, the first letter first (extrinsic): "xyz" with (a, b, c)
    is Rz(c) Ry(b) Rx(a). Upper-case ones turn about the axes of the moving body (intrinsic): "XYZ" with
    (a, b, c) is Rx(a) Ry(b) Rz(c). This is the convention of ``scipy.spatial.transform.Rotation``. Roll,
    pitch, yaw of ROS are "xyz"; yaw, pitch, roll of aerospace are "ZYX".

    Args:
        angles: Angles in radians, in the order of the letters, shape (..., 3).
        sequence: Axes.

    Returns:
        Rotation matrices, shape (..., 3, 3).

    Raises:
        ValueError: If the sequence is none of the 24.
    """
    require_last(angles, 3, "angles", "Euler angles in radians")
    axes, intrinsic = _axes(sequence)
    first, second, third = (_about(axis, angle) for axis, angle in zip(axes, angles.unbind(-1)))
    if intrinsic:
        return product(product(first, second), third)
    return product(third, product(second, first))


def euler_from_matrix(R: Tensor, sequence: str) -> Tensor:
    """Compute the Euler angles of a rotation matrix; sequences as for ``matrix_from_euler``.

    The first and third angle are in [-pi, pi]. The second is in [-pi/2, pi/2] if the letters are all
    different and in [0, pi] if the first comes again. At the ends of that range (gimbal lock, to a few
    epsilons of the dtype) only the sum or difference of the others is defined: the third is set to 0, and
    the slopes of the second and third, which have none there, are taken as 0. Everywhere else the derivatives
    are right; those of the first and third angle grow like the inverse distance from gimbal lock.

    Source: E. Bernardes and S. Viollet, "Quaternion to Euler angles conversion: a direct, general and
    computationally efficient method", PLoS ONE 17(11), 2022.

    Args:
        R: Rotation matrices, shape (..., 3, 3).
        sequence: Axes.

    Returns:
        Angles in radians, in the order of the letters, shape (..., 3).

    Raises:
        ValueError: If the sequence is none of the 24.
    """
    require_matrix(R, 3, "R", "SO3")
    axes, intrinsic = _axes(sequence)
    i, j, k = reversed(axes) if intrinsic else axes
    proper = i == k
    k = 3 - i - j if proper else k
    sign = (i - j) * (j - k) * (k - i) // 2
    q = _rotation.candidate_from_matrix(R)
    a, b, c, d = q[..., 3], q[..., i], q[..., j], sign * q[..., k]
    if not proper:
        a, b, c, d = a - c, b + d, c + a, d - b

    upper, lower = a * a + b * b, c * c + d * d
    noise = (4 * torch.finfo(q.dtype).eps) ** 2 * (upper + lower)
    closed, opposed = lower <= noise, upper <= noise
    cosine = torch.where(opposed, 1, upper).sqrt()
    sine = torch.where(closed, 1, lower).sqrt()
    middle = torch.where(closed, 0, torch.where(opposed, math.pi, 2 * torch.atan2(sine, cosine)))
    total = torch.atan2(torch.where(opposed, 0, b), torch.where(opposed, 1, a))
    difference = torch.atan2(torch.where(closed, 0, d), torch.where(closed, 1, c))
    # at gimbal lock one of the two is 0, and the angle that is kept takes twice the other
    lock = closed | opposed
    kept = 2 * (total + difference if intrinsic else total - difference)
    first, third = total - difference, total + difference
    if intrinsic:
        first, third = torch.where(lock, 0, first), torch.where(lock, kept, third)
    else:
        first, third = torch.where(lock, kept, first), torch.where(lock, 0, third)
    if not proper:
        third, middle = sign * third, middle - 0.5 * math.pi
    first, third = _wrap(first), _wrap(third)
    return torch.stack((third, middle, first) if intrinsic else (first, middle, third), -1)


def _wrap(angle: Tensor) -> Tensor:
    """Bring an angle of at most 3 pi to [-pi, pi]."""
    turn = 2 * math.pi
    return torch.where(angle > math.pi, angle - turn, torch.where(angle < -math.pi, angle + turn, angle))
