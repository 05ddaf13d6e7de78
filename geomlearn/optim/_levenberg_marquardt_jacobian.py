"""Jacobians of residual functions, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.func import jacrev, jvp, vjp, vmap

Residual = Callable[..., Tensor]
MODES = ("auto", "reverse", "forward")


def evaluate(residual: Residual, theta: Tensor, samples: Sequence[Tensor]) -> Tensor:
    """Compute the residuals and see that they have the form that the Jacobian needs.

    Args:
        residual: Function ``(theta, *samples) -> residuals``.
        theta: Parameters, shape (p,).
        samples: Tensors with one entry per sample in their first dimension.

    Returns:
        Residuals: (n, k) with k for each of n samples; without samples (m, 1).

    Raises:
        TypeError: If the function returns no real tensor.
        ValueError: If there is no residual, or not one row for each sample.
    """
    value = residual(theta, *samples)
    if not isinstance(value, Tensor) or not value.is_floating_point():
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"residual: expected a tensor of real residuals, got {got}")
    if value.numel() == 0:
        raise ValueError(f"residual: expected at least one residual, got shape {tuple(value.shape)}")
    if not samples:
        return value.reshape(-1, 1)
    if value.ndim == 0 or value.shape[0] != samples[0].shape[0]:
        raise ValueError(
            f"residual: expected the residuals of each sample, shape ({samples[0].shape[0]}, ...), got"
            f" {tuple(value.shape)}; do not sum over samples"
        )
    return value.reshape(value.shape[0], -1)


def check_samples(samples: Sequence[Tensor]) -> None:
    """Refuse tensors that do not hold the same number of samples.

    Args:
        samples: Tensors with one entry per sample in their first dimension.

    Raises:
        ValueError: If there is no sample, or their numbers differ.
    """
    counts = [tensor.shape[0] if tensor.ndim else 0 for tensor in samples]
    if samples and (len(set(counts)) > 1 or counts[0] == 0):
        raise ValueError(
            "samples: expected tensors with the same positive number of samples in the first dimension, got"
            f" shapes {[tuple(tensor.shape) for tensor in samples]}"
        )


def blocks(
    residual: Residual, theta: Tensor, samples: Sequence[Tensor], shape: torch.Size, mode: str, memory: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Compute the Jacobian in blocks of rows that fit into memory.

    With samples, row blocks are blocks of samples, and ``"reverse"`` differentiates each sample by itself:
    its cost is that of k backward passes, however many samples there are. Without samples ``"reverse"`` takes
    one backward pass for each residual and ``"forward"`` one forward pass for each parameter, which holds the
    whole Jacobian.

    Args:
        residual: Function ``(theta, *samples) -> residuals``.
        theta: Parameters, shape (p,).
        samples: Tensors with one entry per sample in their first dimension.
        shape: Shape of the residuals, as ``evaluate`` returns them.
        mode: ``"reverse"``, ``"forward"``, or ``"auto"``, the one with fewer passes.
        memory: Bytes that a block may take; at least one sample or residual is in each.

    Yields:
        Rows (rows, p) of the Jacobian and the residuals (rows,) that came with them.
    """
    size, (count, width) = theta.numel(), shape
    row = size * theta.element_size()
    if samples:
        per = max(1, memory // (row * width))
        forward = mode == "forward" or (mode == "auto" and width > size)
        for start in range(0, count, per):
            part = [tensor[start : start + per] for tensor in samples]
            yield _forward(residual, theta, part, memory) if forward else _by_sample(residual, theta, part)
    elif mode == "forward" or (mode == "auto" and count > size and count * row <= memory):
        yield _forward(residual, theta, (), memory)
    else:
        yield from _reverse(residual, theta, max(1, memory // row))


def _by_sample(residual: Residual, theta: Tensor, samples: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    def alone(theta: Tensor, *sample: Tensor) -> tuple[Tensor, Tensor]:
        value = residual(theta, *(tensor.unsqueeze(0) for tensor in sample)).reshape(-1)
        return value, value

    of_all = vmap(jacrev(alone, has_aux=True), in_dims=(None, *(0 for _ in samples)))
    jacobian, value = of_all(theta, *samples)
    return jacobian.flatten(0, 1), value.flatten()


def _forward(
    residual: Residual, theta: Tensor, samples: Sequence[Tensor], memory: int
) -> tuple[Tensor, Tensor]:
    def flat(theta: Tensor) -> Tensor:
        return residual(theta, *samples).reshape(-1)

    value = flat(theta)
    size = theta.numel()
    jacobian = value.new_empty(value.numel(), size)
    per = max(1, memory // (16 * value.numel() * value.element_size()))  # room for what is between the layers
    for start in range(0, size, per):
        number = min(per, size - start)
        tangents = theta.new_zeros(number, size)
        tangents[:, start : start + number].diagonal().fill_(1)
        columns = vmap(lambda tangent: jvp(flat, (theta,), (tangent,))[1])(tangents)
        jacobian[:, start : start + number] = columns.T
    return jacobian, value


def _reverse(residual: Residual, theta: Tensor, per: int) -> Iterator[tuple[Tensor, Tensor]]:
    value, pull, *_ = vjp(lambda theta: residual(theta).reshape(-1), theta)
    for start in range(0, value.numel(), per):
        number = min(per, value.numel() - start)
        directions = value.new_zeros(number, value.numel())
        directions[:, start : start + number].diagonal().fill_(1)
        (rows,) = vmap(pull)(directions)
        yield rows, value.detach()[start : start + number]
