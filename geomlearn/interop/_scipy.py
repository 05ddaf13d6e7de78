"""Rotations and rigid transforms of scipy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lie import SE3, SO3

if TYPE_CHECKING:  # loading it takes a quarter of a second
    from scipy.spatial.transform import Rotation


def _rotation() -> Any:
    from scipy.spatial.transform import Rotation

    return Rotation


def _rigid_transform() -> Any:
    try:
        from scipy.spatial.transform import RigidTransform
    except ImportError as error:
        import scipy

        raise ImportError(
            f"scipy.spatial.transform.RigidTransform came with scipy 1.16, and this is scipy "
            f"{scipy.__version__}: pip install 'scipy>=1.16'"
        ) from error
    return RigidTransform


def _array(x: Tensor) -> Any:
    return x.detach().cpu().double().numpy()


def _require(value: object, kind: type, name: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a scipy {kind.__name__}, got {type(value).__name__}.")


def so3_from_scipy(
    rotation: Rotation, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None
) -> Tensor:
    """Compute the rotation matrices of a scipy Rotation.

    Args:
        rotation: One rotation or an array of them.
        dtype: Of the result.
        device: Of the result.

    Returns:
        Rotation matrices, shape (..., 3, 3), leading dimensions as in ``rotation``.

    Raises:
        TypeError: If it is something else.
    """
    _require(rotation, _rotation(), "rotation")
    return torch.tensor(rotation.as_matrix(), dtype=dtype, device=device)


def scipy_from_so3(R: Tensor) -> Rotation:
    """Make a scipy Rotation.

    Args:
        R: Rotation matrices, shape (3, 3) or (N, 3, 3); more leading dimensions from scipy 1.17 on.

    Returns:
        The rotations, in float64.

    Raises:
        ValueError: If a matrix is no rotation.
    """
    SO3.check(R, "R")
    return _rotation().from_quat(_array(SO3.to_quaternion(R)))


def se3_from_scipy(
    transform: Any, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None
) -> Tensor:
    """Compute the homogeneous matrices of a scipy RigidTransform.

    Args:
        transform: One ``scipy.spatial.transform.RigidTransform`` or an array of them.
        dtype: Of the result.
        device: Of the result.

    Returns:
        Rigid motions, shape (..., 4, 4), leading dimensions as in ``transform``.

    Raises:
        ImportError: If scipy is older than 1.16.
        TypeError: If it is something else.
    """
    _require(transform, _rigid_transform(), "transform")
    return torch.tensor(transform.as_matrix(), dtype=dtype, device=device)


def scipy_from_se3(g: Tensor) -> Any:
    """Make a scipy RigidTransform.

    Args:
        g: Rigid motions, shape (4, 4) or (N, 4, 4); more leading dimensions from scipy 1.17 on.

    Returns:
        The ``scipy.spatial.transform.RigidTransform``, in float64.

    Raises:
        ImportError: If scipy is older than 1.16.
        ValueError: If a matrix is no rigid motion.
    """
    kind = _rigid_transform()
    SE3.check(g, "g")
    return kind.from_components(_array(SE3.translation(g)), scipy_from_so3(SE3.rotation(g)))
