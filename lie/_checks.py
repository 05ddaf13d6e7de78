"""Refusals of arguments of the wrong shape, in the words of the caller's argument."""

from __future__ import annotations

from torch import Tensor


def require_last(x: Tensor, size: int, name: str, meaning: str) -> None:
    """Refuse a tensor whose last dimension has another size.

    Args:
        x: The argument.
        size: Size that the last dimension must have.
        name: Name of the argument.
        meaning: What the last dimension holds.

    Raises:
        ValueError: If the size differs.
    """
    if x.ndim == 0 or x.shape[-1] != size:
        raise ValueError(f"{name} must have shape (..., {size}) ({meaning}), got {tuple(x.shape)}.")


def require_matrix(g: Tensor, size: int, name: str, group: str) -> None:
    """Refuse a tensor whose last two dimensions are not those of the group's matrices.

    Args:
        g: The argument.
        size: Number of rows and of columns.
        name: Name of the argument.
        group: Name of the group.

    Raises:
        ValueError: If the shape differs.
    """
    if g.ndim < 2 or g.shape[-1] != size or g.shape[-2] != size:
        raise ValueError(
            f"{name} must be {group} matrices of shape (..., {size}, {size}), leading dimensions batched, "
            f"got {tuple(g.shape)}."
        )
