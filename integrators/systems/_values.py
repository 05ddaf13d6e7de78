"""Values of named parameters of a system, kept by the system as buffers or trained parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real

import torch
from torch import Tensor, nn


def register_values(system: nn.Module, given: Mapping[str, float | Tensor], dtype: torch.dtype) -> list[str]:
    """Register one number for each name as ``value_<name>``.

    Args:
        system: What keeps them.
        given: Numbers by name; an ``nn.Parameter`` is registered as such, others become buffers.
        dtype: Floating-point type of the buffers.

    Returns:
        The names in order.

    Raises:
        ValueError: If a value is not one finite number.
    """
    for name, value in given.items():
        if not isinstance(value, Tensor | Real):
            raise ValueError(f"parameters[{name!r}]: expected one finite number, got {value!r}")
        tensor = value if isinstance(value, Tensor) else torch.tensor(float(value), dtype=dtype)
        if tensor.numel() != 1 or not bool(torch.isfinite(tensor.detach()).all()):
            raise ValueError(f"parameters[{name!r}]: expected one finite number, got {value}")
        if isinstance(tensor, nn.Parameter):
            system.register_parameter(f"value_{name}", tensor)
        else:
            system.register_buffer(f"value_{name}", tensor.to(dtype).detach().clone().reshape(()))
    if not given:
        system.register_buffer("_like", torch.zeros((), dtype=dtype))
    return list(given)


def stack_values(system: nn.Module, names: Sequence[str]) -> Tensor:
    """Put registered values side by side.

    Args:
        system: What keeps them.
        names: Their names.

    Returns:
        Shape ``(number of names,)``.
    """
    if not names:
        return system._like.new_zeros(0)  # type: ignore[operator]
    return torch.stack([getattr(system, f"value_{name}").reshape(()) for name in names])
