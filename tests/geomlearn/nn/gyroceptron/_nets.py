"""Gyroceptrons whose layers are large, so that nothing holds only because weights are small."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from geomlearn.nn import Gyroceptron

from .._models import generator

GOLDEN = math.pi * (math.sqrt(5) - 1)
"""The golden mean of a turn, the angle farthest from all resonances."""


def henon_net(
    seed: int = 2, epsilon: float | str = 0.01, angle: float = GOLDEN, **options: Any
) -> Gyroceptron:
    """Hénon layers with weights of the size of one; the slow pair stays near for seed 2."""
    sizes: dict[str, Any] = {
        "near_identity_size": (3, 5),
        "psi": "henon",
        "psi_size": (4, 6),
        "psi_gain": 1.0,
    }
    return Gyroceptron(4, epsilon, (1, 0), angle, "henon", generator=generator(seed), **(sizes | options))


def published_net(seed: int, epsilon: float, angle: float, dtype: torch.dtype) -> Gyroceptron:
    """The sizes of the published model, all weights of the size of one."""
    return Gyroceptron(
        4, epsilon, (1, 0), angle, "henon", psi="henon", psi_gain=1.0, dtype=dtype, generator=generator(seed)
    )


def starts() -> Tensor:
    """Three states in the box of size one."""
    return 2 * torch.rand(3, 4, generator=generator(1002), dtype=torch.float64) - 1


def with_parameter(z: Tensor, *values: float) -> Tensor:
    """States ``(values, ..., 5)`` with each value of the parameter in the last entry."""
    epsilon = torch.tensor(values, dtype=z.dtype).reshape(-1, *[1] * (z.ndim - 1), 1)
    return torch.cat((z.expand(len(values), *z.shape), epsilon.expand(len(values), *z.shape[:-1], 1)), -1)
