"""The input gradient of a perceptron with one output, differentiated by hand in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from integrators import runs_plainly

from ._activations import ACTIVATIONS
from ._slope_kernel import LANES, slope_module

COMPILED_UP_TO = 1500
"""Entries of all matrices up to which compiled loops are faster than products of matrices."""


def slope(x: Tensor, activation: str, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Compute the gradient of the single output of a perceptron with respect to its inputs.

    Where autograd records plain operations of a small network in float64 on the CPU, the gradient and its
    derivative are one compiled call each. Everywhere else, and for derivatives of the derivative, the
    operations of ``slope_by_layers`` run.

    Args:
        x: Inputs ``(..., n)``.
        activation: Name of the activation between the layers.
        weights: Matrices ``(out, in)`` of all layers, the last ``(1, in)``.
        biases: Biases of all layers but the last, whose bias does not matter.

    Returns:
        Gradient ``(..., n)``.
    """
    if (
        biases
        and torch.is_grad_enabled()
        and sum(weight.numel() for weight in weights) <= COMPILED_UP_TO
        and _fits(x, *weights, *biases)
    ):
        return _Slope.apply(activation, x, *weights, *biases)
    return slope_by_layers(x, activation, weights, biases)


def _fits(*tensors: Tensor) -> bool:
    for tensor in tensors:
        if tensor.dtype is not torch.float64 or not tensor.is_cpu:
            return False
    return runs_plainly(*tensors)


def slope_by_layers(
    x: Tensor, activation: str, weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> Tensor:
    """Compute what ``slope`` computes in torch operations.

    Args:
        x: Inputs ``(..., n)``.
        activation: Name of the activation between the layers.
        weights: Matrices ``(out, in)`` of all layers, the last ``(1, in)``.
        biases: Biases of all layers but the last.

    Returns:
        Gradient ``(..., n)``.
    """
    value, pull_back = ACTIVATIONS[activation]
    *hidden, last = weights
    passed = []
    y = x
    for weight, bias in zip(hidden, biases, strict=True):
        s = F.linear(y, weight, bias)
        y = value(s)
        passed.append((weight, s, y))
    back = last[0]
    for weight, s, y in reversed(passed):
        back = pull_back(back, s, y) @ weight
    return back if back.shape == x.shape else back.expand(x.shape)


class _Slope(torch.autograd.Function):
    """``(x, weights, biases) -> g`` by ``back_k = (back_{k+1} W_{k+1}) sigma'(s_k)``, ``g = back_1 W_1``.

    Its derivative is the reverse of that sweep, upwards through the layers, followed by the ordinary reverse
    of the values ``s_k = W_k x_{k-1} + b_k``, ``x_k = sigma(s_k)``, downwards.
    """

    @staticmethod
    def forward(ctx: Any, activation: str, x: Tensor, *parameters: Tensor) -> Tensor:
        depth = len(parameters) // 2
        sizes = np.array([weight.shape[1] for weight in parameters[: depth + 1]])
        inputs = x.detach().reshape(-1, x.shape[-1]).contiguous().numpy()
        flat = torch.cat([parameter.reshape(-1) for parameter in parameters]).numpy()
        kept = np.empty((-(-len(inputs) // LANES), sizes[0] + 4 * sizes[1:].sum(), LANES))
        gradient = np.empty_like(inputs)
        slope_module(activation).slope_all(inputs, flat, sizes, kept, gradient)
        ctx.activation, ctx.arrays = activation, (flat, sizes, kept)
        ctx.save_for_backward(x, *parameters)
        return torch.from_numpy(gradient).view(x.shape)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        tensors = ctx.saved_tensors  # refuses inputs that were changed in place
        needs = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or not _fits(cotangent):
            return None, *_pull_back_in_torch(ctx.activation, tensors, needs, cotangent)
        x, *parameters = tensors
        flat, sizes, kept = ctx.arrays
        above = cotangent.reshape(-1, sizes[0]).contiguous().numpy()
        inputs_bar, flat_bar = np.empty_like(above), np.empty_like(flat)
        slope_module(ctx.activation).slope_back_all(flat, sizes, kept, above, inputs_bar, flat_bar)
        parts = torch.from_numpy(flat_bar).split([parameter.numel() for parameter in parameters])
        found = [
            part.view(parameter.shape) if needed else None
            for part, parameter, needed in zip(parts, parameters, needs[1:], strict=True)
        ]
        return None, torch.from_numpy(inputs_bar).view(x.shape) if needs[0] else None, *found


def _pull_back_in_torch(
    activation: str, inputs: tuple[Tensor, ...], needs: tuple[bool, ...], cotangent: Tensor
) -> list[Tensor | None]:
    """The derivative as torch operations, for derivatives of derivatives.

    It is taken with respect to views of the inputs, so that none of them counts as a function of another.

    Args:
        activation: Name of the activation between the layers.
        inputs: ``x`` and the parameters.
        needs: For each of them, whether its cotangent is needed.
        cotangent: That of the gradient.

    Returns:
        For each input its cotangent or ``None``.
    """
    recorded = torch.is_grad_enabled()
    depth = len(inputs) // 2 - 1
    with torch.enable_grad():
        x, *parameters = (tensor.view_as(tensor) for tensor in inputs)
        gradient = slope_by_layers(x, activation, parameters[: depth + 1], parameters[depth + 1 :])
        wanted = [tensor for tensor, needed in zip((x, *parameters), needs, strict=True) if needed]
        found = iter(torch.autograd.grad(gradient, wanted, cotangent, create_graph=recorded))
    return [next(found) if needed else None for needed in needs]
