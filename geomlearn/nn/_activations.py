"""Activation functions of perceptrons in torch operations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Activation = tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor, Tensor], Tensor]]


def _silu_back(back: Tensor, s: Tensor, _: Tensor) -> Tensor:
    g = torch.sigmoid(s)
    return back * (g * (1 + s * (1 - g)))


ACTIVATIONS: dict[str, Activation] = {
    "tanh": (torch.tanh, lambda back, _, y: torch.addcmul(back, back * y, y, value=-1)),
    "silu": (F.silu, _silu_back),
    "softplus": (F.softplus, lambda back, s, _: back * torch.sigmoid(s)),
    "sin": (torch.sin, lambda back, s, _: back * torch.cos(s)),
}
"""Value of ``s``, and a cotangent times the slope from the cotangent, ``s`` and the value."""
