"""Sums over the processes that share a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor

ProcessGroup: TypeAlias = Any
"""A ``torch.distributed.ProcessGroup``, None or "auto"."""


def require_group(choice: ProcessGroup) -> None:
    """Refuse a word that names no group.

    Args:
        choice: What the user gave.

    Raises:
        ValueError: If it is a word other than "auto".
    """
    if isinstance(choice, str) and choice != "auto":
        raise ValueError(f'process_group: expected "auto", None or a process group, got {choice!r}.')


def active_group(choice: ProcessGroup) -> tuple[ProcessGroup, int]:
    """Find the group to sum over, and how many processes it has.

    Args:
        choice: A group; "auto" for all processes if torch.distributed is initialised; None for no other.

    Returns:
        The group and its size, 1 where there is nothing to sum.
    """
    if choice is None or not dist.is_available() or not dist.is_initialized():
        return None, 1
    group = dist.group.WORLD if choice == "auto" else choice
    return group, dist.get_world_size(group)


def summed(tensors: list[Tensor], group: ProcessGroup) -> list[Tensor]:
    """Add tensors up over the processes of a group, in one message for each dtype and device.

    Args:
        tensors: Tensors, as many and of the same shapes in each process.
        group: The group.

    Returns:
        The sums, new tensors.
    """
    sums = list(tensors)
    kinds = {(t.dtype, t.device): None for t in tensors}
    for kind in kinds:
        places = [i for i, t in enumerate(tensors) if (t.dtype, t.device) == kind]
        flat = torch.cat([tensors[i].reshape(-1) for i in places])
        dist.all_reduce(flat, group=group)
        parts = flat.split([tensors[i].numel() for i in places])
        for i, part in zip(places, parts, strict=True):
            sums[i] = part.view(tensors[i].shape)
    return sums


def any_nonzero(flag: Tensor, group: ProcessGroup, processes: int) -> bool:
    """Whether a number is not zero in one of the processes.

    Args:
        flag: A number, at least zero.
        group: The group.
        processes: Number of processes.

    Returns:
        The same in each process.
    """
    total = flag if processes == 1 else summed([flag], group)[0]
    return bool(total.item())


def averaged(
    parameters: list[Tensor], gradients: Mapping[Tensor, Tensor], group: ProcessGroup, processes: int
) -> dict[Tensor, Tensor]:
    """Average gradients over processes, as ``DistributedDataParallel`` does.

    Args:
        parameters: Parameters, the same in each process.
        gradients: Gradients of some of them by parameter; others count as zero.
        group: The group.
        processes: Number of processes.

    Returns:
        The averages, of parameters that have a gradient in one process at least.
    """
    own = [gradients[p] if p in gradients else torch.zeros_like(p) for p in parameters]
    held = torch.tensor([float(p in gradients) for p in parameters], device=parameters[0].device)
    *sums, held = summed([*own, held], group)
    return {p: g / processes for p, g, some in zip(parameters, sums, held.tolist(), strict=True) if some}
