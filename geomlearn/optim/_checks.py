"""Refusals that the optimizers share."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ._manifold_parameter import ManifoldParameter
from ._motion_choice import still


def require(options: dict[str, Any], name: str, holds: bool, expected: str) -> None:
    """Refuse an option that is out of range.

    Args:
        options: All options.
        name: Which of them.
        holds: Whether it is in range.
        expected: What the range is.

    Raises:
        ValueError: If it is not.
    """
    if not holds:
        raise ValueError(f"{name}: expected {expected}, got {options[name]!r}")


def require_one_number(options: dict[str, Any], name: str) -> None:
    """Refuse a tensor of several numbers.

    Args:
        options: All options.
        name: Which of them.

    Raises:
        ValueError: If it has not one element.
    """
    value = options[name]
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"{name}: Tensor {name} must be 1-element, got shape {tuple(value.shape)}")


def refuse_sparse(optimizer: Optimizer, gradient: Tensor) -> None:
    """Refuse gradients that are not dense.

    Args:
        optimizer: Who refuses.
        gradient: The gradient.

    Raises:
        RuntimeError: If it is not dense.
    """
    if gradient.layout is not torch.strided:
        raise RuntimeError(
            f"{type(optimizer).__name__} does not take sparse gradients: its momentum is dense; use"
            " sparse=False, or torch.optim.SparseAdam for that parameter"
        )


def refuse_differentiable(group: dict[str, Any]) -> None:
    """Refuse to record steps of parameters on manifolds, which are leaves of every graph.

    Args:
        group: A group with its options.

    Raises:
        ValueError: If it is to be differentiable and holds a parameter on a manifold.
    """
    if group["differentiable"] and any(isinstance(p, ManifoldParameter) for p in group["params"]):
        raise ValueError(
            "differentiable: a ManifoldParameter is a leaf, through which no step can be recorded; use"
            " bregman_step with manifold= or spd_step, which are functions, or differentiable=False"
        )


def refuse_infinite(optimizer: Optimizer, gradient: Tensor) -> None:
    """Refuse a gradient with infinite or NaN entries, which would take a parameter off its manifold.

    Args:
        optimizer: Who refuses.
        gradient: The gradient.

    Raises:
        RuntimeError: If an entry is not finite.
    """
    if math.isfinite(gradient.sum().item()):  # one reduction, which may overflow; then look at the entries
        return
    if not bool(gradient.isfinite().all()):
        raise RuntimeError(infinite(optimizer))


def infinite(optimizer: Optimizer) -> str:
    """Say that a gradient is not finite."""
    return (
        f"{type(optimizer).__name__}: a gradient is infinite or NaN; parameters and state were left as they"
        " are. Skip such a step, clip the gradient, or take a smaller step"
    )


def refuse_changed_shapes(optimizer: Optimizer, state_dict: dict[str, Any], key: str) -> None:
    """Refuse a state that belongs to parameters of other shapes.

    Args:
        optimizer: Who is to load it.
        state_dict: The state.
        key: Entry of the state that has the shape of a velocity.

    Raises:
        ValueError: If a shape differs.
    """
    ours = [p for group in optimizer.param_groups for p in group["params"]]
    saved = [index for group in state_dict["param_groups"] for index in group["params"]]
    for index, parameter in zip(saved, ours):
        entry = state_dict["state"].get(index, {}).get(key)
        expected = still(parameter).shape
        if entry is not None and entry.shape != expected:
            raise ValueError(
                f"state_dict: {key} of parameter {index} has shape {tuple(entry.shape)}, the parameter needs"
                f" {tuple(expected)}; the state belongs to other parameters"
            )
