"""Tables of a pattern, made when they are first needed and kept per dtype and device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .._constants import is_plain


class Table:
    """A constant tensor that is built on first use.

    A structure of a thousand rows has tables of a million entries, which only some of its operations read.
    Tables of floating point numbers take on the dtype of the tensor they are called with; tables of indices
    and masks keep theirs.

    Args:
        build: Makes the table in float64, int64 or bool on the CPU, by operations that a compiler can trace.
    """

    def __init__(self, build: Callable[[], Tensor]) -> None:
        self._build = build
        self._held: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def __call__(self, like: Tensor) -> Tensor:
        """Give the table in the dtype and on the device of a tensor.

        Args:
            like: Tensor of dtype float32 or float64.

        Returns:
            The table.
        """
        held = self._held.get((like.dtype, like.device))
        return self._make(like.dtype, like.device) if held is None else held

    def _make(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        if torch.compiler.is_compiling():
            return self._built(dtype, device)  # part of the graph
        with torch.inference_mode(False):
            made = self._built(dtype, device)
        if is_plain(made):
            self._held[dtype, device] = made
        return made

    def _built(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        table = self._build()
        return table.to(device=device, dtype=dtype if table.is_floating_point() else table.dtype)
