"""The function ``(exp(z) - 1) / z`` of exactly solved linear equations, in torch and in kernels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .kernels import KernelBuilder

_TERMS = 18  # of the series, below rounding for |z| < 1
_COEFFICIENTS = [1 / math.factorial(k + 1) for k in range(_TERMS)]


def exponential_ratio(z: Tensor) -> Tensor:
    """Compute ``(exp(z) - 1) / z``, 1 at zero, accurate and differentiable everywhere.

    Args:
        z: Numbers.

    Returns:
        The same shape.
    """
    small = z.abs() < 1
    near, far = torch.where(small, z, 0.0), torch.where(small, 1.0, z)
    series = torch.full_like(z, _COEFFICIENTS[-1])
    for c in _COEFFICIENTS[-2::-1]:
        series = series * near + c
    return torch.where(small, series, torch.expm1(far) / far)


def emit_exponential_ratio(builder: KernelBuilder) -> str:
    """Bring ``(exp(z) - 1) / z`` into a kernel.

    Args:
        builder: The kernel.

    Returns:
        The name of the function, of one argument.
    """
    lines = [
        "def exponential_ratio(z):",
        "    small = abs(z) < 1.0",
        "    near = z if small else 0.0",
        "    far = 1.0 if small else z",
        f"    series = {_COEFFICIENTS[-1]!r}",
        *(f"    series = series * near + {c!r}" for c in _COEFFICIENTS[-2::-1]),
        "    return series if small else (exponential(far) - 1.0) / far",
    ]
    builder.functions.setdefault("exponential_ratio", "\n".join(lines))
    return "exponential_ratio"
