"""What the parts of a composition must have in common, and what is done with each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .._flow import Carry, FlowMap


def total_time(parts: Sequence[FlowMap]) -> float:
    """Time that maps take one after another.

    Args:
        parts: The maps.

    Returns:
        The sum of their times.
    """
    return math.fsum(part.duration for part in parts)


def require_one_space(parts: Sequence[FlowMap]) -> None:
    """Refuse maps that cannot be applied one after another.

    Args:
        parts: The maps.

    Raises:
        TypeError: If one is no flow map.
        ValueError: If there is none, or they live in different spaces or have different inputs.
    """
    if not parts:
        raise ValueError("maps: expected at least one flow map, got none")
    for part in parts:
        if not isinstance(part, FlowMap):
            raise TypeError(f"maps: expected flow maps, got {type(part).__name__}")
    first = parts[0]
    driven: FlowMap | None = None
    for part in parts:
        if part.space != first.space:
            raise ValueError(
                f"maps: expected maps on one state space, got {type(first).__name__} on {first.space} and "
                f"{type(part).__name__} on {part.space}"
            )
        if part.control_size and driven is not None and part.control_size != driven.control_size:
            raise ValueError(
                f"maps: expected maps with the same inputs or none, got {type(driven).__name__} with "
                f"{driven.control_size} and {type(part).__name__} with {part.control_size}"
            )
        driven = part if part.control_size else driven


def keep_failed(old: Carry, new: Carry, failed: Tensor) -> Carry:
    """Take the new carry, but the old one where a trajectory has failed.

    Args:
        old: Carry before a step.
        new: Carry after it.
        failed: Which trajectories failed ``(...)``.

    Returns:
        A carry.
    """
    if isinstance(new, Tensor):
        if not isinstance(old, Tensor) or new.shape[: failed.ndim] != failed.shape or new.shape != old.shape:
            return new
        return torch.where(failed.reshape(*failed.shape, *[1] * (new.ndim - failed.ndim)), old, new)
    if new is None or old is None:
        return new
    items = [keep_failed(a, b, failed) for a, b in zip(old, new, strict=True)]
    return type(new)(*items) if hasattr(new, "_fields") else tuple(items)
