"""Rows of a layer's inputs and output gradients, and their arrangement by samples and positions."""

from __future__ import annotations

from typing import NamedTuple, Protocol

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


class RowsOfGradient(Protocol):
    """Gives the rows of a call from the gradient by its output."""

    def __call__(
        self, gradient: Tensor, *, bias: bool = True, approximation: str = "expand", batch_dim: int = 0
    ) -> LayerRows:
        """Compute the rows.

        Args:
            gradient: Gradient of the loss by the output of the call.
            bias: Whether the layer has a bias.
            approximation: "expand": each position in a sample (of a sequence, of an image) is a row;
                "reduce": each sample is one, the mean of its inputs and the sum of its output gradients.
            batch_dim: Dimension that numbers the samples in inputs with positions; convolutions and norms
                of channels have it first.

        Returns:
            The rows.
        """


class LayerCall(NamedTuple):
    """One call of a function that layers make.

    Attributes:
        kind: "linear", "conv", "embedding" or "norm".
        weight: The weight argument.
        bias: The bias argument.
        rows: Gives the rows from the gradient by the output.
    """

    kind: str
    weight: Tensor | None
    bias: Tensor | None
    rows: RowsOfGradient


def batch_first(tensor: Tensor, batch_dim: int, features: int) -> Tensor:
    """Bring a tensor to (samples, positions, features); one sample where there is no other dimension.

    Args:
        tensor: Shape (..., *features).
        batch_dim: Dimension that numbers the samples, where there are positions too.
        features: Number of dimensions of the features, 0 for whole numbers that name one.

    Returns:
        The tensor, shape (samples, positions, *features).
    """
    if tensor.ndim == features:
        return tensor[None, None]
    if tensor.ndim == features + 1:
        return tensor.unsqueeze(1)
    moved = tensor.movedim(batch_dim, 0)
    return moved.flatten(1, moved.ndim - features - 1)


def wide(tensor: Tensor) -> Tensor:
    """Take a tensor of half precision to float32, others as they are."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def reduced(inputs: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Take the mean of inputs and the sum of gradients over the positions, (samples, positions, ...)."""
    return wide(inputs).mean(1), wide(gradient).sum(1)


def check_approximation(approximation: str) -> None:
    """Refuse a name that is none.

    Args:
        approximation: The name.

    Raises:
        ValueError: If it is neither.
    """
    if approximation not in APPROXIMATIONS:
        raise ValueError(f'approximation must be "expand" or "reduce", got {approximation!r}.')


def with_ones(inputs: Tensor, bias: bool, given: bool) -> Tensor:
    """Append to the rows what multiplies a bias: 1, or 0 where the call left out the bias of the layer."""
    return F.pad(inputs, (0, 1), value=float(given)) if bias else inputs
