"""Symplectic layers one after another at one strength."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._symplectic import SymplecticLayer
from .._symplectic._layer import Strength


def run(layers: Sequence[SymplecticLayer], z: Tensor, strength: Strength) -> Tensor:
    """Apply layers in turn.

    Args:
        layers: The layers.
        z: States ``(..., 2 d)``.
        strength: Strength of each.

    Returns:
        States ``(..., 2 d)``.
    """
    for layer in layers:
        z = layer(z, strength)
    return z


def run_back(layers: Sequence[SymplecticLayer], z: Tensor, strength: Strength) -> Tensor:
    """Undo ``run``.

    Args:
        layers: The layers.
        z: States ``(..., 2 d)``.
        strength: Strength of each.

    Returns:
        States ``(..., 2 d)``.
    """
    for layer in reversed(layers):
        z = layer.inverse(z, strength)
    return z


def jacobian(layers: Sequence[SymplecticLayer], z: Tensor, strength: Strength) -> Tensor:
    """Derivative of ``run``, the product of the layers' derivatives.

    Args:
        layers: The layers.
        z: States ``(..., 2 d)``.
        strength: Strength of each.

    Returns:
        Matrices ``(..., 2 d, 2 d)``.
    """
    total = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device).expand(*z.shape[:-1], -1, -1)
    for layer in layers:
        total = layer.jacobian(z, strength) @ total
        z = layer(z, strength)
    return total
