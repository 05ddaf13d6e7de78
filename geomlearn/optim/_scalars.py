"""Arithmetic on numbers that are Python floats or tensors, without branches on the values of tensors."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

Scalar: TypeAlias = float | Tensor
Count: TypeAlias = int | Tensor
Flag: TypeAlias = bool | Tensor


def exponential(x: Scalar) -> Scalar:
    """Compute e^x; infinity where it overflows."""
    if isinstance(x, Tensor):
        return torch.exp(x)
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def power(base: Scalar, exponent: Scalar) -> Scalar:
    """Compute base^exponent of a positive base; infinity where it overflows."""
    if isinstance(base, Tensor) or isinstance(exponent, Tensor):
        return base**exponent
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


def choose(flag: Flag, yes: Scalar, no: Scalar) -> Scalar:
    """Take ``yes`` where the flag is set and ``no`` elsewhere."""
    if isinstance(flag, Tensor):
        return torch.where(flag, yes, no)
    return yes if flag else no


def at_most(x: Scalar, ceiling: float) -> Scalar:
    """Lower x to a ceiling."""
    return torch.clamp(x, max=ceiling) if isinstance(x, Tensor) else min(x, ceiling)


def at_least(x: Scalar, floor: float) -> Scalar:
    """Raise x to a floor."""
    return torch.clamp(x, min=floor) if isinstance(x, Tensor) else max(x, floor)
