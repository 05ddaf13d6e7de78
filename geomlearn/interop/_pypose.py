"""LieTensors of pypose.

pypose orders the numbers as (t, q, s) with q = x, y, z, w. The gradients that it keeps for its elements are
tangents filled up with zeros, not derivatives with respect to those numbers, so none may pass between the
libraries; ``x.matrix()`` leads out of pypose with a right gradient.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lie import SE3, SO3, Sim3
from lie.convert import (
    se3_from_trans_quat_xyzw,
    sim3_from_trans_quat_xyzw_scale,
    trans_quat_xyzw_from_se3,
    trans_quat_xyzw_scale_from_sim3,
)


def _import_pypose() -> ModuleType:
    try:
        return importlib.import_module("pypose")
    except ImportError as error:
        raise ImportError(
            "pypose is needed to make its LieTensors and is not installed: pip install pypose"
        ) from error


def _storage(x: Any, kind: str) -> Tensor:
    """The numbers of a LieTensor of one kind."""
    found = type(getattr(x, "ltype", x)).__name__
    if found != f"{kind}Type":
        raise TypeError(f"x must be a pypose LieTensor of ltype {kind}_type, got {found}.")
    numbers: Tensor = x.tensor().detach()
    return torch.as_tensor(numbers)


def so3_from_pypose(x: Any) -> Tensor:
    """Compute the rotation matrices of a pypose SO3, (..., 3, 3); TypeError if it is something else."""
    return SO3.from_quaternion(_storage(x, "SO3"))


def se3_from_pypose(x: Any) -> Tensor:
    """Compute the rigid motions of a pypose SE3, (..., 4, 4); TypeError if it is something else."""
    return se3_from_trans_quat_xyzw(_storage(x, "SE3"))


def sim3_from_pypose(x: Any) -> Tensor:
    """Compute the similarities of a pypose Sim3, (..., 4, 4); TypeError if it is something else."""
    return sim3_from_trans_quat_xyzw_scale(_storage(x, "Sim3"))


def pypose_from_so3(R: Tensor) -> Any:
    """Make a pypose SO3 of rotation matrices (..., 3, 3).

    Args:
        R: Rotation matrices, shape (..., 3, 3).

    Returns:
        The LieTensor, shape (..., 4).

    Raises:
        ImportError: If pypose is not installed.
        ValueError: If a matrix is no rotation.
    """
    pypose = _import_pypose()
    SO3.check(R, "R")
    return pypose.SO3(SO3.to_quaternion(R.detach()))


def pypose_from_se3(g: Tensor) -> Any:
    """Make a pypose SE3 of rigid motions (..., 4, 4).

    Args:
        g: Rigid motions, shape (..., 4, 4).

    Returns:
        The LieTensor, shape (..., 7).

    Raises:
        ImportError: If pypose is not installed.
        ValueError: If a matrix is no rigid motion.
    """
    pypose = _import_pypose()
    SE3.check(g, "g")
    return pypose.SE3(trans_quat_xyzw_from_se3(g.detach()))


def pypose_from_sim3(g: Tensor) -> Any:
    """Make a pypose Sim3 of similarities (..., 4, 4).

    Args:
        g: Similarities, shape (..., 4, 4).

    Returns:
        The LieTensor, shape (..., 8).

    Raises:
        ImportError: If pypose is not installed.
        ValueError: If a matrix is no similarity.
    """
    pypose = _import_pypose()
    Sim3.check(g, "g")
    return pypose.Sim3(trans_quat_xyzw_scale_from_sim3(g.detach()))
