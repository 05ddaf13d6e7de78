"""Refusing numbers that are not states, with the place of the first bad one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from integrators import StateSpace

Place = Callable[[tuple[int, ...]], str]
"""Names a batch index for a person: ``(3, 5)`` becomes ``"window 3, sample 5"``."""


def check_float_tensor(x: object, name: str) -> None:
    """Refuse anything but a float32 or float64 tensor.

    Args:
        x: The argument.
        name: Its name, for the message.

    Raises:
        TypeError: If ``x`` is something else.
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name}: expected a torch.Tensor, got {type(x).__name__}; convert it, e.g."
            f" torch.as_tensor({name})"
        )
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{name}: expected float64 or float32, got {x.dtype}; convert it, e.g. {name}.double()"
        )


def check_entries(x: Tensor, space: StateSpace, name: str, place: Place) -> None:
    """Refuse a last dimension of the wrong length and numbers that are not finite.

    Args:
        x: Candidates ``(..., n)``.
        space: The layout whose columns the last dimension should have.
        name: Name of the argument, for the message.
        place: Names a batch index.

    Raises:
        ValueError: If the length is wrong or an entry is NaN or infinite.
    """
    if x.shape[-1] != space.size:
        raise ValueError(f"{name}: expected {space.size} columns for {space}, got {x.shape[-1]}")
    bad = ~torch.isfinite(x)
    if bad.any():
        *batch, column = (int(i) for i in bad.nonzero()[0])
        raise ValueError(
            f"{name}: expected finite numbers, got {float(x[(*batch, column)])} at {place(tuple(batch))},"
            f" column {space.labels()[column]}"
        )


def check_members(
    x: Tensor, space: StateSpace, name: str, place: Place, tol: float | None, mend: str
) -> None:
    """Refuse blocks that are not on their group.

    Args:
        x: States ``(..., n)``, finite.
        space: Their layout.
        name: Name of the argument, for the message.
        place: Names a batch index.
        tol: How far an element may be from its group; ``None`` for the group's own tolerance.
        mend: What the user can do about it, the end of the message.

    Raises:
        ValueError: If a block is off its group.
    """
    labels = space.labels()
    for part, block in space.view(x).items():
        group = next(p for p in space.parts if p.name == part).manifold
        if group is None:
            continue
        try:
            group.check(block, name=part, tol=tol)
        except ValueError as error:
            residual = group.residual(block)
            worst = int(residual.argmax())
            index = tuple(int(i) for i in torch.unravel_index(torch.tensor(worst), residual.shape))
            columns = space.slices[part]
            defect = float(residual.flatten()[worst])
            message = (
                f"{name}: expected elements of {group.name} in columns {labels[columns.start]} ... "
                f"{labels[columns.stop - 1]}, the worst is at {place(index)}, off the group by {defect:.3g}"
            )
            if float(torch.linalg.det(block[index])) < 0:
                message += (
                    " with a negative determinant (a reflection: an axis is flipped or two are swapped)"
                )
            raise ValueError(f"{message}; {mend}") from error
