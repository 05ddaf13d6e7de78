"""Refusals of arguments of the wrong shape or dtype, in the words of the caller's argument."""

from __future__ import annotations

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float64)


def require_float(x: Tensor, name: str) -> None:
    """Refuse a tensor of a dtype that is not supported.

    Args:
        x: The argument.
        name: Name of the argument.

    Raises:
        TypeError: If the dtype is neither float32 nor float64.
    """
    if x.dtype not in FLOATS:
        raise TypeError(
            f"{name} must be float32 or float64, got {x.dtype}; convert it with {name}.to(torch.float64)."
        )


def require_last(x: Tensor, size: int, name: str, meaning: str) -> None:
    """Refuse a tensor whose last dimension has another size.

    Args:
        x: The argument.
        size: Size that the last dimension must have.
        name: Name of the argument.
        meaning: What the last dimension holds.

    Raises:
        ValueError: If the size differs.
        TypeError: If the dtype is neither float32 nor float64.
    """
    if x.ndim == 0 or x.shape[-1] != size:
        raise ValueError(f"{name} must have shape (..., {size}) ({meaning}), got {tuple(x.shape)}.")
    require_float(x, name)


def require_matrix(g: Tensor, size: int, name: str, group: str) -> None:
    """Refuse a tensor whose last two dimensions are not those of the group's matrices.

    Args:
        g: The argument.
        size: Number of rows and of columns.
        name: Name of the argument.
        group: Name of the group.

    Raises:
        ValueError: If the shape differs.
        TypeError: If the dtype is neither float32 nor float64.
    """
    if g.shape[-2:] != (size, size):
        raise ValueError(
            f"{name} must be {group} matrices of shape (..., {size}, {size}), leading dimensions batched, "
            f"got {tuple(g.shape)}."
        )
    require_float(g, name)


def require_shape(x: Tensor, shape: tuple[int, ...], name: str, meaning: str) -> None:
    """Refuse a tensor whose trailing dimensions differ.

    Args:
        x: The argument.
        shape: Trailing dimensions that it must have.
        name: Name of the argument.
        meaning: What the tensor holds.

    Raises:
        ValueError: If they differ.
        TypeError: If the dtype is neither float32 nor float64.
    """
    if x.shape[max(x.ndim - len(shape), 0) :] != shape:
        wanted = ", ".join(map(str, shape))
        raise ValueError(
            f"{name} must be {meaning} of shape (..., {wanted}), leading dimensions batched, "
            f"got {tuple(x.shape)}."
        )
    require_float(x, name)


def require_one_device(a: Tensor, a_name: str, b: Tensor, b_name: str) -> None:
    """Refuse tensors on different devices.

    Args:
        a: First argument.
        a_name: Its name.
        b: Second argument.
        b_name: Its name.

    Raises:
        ValueError: If the devices differ.
    """
    if a.device != b.device:
        raise ValueError(
            f"{a_name} is on {a.device} and {b_name} on {b.device}; "
            f"bring them together with {b_name}.to({a_name}.device)."
        )
