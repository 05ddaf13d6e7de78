"""Rotation matrices from matrices or quaternions of stated convention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from integrators import Part, StateSpace
from lie import SO3

from ._checks import Place, check_members
from ._numbers import real_array

if TYPE_CHECKING:
    from ._arrays import Conventions

_UNIT_TOLERANCE = 1e-6


def rotations(values: Any, length: int, how: Conventions, place: Place) -> Tensor:
    """Turn orientations into rotation matrices.

    Args:
        values: Matrices ``(T, 3, 3)`` or ``(T, 9)``, or quaternions ``(T, 4)``.
        length: Number of rows ``T``.
        how: Order of the quaternions, tolerance, and whether to project.
        place: Names a row.

    Returns:
        Rotation matrices ``(T, 3, 3)``, body to world.

    Raises:
        ValueError: If the order of quaternions is not said, or a row is no rotation; the message names it.
    """
    last = tuple(np.shape(values))
    if len(last) == 2 and last[1] == 4:
        if how.quaternion is None:
            raise ValueError("quaternion: say the order of the quaternions in orientation, 'xyzw' or 'wxyz'")
        return _from_quaternions(real_array(values, "orientation", (length, 4), how.name, place), how, place)
    if how.quaternion is not None:
        raise ValueError(f"orientation: expected quaternions of shape ({length}, 4), got {last}")
    if len(last) == 2:
        matrices = real_array(values, "orientation", (length, 9), how.name, place).unflatten(-1, (3, 3))
    else:
        matrices = real_array(values, "orientation", (length, 3, 3), how.name, place)
    if how.project:
        _refuse_singular(matrices, how, place)
        return SO3.project(matrices)
    mend = (
        "the nearest rotations are taken with project=True, or pass tol= if that is the precision of the data"
    )
    space = StateSpace(Part("R", SO3))
    check_members(matrices.flatten(-2), space, how.name, place, how.tol, mend)
    return matrices


def _from_quaternions(q: Tensor, how: Conventions, place: Place) -> Tensor:
    """Rotation matrices ``(T, 3, 3)`` from quaternions ``(T, 4)`` of unit length."""
    norm = q.norm(dim=-1)
    defect = (norm - 1).abs()
    worst = int(defect.argmax())
    if not how.project and float(defect[worst]) > (_UNIT_TOLERANCE if how.tol is None else how.tol):
        raise ValueError(
            f"{how.name}: expected unit quaternions, the worst is at {place((worst,))} with length"
            f" {float(norm[worst]):.9g}; scale them with project=True, or pass tol="
        )
    if float(norm.min()) < 1e-3:
        worst = int(norm.argmin())
        raise ValueError(
            f"{how.name}: the quaternion at {place((worst,))} is nearly zero and has no direction"
        )
    unit = q / norm.unsqueeze(-1)
    return SO3.from_quaternion(unit if how.quaternion == "xyzw" else unit.roll(-1, dims=-1))


def _refuse_singular(matrices: Tensor, how: Conventions, place: Place) -> None:
    """Refuse matrices without a nearest rotation that is worth anything."""
    determinant = torch.linalg.det(matrices)
    worst = int(determinant.argmin())
    if float(determinant[worst]) < 0.1:
        raise ValueError(
            f"{how.name}: the orientation at {place((worst,))} has determinant"
            f" {float(determinant[worst]):.3g}; a matrix"
            " near a rotation has 1, a reflection -1 (an axis is flipped or two are swapped)"
        )
