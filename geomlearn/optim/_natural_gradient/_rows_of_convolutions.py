"""Rows of convolutions in any number of dimensions: patches of the input."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ._layer_rows import LayerCall, LayerRows, check_approximation, wide, with_ones


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: str | int | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> LayerCall:
    """Describe a call of ``torch.conv1d``, ``conv2d`` or ``conv3d``: a linear layer of patches.

    A padding of another mode than zeros comes before the call, in its input. The groups have one factor of
    the inputs in common: the patch that each group sees at a position is a row.

    Args:
        input: Shape (samples, channels, *sizes), or (channels, *sizes) for one sample.
        weight: Shape (d_o, channels / groups, *kernel sizes).
        bias: Shape (d_o,).
        stride: Steps between patches.
        padding: Zeros at both ends, or "same" or "valid".
        dilation: Steps between the entries of a patch.
        groups: Number of groups of channels.

    Returns:
        The call.
    """
    seen, given = input.detach(), bias is not None
    kernel = tuple(weight.shape[2:])
    n = len(kernel)
    strides, steps = _each(stride, n), _each(dilation, n)

    def rows(
        gradient: Tensor, *, bias: bool = True, approximation: str = "expand", batch_dim: int = 0
    ) -> LayerRows:
        check_approximation(approximation)
        image, outputs = seen, gradient
        if image.ndim == n + 1:
            image, outputs = image.unsqueeze(0), outputs.unsqueeze(0)
        samples = image.shape[0]
        windows = _windows(_padded(image, padding, kernel, steps), kernel, strides, steps)
        windows = windows.unflatten(1, (groups, -1))
        where = tuple(range(3, 3 + n))
        if approximation == "reduce":
            inputs, outputs = wide(windows).mean(where).flatten(0, 1), wide(outputs).flatten(2).sum(-1)
        else:
            inputs = windows.movedim(where, tuple(range(1, 1 + n))).flatten(0, 1 + n)
            outputs = outputs.flatten(2).mT.flatten(0, 1)
        inputs = inputs.flatten(1)
        return LayerRows(with_ones(inputs, bias, given), outputs, inputs.shape[0], samples)

    return LayerCall("conv", weight, bias, rows)


def _each(value: int | tuple[int, ...], n: int) -> tuple[int, ...]:
    """One number for each dimension."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * n if len(numbers) == 1 else numbers


def _padded(
    image: Tensor, padding: str | int | tuple[int, ...], kernel: tuple[int, ...], steps: tuple[int, ...]
) -> Tensor:
    """Add the zeros that the convolution adds."""
    if padding == "valid":
        return image
    if isinstance(padding, str):
        spans = [step * (size - 1) for size, step in zip(kernel, steps)]
        ends = [(span // 2, span - span // 2) for span in spans]
    else:
        ends = [(zeros, zeros) for zeros in _each(padding, len(kernel))]
    return F.pad(image, [zeros for pair in reversed(ends) for zeros in pair])


def _windows(
    image: Tensor, kernel: tuple[int, ...], strides: tuple[int, ...], steps: tuple[int, ...]
) -> Tensor:
    """View the patches, (samples, channels, *positions, *kernel sizes)."""
    for dim, (size, stride, step) in enumerate(zip(kernel, strides, steps), start=2):
        image = image.unfold(dim, step * (size - 1) + 1, stride)[..., ::step]
    return image
