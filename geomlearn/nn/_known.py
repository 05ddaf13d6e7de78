"""What is known of the scale of a model, and moving that scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import nn

from integrators import LinearPotential


def is_known(part: nn.Module, may_vanish: bool) -> bool:
    """Whether a part holds its own scale, so that it settles the common factor of all parts.

    Args:
        part: The module in a slot.
        may_vanish: Whether the part can be zero, which settles nothing; an inertia or mass cannot.

    Returns:
        True if its scale is fixed, or nothing in it is learned and it is not zero.
    """
    if getattr(part, "scale_is_known", False):
        return True
    if any(parameter.requires_grad for parameter in part.parameters()):
        return False
    return not (may_vanish and is_zero(part))


def is_zero(part: nn.Module) -> bool:
    """Whether a potential, gain or damping vanishes because all its numbers do.

    Args:
        part: The module in a slot.

    Returns:
        True if it has numbers and all are zero.
    """
    tensors = [*part.parameters(), *part.buffers()]
    return bool(tensors) and not any(bool(tensor.any()) for tensor in tensors)


def can_rescale(part: nn.Module) -> bool:
    """Whether ``rescale`` can multiply the part by a number.

    Args:
        part: The module in a slot.

    Returns:
        True if it can.
    """
    learned_field = isinstance(part, LinearPotential) and any(True for _ in part.parameters())
    return learned_field or callable(getattr(part, "rescale_", None))


def rescale(part: nn.Module, factor: float) -> None:
    """Multiply a part by a number, in place.

    Args:
        part: A module with ``rescale_``, or a learned uniform field.
        factor: The number.
    """
    if isinstance(part, LinearPotential):
        with torch.no_grad():
            for coefficient in (part.orientation, part.position):
                coefficient.mul_(factor)
    else:
        cast(Callable[[float], None], part.rescale_)(factor)
