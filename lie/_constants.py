"""Constant tensors held once per dtype and device, safe under every torch transform."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ._checks import FLOATS


class Constant:
    """A tensor of fixed numbers, called with a tensor whose dtype and device it takes on.

    The CPU copies are made at import. A copy for another device is kept only if it is made outside of any
    transform, because a tensor made inside ``torch.func.grad``, ``torch.compile`` or inference mode must not
    outlive it.

    Args:
        values: The numbers, nested sequences or a float64 tensor.
    """

    def __init__(self, values: Sequence[object] | Tensor) -> None:
        with torch.inference_mode(False):
            exact = torch.as_tensor(values, dtype=torch.float64, device="cpu").detach().clone()
            self._held = {(dtype, exact.device): exact.to(dtype) for dtype in FLOATS}
        self._exact = exact

    def __call__(self, like: Tensor) -> Tensor:
        """Give the constant in the dtype and on the device of a tensor.

        Args:
            like: Tensor of dtype float32 or float64.

        Returns:
            The constant.
        """
        held = self._held.get((like.dtype, like.device))
        return self._make(like.dtype, like.device) if held is None else held

    def _make(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        if torch.compiler.is_compiling():
            return self._exact.to(device=device, dtype=dtype)
        with torch.inference_mode(False):
            made = self._exact.to(device=device, dtype=dtype)
        if is_plain(made):
            self._held[dtype, device] = made
        return made


class Series:
    """Several power series in one variable with one Horner recursion, cut to the accuracy of each dtype.

    Args:
        columns: Coefficients of each series, lowest power first, at least as many as float64 needs.
        radius: Largest absolute value of the variable. A dtype keeps the terms that reach an eighth of its
        epsilon in the
            second derivative there.
    """

    def __init__(self, columns: Sequence[Sequence[float]], radius: float) -> None:
        self._rows: dict[tuple[torch.dtype, int], tuple[Constant, ...]] = {}
        self._held: dict[tuple[torch.dtype, torch.device, int], tuple[Tensor, ...]] = {}
        for dtype in FLOATS:
            bound = torch.finfo(dtype).eps / 8
            keep = max(
                max(
                    k
                    for k, c in enumerate(column)
                    if max(1, k * (k - 1)) * abs(c) * radius**k > bound * abs(column[0])
                )
                for column in columns
            )
            table = torch.tensor([list(column[: keep + 1]) for column in columns], dtype=torch.float64)
            like = torch.empty(0, dtype=dtype, device="cpu")
            for dim, shape in ((-1, (-1,)), (0, (-1, 1))):
                rows = tuple(Constant(row.reshape(shape)) for row in reversed(table.T))
                self._rows[dtype, dim] = rows
                self._held[dtype, like.device, dim] = tuple(row(like) for row in rows)

    def __call__(self, x: Tensor, dim: int = -1) -> Tensor:
        """Sum the series.

        Args:
            x: Variable, shape (..., 1), or (1, N) for ``dim = 0``.
            dim: Where the series go: -1 or 0.

        Returns:
            Values of all the series, shape (..., number of series) or (number of series, N).
        """
        rows = self._held.get((x.dtype, x.device, dim))
        if rows is None:
            rows = tuple(row(x) for row in self._rows[x.dtype, dim])
        total = rows[0]
        for row in rows[1:]:
            total = torch.addcmul(row, total, x)
        return total


def is_plain(tensor: Tensor) -> bool:
    """Tell whether a tensor is an ordinary one, owned by no functorch transform and no tracing mode.

    Args:
        tensor: The tensor.

    Returns:
        True when it may be kept for later calls.
    """
    return type(tensor) is Tensor and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def differentiates(tensor: Tensor) -> bool:
    """Tell whether a derivative with respect to a tensor may be asked for, in reverse or forward mode.

    Args:
        tensor: The tensor.

    Returns:
        True when it may, or when that cannot be told.
    """
    if not is_readable(tensor):
        return True
    if torch.is_grad_enabled() and tensor.requires_grad:
        return True
    return forward_ad.unpack_dual(tensor).tangent is not None


def is_readable(tensor: Tensor) -> bool:
    """Tell whether the values of a tensor may be read here, without a break of a graph or a transform.

    Args:
        tensor: The tensor.

    Returns:
        True when ``bool(tensor.all())`` works.
    """
    return not torch.compiler.is_compiling() and is_plain(tensor) and tensor.device.type != "meta"
