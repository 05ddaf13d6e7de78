"""What a call of a layer says about curvature: rows of its inputs and of the gradients by its outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ._layer_rows import (
    APPROXIMATIONS,
    LayerCall,
    LayerRows,
    batch_first,
    check_approximation,
    reduced,
    wide,
    with_ones,
)
from ._rows_of_convolutions import convolution
from ._rows_of_norms import batch_norm, group_norm, instance_norm, layer_norm, rms_norm

__all__ = ["APPROXIMATIONS", "CALLS", "LayerCall", "LayerRows", "embedding", "linear", "transposed"]


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
    given = bias is not None

    def rows(
        gradient: Tensor, *, bias: bool = True, approximation: str = "expand", batch_dim: int = 0
    ) -> LayerRows:
        check_approximation(approximation)
        inputs, outputs = batch_first(seen, batch_dim, 1), batch_first(gradient, batch_dim, 1)
        samples = inputs.shape[0]
        if approximation == "reduce":
            inputs, outputs = reduced(inputs, outputs)
        else:
            inputs, outputs = inputs.flatten(0, 1), outputs.flatten(0, 1)
        return LayerRows(with_ones(inputs, bias, given), outputs, inputs.shape[0], samples)

    return LayerCall("linear", weight, bias, rows)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> LayerCall:
    """Describe a call of ``torch.nn.functional.embedding``: a linear layer whose inputs are unit vectors.

    The second moment of the inputs is diagonal (by "reduce", its diagonal is taken), so no row of the size of
    the vocabulary is made. Positions with ``padding_idx`` are no rows.

    Args:
        input: Whole numbers, shape (...).
        weight: Weight, shape (vocabulary, d_o).
        padding_idx: Number whose row gets no gradient.
        max_norm: Leaves the rows as they are.
        norm_type: Leaves the rows as they are.
        scale_grad_by_freq: Leaves the rows as they are.
        sparse: Leaves the rows as they are.

    Returns:
        The call.
    """
    seen, vocabulary = input.detach(), weight.shape[0]
    padding = padding_idx if padding_idx is None or padding_idx >= 0 else padding_idx + vocabulary

    def rows(
        gradient: Tensor, *, bias: bool = False, approximation: str = "expand", batch_dim: int = 0
    ) -> LayerRows:
        check_approximation(approximation)
        numbers, outputs = batch_first(seen, batch_dim, 0), wide(batch_first(gradient, batch_dim, 1))
        kept = torch.ones_like(numbers, dtype=torch.bool) if padding is None else numbers != padding
        shares = kept.to(outputs.dtype)
        outputs = outputs * shares.unsqueeze(-1)
        samples, positions = numbers.shape
        if approximation == "expand":
            diagonal = shares.new_zeros(vocabulary).index_add(0, numbers.flatten(), shares.flatten())
            count = numbers.numel() if padding is None else int(kept.sum())
            return LayerRows(diagonal, outputs.flatten(0, 1), count, samples)
        # One entry for each number in a sample, with the square of its share of the positions.
        named = numbers + vocabulary * torch.arange(samples, device=numbers.device).unsqueeze(-1)
        which, place = named.flatten().unique(return_inverse=True)
        counts = shares.new_zeros(which.shape).index_add(0, place, shares.flatten())
        squares = (counts / max(positions, 1)).square()
        diagonal = shares.new_zeros(vocabulary).index_add(0, which % vocabulary, squares)
        return LayerRows(diagonal, outputs.sum(1), samples, samples)

    return LayerCall("embedding", weight, None, rows)


def transposed(rows: LayerRows) -> LayerRows:
    """Turn rows of a weight into those of its transpose, for a weight that two kinds of layers share.

    The gradient of the weight is the sum of g a^T, that of the transpose of a g^T: inputs and gradients
    change places. A factor takes the new inputs to a mean square of 1, and its inverse the new gradients to
    the scale that leaves the product of the two second moments as it was.

    Args:
        rows: The rows.

    Returns:
        The rows of the transpose.
    """
    per_row = rows.outputs.sum() if rows.outputs.ndim == 1 else wide(rows.outputs).square().sum()
    mean_square = per_row / max(rows.rows * rows.outputs.shape[-1], 1)
    square = torch.where(mean_square > 0, mean_square, torch.ones_like(mean_square))
    return LayerRows(_scaled(rows.outputs, 1 / square), _scaled(rows.inputs, square), rows.rows, rows.samples)


def _scaled(rows: Tensor, square: Tensor) -> Tensor:
    """Multiply rows by the root of a number, the diagonal of their sum of squares by the number."""
    return wide(rows) * (square if rows.ndim == 1 else square.sqrt())


CALLS: dict[Callable[..., Any], Callable[..., LayerCall]] = {
    F.linear: linear,
    F.embedding: embedding,
    torch.conv1d: convolution,
    torch.conv2d: convolution,
    torch.conv3d: convolution,
    F.layer_norm: layer_norm,
    F.rms_norm: rms_norm,
    F.group_norm: group_norm,
    F.batch_norm: batch_norm,
    F.instance_norm: instance_norm,
}
"""The functions of torch that are understood, and what describes a call from the same arguments."""
