"""What makes a run the run it is: settings that a resumed run must share with its checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ._errors import CheckpointError
from ._tree import encode

_MOVING = ("params", "lr")


def settings_of(
    states: Tensor,
    controls: Tensor | None,
    loss: Any,
    optimizer: Optimizer,
    **plain: Any,
) -> dict[str, Any]:
    """Describe a run by plain JSON values that can be compared.

    Args:
        states: States of all windows.
        controls: Inputs of all windows.
        loss: Loss function.
        optimizer: The optimizer before its first step.
        **plain: Further settings, already plain JSON values.

    Returns:
        Name to description.
    """
    groups = [{k: v for k, v in group.items() if k not in _MOVING} for group in optimizer.param_groups]
    extra: dict[str, Tensor] = {}
    hyper = encode(groups, extra, "tensor")
    return {
        "windows": _fingerprint(states, controls),
        "loss": repr(loss)
        if isinstance(loss, nn.Module)
        else getattr(loss, "__qualname__", type(loss).__qualname__),
        "optimizer": type(optimizer).__name__,
        "hyperparameters": {"groups": hyper, "tensors": {name: t.tolist() for name, t in extra.items()}},
        **plain,
    }


def check_settings(saved: dict[str, Any], own: dict[str, Any], path: Path) -> None:
    """Refuse to go on with a run under other settings.

    Args:
        saved: Settings in the checkpoint.
        own: Settings asked for now.
        path: The checkpoint.

    Raises:
        CheckpointError: If one differs.
    """
    different = [name for name in own if saved.get(name) != own[name]]
    if different:
        lines = "; ".join(
            f"{name}: {saved.get(name)!r} in the checkpoint, {own[name]!r} now" for name in different
        )
        raise CheckpointError(
            f"{path}: this is another run ({lines}). Resume with the settings of the checkpoint, or start a"
            " new run in"
            " another checkpoint_dir from its weights: load_weights(model, path)"
        )


def _fingerprint(states: Tensor, controls: Tensor | None) -> str:
    digest = hashlib.sha256()
    for tensor in (states, controls):
        if tensor is not None:
            digest.update(repr((tuple(tensor.shape), str(tensor.dtype))).encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
