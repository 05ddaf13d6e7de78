"""Saving a model and getting it back, without pickle and without code in the file."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .._registry import build, config_of
from ._document import read_document, write_document
from ._errors import CheckpointError
from ._weights import check_finite, check_weights, weights_of

_KINDS = ("model", "checkpoint")


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the weights of a model, and its configuration when it has one.

    The file is safetensors with a JSON description in its metadata; a readable copy of the description lies
    beside it, with the ending ``.json``. The write is atomic.

    Args:
        model: Any module; with a ``config()`` method and a registered class it can be rebuilt by ``load``.
        path: File to write; its name ends in ``.safetensors``.
    """
    write_weights(path, weights_of(model), config_of(model), {})


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load weights into a model built by the caller.

    Args:
        model: A model of the same structure and dtype as the saved one.
        path: File written by ``save``, or a checkpoint of ``fit``.

    Raises:
        CheckpointError: If the file is damaged, or names, shapes or dtypes differ, or an entry is not finite;
            the model is then unchanged.
        FileNotFoundError: If there is no such file.
    """
    document = read_document(path, _KINDS)
    weights = document.section("model")
    check_weights(model, weights, document.path)
    model.load_state_dict(weights)


def load(path: str | os.PathLike[str]) -> nn.Module:
    """Rebuild a saved model: its class is looked up among the registered ones and its weights are loaded.

    Args:
        path: File written by ``save``, or a checkpoint of ``fit``.

    Returns:
        The model, in the dtype it was saved in.

    Raises:
        CheckpointError: If the file is damaged, holds no configuration, or does not fit the class.
        FileNotFoundError: If there is no such file.
        ValueError: If the class is not registered.
    """
    document = read_document(path, _KINDS)
    config = document.info.get("config")
    if config is None:
        raise CheckpointError(
            f"{document.path}: holds weights but no configuration, because the model had no config(); build"
            " the model"
            " yourself and use load_weights(model, path)"
        )
    model = build(config)
    weights = document.section("model")
    dtypes = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    if len(dtypes) == 1:
        model = model.to(dtypes.pop())
    check_weights(model, weights, document.path)
    model.load_state_dict(weights)
    return model


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the JSON description of a model file or checkpoint.

    Args:
        path: File written by ``save`` or ``fit``.

    Returns:
        Configuration, versions and, for a checkpoint, step, settings and history without its series.
    """
    return read_document(path, _KINDS).info


def write_weights(
    path: str | os.PathLike[str],
    weights: Mapping[str, Tensor],
    config: dict[str, Any] | None,
    info: Mapping[str, Any],
) -> None:
    """Write a model file from weights at hand.

    Args:
        path: File to write.
        weights: Name to tensor.
        config: Configuration of the model, if any.
        info: Further entries of the description.
    """
    check_finite(weights, "model")
    content = {"model." + name: tensor for name, tensor in weights.items()}
    write_document(path, "model", {"config": config, "versions": versions(), **info}, content)


def versions() -> dict[str, str]:
    """Say what wrote a file.

    Returns:
        Versions of Python and torch.
    """
    return {"python": platform.python_version(), "torch": str(torch.__version__)}
