"""The weights of a model as named tensors, checked before anything changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ._errors import CheckpointError


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Copy the parameters and buffers of a model.

    Args:
        model: Any module.

    Returns:
        Name to tensor, as in ``state_dict``.

    Raises:
        TypeError: If the module keeps extra state that is not a tensor.
    """
    weights = {}
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"model: expected only tensors in its state_dict, got {type(tensor).__name__} in {name!r}"
            )
        weights[name] = tensor.detach().clone()
    return weights


def check_finite(tensors: Mapping[str, Tensor], where: str | os.PathLike[str]) -> None:
    """Refuse NaN and infinity.

    Args:
        tensors: Named tensors.
        where: What they belong to, for the message.

    Raises:
        CheckpointError: If an entry is not finite.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise CheckpointError(f"{where}: {bad} of {tensor.numel()} entries of {name!r} are not finite")


def check_weights(model: nn.Module, weights: Mapping[str, Tensor], where: Path) -> None:
    """Refuse weights that are not those of a model.

    Args:
        model: The model to load them into.
        weights: Name to tensor.
        where: File they come from, for the message.

    Raises:
        CheckpointError: If names, shapes or dtypes differ, or an entry is not finite.
    """
    own = weights_of(model)
    missing, unknown = sorted(set(own) - set(weights)), sorted(set(weights) - set(own))
    if missing or unknown:
        raise CheckpointError(
            f"{where}: not the weights of this {type(model).__name__}: missing {missing}, unknown {unknown};"
            " build the model with the configuration it was saved with"
        )
    for name, tensor in own.items():
        got = weights[name]
        if got.shape != tensor.shape:
            raise CheckpointError(
                f"{where}: {name!r}: expected shape {tuple(tensor.shape)}, got {tuple(got.shape)}"
            )
        if got.dtype != tensor.dtype:
            raise CheckpointError(
                f"{where}: {name!r}: expected {tensor.dtype}, got {got.dtype}; convert the model, e.g."
                f" model.to({got.dtype})"
            )
    check_finite(weights, where)
