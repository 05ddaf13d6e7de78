"""Rows of normalisations: the gradients of each sample by the scales and shifts."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ._layer_rows import LayerCall, LayerRows, batch_first, wide


def layer_norm(
    input: Tensor,
    normalized_shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> LayerCall:
    """Describe a call of ``torch.nn.functional.layer_norm``.

    Args:
        input: Shape (..., *normalized_shape).
        normalized_shape: Shape that is normalised.
        weight: Scales, of that shape.
        bias: Shifts, of that shape.
        eps: Added to the variance.

    Returns:
        The call.
    """
    seen, shape = input.detach(), list(normalized_shape)
    return _last(weight, bias, lambda: F.layer_norm(wide(seen), shape, None, None, eps), len(shape))


def rms_norm(
    input: Tensor, normalized_shape: list[int], weight: Tensor | None = None, eps: float | None = None
) -> LayerCall:
    """Describe a call of ``torch.nn.functional.rms_norm``.

    Args:
        input: Shape (..., *normalized_shape).
        normalized_shape: Shape that is normalised.
        weight: Scales, of that shape.
        eps: Added to the mean square; None means the epsilon of the dtype of the input.

    Returns:
        The call.
    """
    seen, shape = input.detach(), list(normalized_shape)
    eps = torch.finfo(seen.dtype).eps if eps is None else eps
    return _last(weight, None, lambda: F.rms_norm(wide(seen), shape, None, eps), len(shape))


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> LayerCall:
    """Describe a call of ``torch.nn.functional.group_norm``.

    Args:
        input: Shape (samples, channels, ...).
        num_groups: Number of groups of channels.
        weight: Scales of the channels.
        bias: Shifts of the channels.
        eps: Added to the variance.

    Returns:
        The call.
    """
    seen = input.detach()
    return _channels(weight, bias, lambda: F.group_norm(wide(seen), num_groups, None, None, eps))


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> LayerCall:
    """Describe a call of ``torch.nn.functional.batch_norm``.

    Args:
        input: Shape (samples, channels, ...).
        running_mean: Means of the channels, in use unless training.
        running_var: Variances of the channels.
        weight: Scales of the channels.
        bias: Shifts of the channels.
        training: Whether the means and variances are those of the samples.
        momentum: Of the running values, which are left alone here.
        eps: Added to the variance.

    Returns:
        The call.
    """
    seen = input.detach()
    mean = var = None
    if not training and running_mean is not None and running_var is not None:
        mean, var = running_mean.detach().clone(), running_var.detach().clone()
    return _channels(
        weight, bias, lambda: F.batch_norm(wide(seen), mean, var, None, None, training, 0.0, eps)
    )


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> LayerCall:
    """Describe a call of ``torch.nn.functional.instance_norm``.

    Args:
        input: Shape (samples, channels, ...).
        running_mean: Means of the channels, in use without ``use_input_stats``.
        running_var: Variances of the channels.
        weight: Scales of the channels.
        bias: Shifts of the channels.
        use_input_stats: Whether each sample is normalised by its own mean and variance.
        momentum: Of the running values, which are left alone here.
        eps: Added to the variance.

    Returns:
        The call.
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    seen = input.detach()
    return _channels(
        weight, bias, lambda: F.instance_norm(wide(seen), None, None, None, None, True, 0.0, eps)
    )


def _last(
    weight: Tensor | None, bias: Tensor | None, normal: Callable[[], Tensor], features: int
) -> LayerCall:
    """The call of a norm whose scales multiply the last dimensions."""
    given = bias is not None

    def rows(
        gradient: Tensor, *, bias: bool = True, approximation: str = "expand", batch_dim: int = 0
    ) -> LayerRows:
        scaled = batch_first(normal(), batch_dim, features).flatten(2)
        return _summed(scaled, batch_first(wide(gradient), batch_dim, features).flatten(2), bias, given)

    return LayerCall("norm", weight, bias, rows)


def _channels(weight: Tensor | None, bias: Tensor | None, normal: Callable[[], Tensor]) -> LayerCall:
    """The call of a norm whose scales multiply the channels, dimension 1."""
    given = bias is not None

    def rows(
        gradient: Tensor, *, bias: bool = True, approximation: str = "expand", batch_dim: int = 0
    ) -> LayerRows:
        scaled, outputs = (x.unsqueeze(-1).flatten(2).mT for x in (normal(), wide(gradient)))
        return _summed(scaled, outputs, bias, given)

    return LayerCall("norm", weight, bias, rows)


def _summed(scaled: Tensor, gradient: Tensor, bias: bool, given: bool) -> LayerRows:
    """Gradients of each sample, from normalised inputs and output gradients (samples, positions, d)."""
    rows = (scaled * gradient).sum(1)
    if bias:
        shifts = gradient.sum(1)
        rows = torch.cat((rows, shifts if given else torch.zeros_like(shifts)), -1)
    return LayerRows(rows.new_zeros(0), rows, rows.shape[0], rows.shape[0])
