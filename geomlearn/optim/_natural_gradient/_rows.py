"""What a call of a layer says about curvature: rows of its inputs and of the gradients by its outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

APPROXIMATIONS = ("expand", "reduce")


class LayerRows(NamedTuple):
    """Rows a of inputs and g of output gradients, of which sums of a a^T and g g^T are taken.

    Attributes:
        inputs: Shape (R, d_i), d_i with a 1 for the bias; or the diagonal of the sum, shape (d_i,); or empty,
            shape (0,), for a layer with one factor.
        outputs: Shape (R', d_o); or the diagonal of the sum, shape (d_o,).
        rows: Number of rows of inputs, by which their sum is divided.
        samples: Number of samples, with which the sum of output gradients of a mean loss is multiplied.
    """

    inputs: Tensor
    outputs: Tensor
    rows: int
    samples: int


class LayerCall(NamedTuple):
    """One call of a function that layers make.

    Attributes:
        kind: "linear", "conv", "embedding" or "norm".
        weight: The weight argument.
        bias: The bias argument.
        rows: Gives the rows from the gradient by the output: rows(gradient, bias=..., approximation=...,
            batch_dim=...), see ``LayerRows``; ``bias`` says whether the layer has one.
    """

    kind: str
    weight: Tensor | None
    bias: Tensor | None
    rows: Callable[..., LayerRows]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> LayerCall:
    """Describe a call of ``torch.nn.functional.linear``.

    Args:
        input: Inputs, shape (..., d_i).
        weight: Weight, shape (d_o, d_i).
        bias: Bias, shape (d_o,).

    Returns:
        The call.
    """
    seen = input.detach()

    def rows(
        gradient: Tensor, *, bias: bool = True, approximation: str = "expand", batch_dim: int = 0
    ) -> LayerRows:
        return _rows_of_positions(
            *_batch_first(seen, gradient, batch_dim, 1),
            ones=_ones(bias, has_bias),
            approximation=approximation,
        )

    has_bias = bias is not None
    return LayerCall("linear", weight, bias, rows)


CALLS: dict[Callable[..., Any], Callable[..., LayerCall]] = {F.linear: linear}
"""The functions of torch that are understood, and what describes a call from the same arguments."""


def _ones(bias: bool, given: bool) -> float | None:
    """What is appended to a row of inputs: nothing without a bias, 0 where this call left the bias out."""
    return None if not bias else float(given)


def _batch_first(inputs: Tensor, gradient: Tensor, batch_dim: int, features: int) -> tuple[Tensor, Tensor]:
    """Bring both to (samples, positions, features); one sample where there is no other dimension."""
    if inputs.ndim == features:
        return inputs[None, None], gradient[None, None]
    inputs, gradient = inputs.movedim(batch_dim, 0), gradient.movedim(batch_dim, 0)
    if inputs.ndim == features + 1:
        return inputs.unsqueeze(1), gradient.unsqueeze(1)
    return inputs.flatten(1, -2), gradient.flatten(1, -2)


def _rows_of_positions(
    inputs: Tensor, gradient: Tensor, *, ones: float | None, approximation: str
) -> LayerRows:
    """Rows from (samples, positions, features): each position, or their mean and the sum of gradients."""
    samples = inputs.shape[0]
    if approximation == "reduce":
        inputs, gradient = inputs.mean(1), gradient.sum(1)
    else:
        inputs, gradient = inputs.flatten(0, 1), gradient.flatten(0, 1)
    if ones is not None:
        inputs = F.pad(inputs, (0, 1), value=ones)
    return LayerRows(inputs, gradient, inputs.shape[0], samples)
