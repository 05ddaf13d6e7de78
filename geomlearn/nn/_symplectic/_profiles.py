"""Scalar functions of symplectic layers, with their slopes, in torch and in kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Profile:
    """A function of one number.

    Attributes:
        value: Computes it.
        both: Computes it and its slope.
        code: Statements that compute ``y`` from ``s``.
    """

    value: Callable[[Tensor], Tensor]
    both: Callable[[Tensor], tuple[Tensor, Tensor]]
    code: tuple[str, ...]


def _tanh(s: Tensor) -> tuple[Tensor, Tensor]:
    t = torch.tanh(s)
    return t, 1 - t * t


def _tanh_slope(s: Tensor) -> tuple[Tensor, Tensor]:
    t = torch.tanh(s)
    value = 1 - t * t
    return value, -2 * t * value


def _sigmoid(s: Tensor) -> tuple[Tensor, Tensor]:
    g = torch.sigmoid(s)
    return g, g * (1 - g)


def _sigmoid_slope(s: Tensor) -> tuple[Tensor, Tensor]:
    g = torch.sigmoid(s)
    value = g * (1 - g)
    return value, value * (1 - 2 * g)


def _sin(s: Tensor) -> tuple[Tensor, Tensor]:
    return torch.sin(s), torch.cos(s)


def _sin_slope(s: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cos(s), -torch.sin(s)


ACTIVATIONS: dict[str, tuple[Profile, Profile]] = {
    "tanh": (
        Profile(torch.tanh, _tanh, ("y = hyperbolic_tangent(s)",)),
        Profile(
            lambda s: 1 - torch.tanh(s).square(),
            _tanh_slope,
            ("t = hyperbolic_tangent(s)", "y = 1.0 - t * t"),
        ),
    ),
    "sigmoid": (
        Profile(torch.sigmoid, _sigmoid, ("y = logistic(s)",)),
        Profile(lambda s: _sigmoid(s)[1], _sigmoid_slope, ("t = logistic(s)", "y = t - t * t")),
    ),
    "sin": (
        Profile(torch.sin, _sin, ("y = sine(s)",)),
        Profile(torch.cos, _sin_slope, ("y = cosine(s)",)),
    ),
}
"""Each activation, and its slope."""


def activation(name: str) -> tuple[Profile, Profile]:
    """Find an activation and its slope.

    Args:
        name: Name of the activation.

    Returns:
        The two functions.

    Raises:
        ValueError: If it is not known.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation: expected one of {sorted(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]
