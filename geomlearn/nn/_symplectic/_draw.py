"""First values of the weights of symplectic layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_CUT = 0.87962566103423978
"""Deviation of a normal variable of deviation 1 that is cut off at 2."""


def glorot(
    shape: tuple[int, ...],
    fans: tuple[int, int],
    gain: float,
    dtype: torch.dtype,
    generator: torch.Generator | None,
) -> nn.Parameter:
    """Draw from Glorot's normal distribution, cut off at two deviations as in Keras.

    Args:
        shape: Shape of the weights.
        fans: Numbers of inputs and outputs.
        gain: Factor on the numbers.
        dtype: Floating-point type.
        generator: Source of the random numbers.

    Returns:
        The weights.
    """
    deviation = math.sqrt(2 / sum(fans)) / _CUT
    weights = torch.empty(shape, dtype=dtype)
    nn.init.trunc_normal_(weights, 0.0, deviation, -2 * deviation, 2 * deviation, generator)
    return nn.Parameter(gain * weights)


def normal(
    shape: tuple[int, ...], deviation: float, dtype: torch.dtype, generator: torch.Generator | None
) -> nn.Parameter:
    """Draw from a normal distribution.

    Args:
        shape: Shape of the weights.
        deviation: Its standard deviation.
        dtype: Floating-point type.
        generator: Source of the random numbers.

    Returns:
        The weights.
    """
    drawn: Tensor = torch.randn(shape, dtype=dtype, generator=generator)
    return nn.Parameter(deviation * drawn)
