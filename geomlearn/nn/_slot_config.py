"""The slots of a model in its configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from integrators import FunctionPotential, LinearPotential

from .._registry import build, registered

Description = dict[str, Any]


def _zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape, dtype=torch.float64)


_CONSTANTS: dict[str, Callable[[Description], Any]] = {
    "ConstantInertia": lambda config: torch.eye(3, dtype=torch.float64),
    "ConstantMatrix": lambda config: _zeros(*config["shape"]),
    "ConstantScalar": lambda config: 1.0,
    "LinearPotential": lambda config: LinearPotential(_zeros(3, 3), learnable=config["learnable"]),
}
"""Makers of known values by the name of the module that holds them, with placeholders for the numbers."""


def describe_slot(name: str, part: nn.Module | None) -> Description | None:
    """Plain description of what a slot holds.

    Args:
        name: Name of the slot, for the message.
        part: Its module.

    Returns:
        A dictionary of JSON values, or ``None`` for an empty slot.

    Raises:
        TypeError: If the module is of no registered class.
    """
    if part is None:
        return None
    if isinstance(part, FunctionPotential):
        part = part.function if isinstance(part.function, nn.Module) else part
    kind = type(part).__name__
    if isinstance(part, LinearPotential):
        return {"type": kind, "learnable": any(p.requires_grad for p in part.parameters())}
    if kind in _CONSTANTS:
        return {"type": kind, "shape": list(next(part.buffers()).shape)}
    config = part.config() if callable(getattr(part, "config", None)) else None  # type: ignore[operator]
    if not isinstance(config, dict) or config.get("type") not in registered():
        raise TypeError(
            f"{name}: expected a module of a registered class, so that the model can be written to a file,"
            f" got {kind}; decorate the class with geomlearn.training.register(...) and give it config() and"
            " from_config(), or save state_dict() yourself and rebuild the model in code"
        )
    return config


def fill_slot(config: Description | None) -> Any:
    """Make again what a slot held; the numbers are to be loaded.

    Args:
        config: What ``describe_slot`` returned.

    Returns:
        A constant, a module, or ``None``.
    """
    if config is None:
        return None
    if config["type"] in _CONSTANTS:
        return _CONSTANTS[config["type"]](config)
    return build(config)
