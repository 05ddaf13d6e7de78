"""Unit quaternions as plain tensors (..., 4) in the order x, y, z, w: a storage and fast path for rotations.

q and -q are the same rotation. ``multiply(a, b)`` turns by b first, like the product of matrices. Leading
dimensions broadcast; results have the dtype that ``torch.result_type`` gives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import _rotation
from ._checks import require_last, require_matrix, require_one_device
from ._linalg import cross, promote
from ._scalar import squared_norm
from .convert import quat_wxyz_from_xyzw, quat_xyzw_from_wxyz

__all__ = [
    "canonical",
    "conjugate",
    "distance",
    "exp",
    "from_matrix",
    "inverse",
    "log",
    "multiply",
    "normalize",
    "rotate",
    "to_matrix",
    "wxyz_from_xyzw",
    "xyzw_from_wxyz",
]

xyzw_from_wxyz = quat_xyzw_from_wxyz
wxyz_from_xyzw = quat_wxyz_from_xyzw


def _require(q: Tensor, name: str) -> None:
    require_last(q, 4, name, "quaternions x, y, z, w")


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Compute the product a b, the rotation by b followed by that by a, (..., 4)."""
    _require(a, "a")
    _require(b, "b")
    require_one_device(a, "a", b, "b")
    a, b = torch.broadcast_tensors(*promote(a, b))
    va, wa, vb, wb = a[..., :3], a[..., 3:], b[..., :3], b[..., 3:]
    vector = torch.addcmul(torch.addcmul(torch.linalg.cross(va, vb), wa, vb), wb, va)
    return torch.cat((vector, wa * wb - (va * vb).sum(-1, keepdim=True)), -1)


def conjugate(q: Tensor) -> Tensor:
    """Compute (-x, -y, -z, w), the inverse of a unit quaternion, (..., 4)."""
    _require(q, "q")
    return torch.cat((-q[..., :3], q[..., 3:]), -1)


def inverse(q: Tensor) -> Tensor:
    """Compute the inverse of a quaternion of any length but zero, (..., 4)."""
    return conjugate(q) / squared_norm(q)


def normalize(q: Tensor) -> Tensor:
    """Divide a quaternion by its length, (..., 4); zero gives NaN, having no direction."""
    _require(q, "q")
    return q / squared_norm(q).sqrt()


def canonical(q: Tensor) -> Tensor:
    """Choose of q and -q the one with w > 0 or, at w = 0, with a positive first non-zero entry."""
    _require(q, "q")
    x, y, z, w = (q[..., i : i + 1].detach() for i in range(4))
    leading = torch.where(w != 0, w, torch.where(x != 0, x, torch.where(y != 0, y, z)))
    return torch.where(leading < 0, -q, q)


def exp(phi: Tensor) -> Tensor:
    """Compute the unit quaternion of the rotation vector phi in radians, (..., 3) to (..., 4)."""
    require_last(phi, 3, "phi", "rotation vectors")
    return _rotation.unit_from_vector(phi)


def log(q: Tensor) -> Tensor:
    """Compute the rotation vector, of length at most pi, of a non-zero quaternion, (..., 3)."""
    _require(q, "q")
    return _rotation.vector_from_candidate(q)


def to_matrix(q: Tensor) -> Tensor:
    """Compute the rotation matrix of a quaternion of any length but zero, (..., 4) to (..., 3, 3)."""
    _require(q, "q")
    return _rotation.matrix_from_any(q)


def from_matrix(R: Tensor) -> Tensor:
    """Compute the unit quaternion with w >= 0 of a rotation matrix, (..., 3, 3) to (..., 4)."""
    require_matrix(R, 3, "R", "SO3")
    return normalize(_rotation.flip(_rotation.candidate_from_matrix(R)))


def rotate(q: Tensor, points: Tensor) -> Tensor:
    """Turn points (..., 3) by unit quaternions (..., 4): p + w t + v x t with t = 2 v x p."""
    _require(q, "q")
    require_last(points, 3, "points", "points in space")
    require_one_device(q, "q", points, "points")
    v, w = q[..., :3], q[..., 3:]
    t = 2 * cross(v, points)
    return torch.addcmul(points, w, t) + cross(v, t)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Compute the angle in [0, pi] radians between two rotations of any sign and length, shape (...)."""
    _require(a, "a")
    q = multiply(conjugate(a), b)
    return 2 * torch.atan2(torch.linalg.vector_norm(q[..., :3], dim=-1), q[..., 3].abs())
