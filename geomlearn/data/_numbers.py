"""Arrays of real numbers from whatever the user holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._checks import Place


def real_array(values: Any, what: str, shape: tuple[int | str, ...], source: str, place: Place) -> Tensor:
    """Turn an argument into a float64 tensor and refuse a wrong shape and numbers that are not finite.

    Args:
        values: Tensor, array or nested list.
        what: Name of the argument, for messages.
        shape: Expected shape; a string stands for any length.
        source: Where the numbers come from, for messages.
        place: Names a row.

    Returns:
        A new tensor.

    Raises:
        TypeError: If the values are not real numbers in an array.
        ValueError: If the shape is wrong or a number is NaN or infinite; the message names row and column.
    """
    try:
        raw = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
        if raw.dtype.kind not in "fiu":
            raise TypeError(f"its type is {raw.dtype}")
        array = torch.from_numpy(raw.astype(np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{what}: expected an array of real numbers, got {type(values).__name__} ({error})"
        ) from error
    fits = len(shape) == array.ndim and all(
        isinstance(want, str) or want == got for want, got in zip(shape, array.shape)
    )
    if not fits:
        raise ValueError(
            f"{source}: expected {what} of shape ({', '.join(map(str, shape))}), got {tuple(array.shape)}"
        )
    bad = (~torch.isfinite(array)).nonzero()
    if len(bad):
        k, *rest = (int(i) for i in bad[0])
        column = f", column {what}[{','.join(map(str, rest))}]" if rest else ""
        raise ValueError(
            f"{source}: expected finite numbers, got {float(array[(k, *rest)])} at {place((k,))}{column}"
        )
    return array
