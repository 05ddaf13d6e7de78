"""An operation of a group as compiled loops with hand-written derivatives, where nothing asks for more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._plain import runs_plainly
from .._torch_backward import backward_in_torch
from ._kernel import Kernel
from ._launch import launch

RESULT, COTANGENT = -2, -1
"""What a pullback reads beside inputs."""


class Pullback(NamedTuple):
    """The loop that computes the cotangent of one input.

    Attributes:
        kernel: The loop.
        reads: What it reads: indices of inputs, ``RESULT``, ``COTANGENT``.
    """

    kernel: Kernel
    reads: tuple[int, ...]


class Operation:
    """A function of one or two tensors.

    Args:
        eager: The same function in torch.
        shapes: Shape of an element of each input.
        shape: Shape of an element of the result.
        kernel: The loop. Where it counts bad elements the torch function decides.
        pullbacks: One for each input.
        checks: Whether the torch function takes ``check``.
    """

    def __init__(
        self,
        eager: Callable[..., Tensor],
        shapes: tuple[tuple[int, ...], ...],
        shape: tuple[int, ...],
        kernel: Kernel,
        pullbacks: tuple[Pullback, ...],
        checks: bool = False,
    ) -> None:
        self.shapes, self.shape, self.kernel, self.pullbacks = shapes, shape, kernel, pullbacks
        self._eager, self._checks = eager, checks
        self._depths = tuple(len(shape) for shape in shapes)
        self._all_depths = (*self._depths, len(self.shape), len(self.shape))
        self.keeps_result = any(RESULT in pullback.reads for pullback in pullbacks)

    def __call__(
        self, *tensors: Tensor, check: bool = True, refuse: Callable[[], None] | None = None
    ) -> Tensor:
        """Apply the function.

        Args:
            *tensors: The inputs; leading dimensions broadcast.
            check: Whether bad elements are refused.
            refuse: Checks the inputs in place of the torch function, whose messages would name others.

        Returns:
            The result.
        """
        found = self._fit(tensors)
        if found is None:
            return self.in_torch(tensors, check, refuse)
        inputs, batch = found
        if torch.is_grad_enabled():
            for tensor in inputs:
                if tensor.requires_grad:
                    return _Fused.apply(self, check, refuse, batch, *inputs)
        return self.forward(inputs, batch, check, refuse)[0]

    def in_torch(
        self, tensors: tuple[Tensor, ...], check: bool, refuse: Callable[[], None] | None = None
    ) -> Tensor:
        """Apply the torch function.

        Args:
            tensors: The inputs.
            check: Whether bad elements are refused.
            refuse: What checks them, None for the function itself.

        Returns:
            The result.
        """
        if not self._checks:
            return self._eager(*tensors)
        if check and refuse is not None:
            refuse()
        return self._eager(*tensors, check=check and refuse is None)

    def _fit(self, tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[int, ...]] | None:
        """The inputs with one dtype and one batch shape, and that; None where the loop cannot be used."""
        if not runs_plainly(*tensors):
            return None
        batches = []
        for tensor, shape in zip(tensors, self.shapes, strict=True):
            if not fits(tensor):
                return None
            size = tensor.shape
            split = len(size) - len(shape)
            if split < 0 or size[split:] != shape:
                return None
            batches.append(size[:split])
        if len(tensors) == 1:
            return tensors, batches[0]
        a, b = tensors
        batch, other = batches
        if a.dtype != b.dtype:
            dtype = torch.promote_types(a.dtype, b.dtype)
            a, b = a.to(dtype), b.to(dtype)
        if batch != other:
            try:
                batch = torch.broadcast_shapes(batch, other)
            except RuntimeError:
                return None
            first, second = self.shapes
            a, b = a.expand(batch + first), b.expand(batch + second)
        return (a, b), batch

    def forward(
        self,
        inputs: tuple[Tensor, ...],
        batch: tuple[int, ...],
        check: bool,
        refuse: Callable[[], None] | None,
    ) -> tuple[Tensor, bool]:
        """Apply the loop.

        Args:
            inputs: Tensors of one dtype and batch shape.
            batch: Their batch dimensions.
            check: Whether bad elements are refused.
            refuse: What checks them, None for the torch function.

        Returns:
            The result, and whether it comes from the loop.
        """
        result, bad = launch(self.kernel, inputs, self._depths, batch, self.shape)
        if bad and check:
            return self.in_torch(inputs, check, refuse), False
        return result, True

    def backward(
        self,
        tensors: tuple[Tensor, ...],
        batch: tuple[int, ...],
        wanted: tuple[bool, ...],
    ) -> list[Tensor | None]:
        """Compute cotangents of the inputs by loops.

        Args:
            tensors: What ``forward`` was given, its result and the cotangent of that.
            batch: Their batch dimensions.
            wanted: Which cotangents are needed.

        Returns:
            The cotangents.
        """
        found: list[Tensor | None] = [None] * len(self.shapes)
        for k, (kernel, reads) in enumerate(self.pullbacks):
            if wanted[k]:
                operands = [tensors[i] for i in reads]
                depths = [self._all_depths[i] for i in reads]
                found[k] = launch(kernel, operands, depths, batch, self.shapes[k])[0]
        return found


def fits(tensor: Tensor) -> bool:
    """Tell whether the address, the dtype and the strides of a tensor tell what its entries are.

    Args:
        tensor: The tensor.

    Returns:
        True for dense floats in the memory of the host.
    """
    dtype = tensor.dtype
    return (
        (dtype is torch.float32 or dtype is torch.float64)
        and tensor.is_cpu
        and not tensor.is_nested
        and tensor.layout is torch.strided
        and not tensor.is_neg()
        and tensor.data_ptr() != 0  # zeros that torch keeps without memory
    )


class _Fused(torch.autograd.Function):
    """An operation with one compiled loop in each direction."""

    @staticmethod
    def forward(
        ctx: Any,
        operation: Operation,
        check: bool,
        refuse: Callable[[], None] | None,
        batch: tuple[int, ...],
        *inputs: Tensor,
    ) -> Tensor:
        result, ctx.fused = operation.forward(inputs, batch, check, refuse)
        ctx.operation, ctx.batch = operation, batch
        ctx.save_for_backward(*inputs, *((result,) if operation.keeps_result else ()))
        return result

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        operation: Operation = ctx.operation
        saved = ctx.saved_tensors  # refuses inputs that were changed in place
        nothing = (None,) * 4
        if ctx.fused and not torch.is_grad_enabled() and runs_plainly(cotangent) and fits(cotangent):
            read = (*saved, cotangent) if operation.keeps_result else (*saved, cotangent, cotangent)
            return *nothing, *operation.backward(read, ctx.batch, ctx.needs_input_grad[4:])
        return *nothing, *backward_in_torch(
            lambda *tensors: operation.in_torch(tensors, check=False),
            saved[: len(operation.shapes)],
            (cotangent,),
        )
