"""Derivatives of derivatives for functions whose first derivative is written by hand."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def backward_in_torch(
    function: Callable[..., Tensor | tuple[Tensor, ...]],
    inputs: tuple[Tensor, ...],
    cotangents: tuple[Tensor, ...],
) -> tuple[Tensor | None, ...]:
    """Apply the reverse derivative of a function as torch operations, recorded if gradients are.

    It is taken with respect to views of the inputs, so that none of them counts as a function of another.

    Args:
        function: Function of the inputs made of torch operations.
        inputs: Its arguments.
        cotangents: One for each of its results.

    Returns:
        For each input that requires a gradient its cotangent, for the others ``None``.
    """
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = tuple(tensor.view_as(tensor) for tensor in inputs)
        results = function(*inputs)
        wanted = [tensor for tensor in inputs if tensor.requires_grad]
        found = iter(
            torch.autograd.grad(results, wanted, cotangents, create_graph=recorded, allow_unused=True)
        )
    return tuple(next(found) if tensor.requires_grad else None for tensor in inputs)
