"""What an exported file says about itself."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from .._registry import config_of
from ._target import Target

FORMAT = 1
KEY = "geomlearn"


def describe_target(target: Target) -> dict[str, Any]:
    """Put together the description of an exported quantity.

    Args:
        target: What is exported.

    Returns:
        A dictionary of JSON values.
    """
    model = target.model
    config, missing = _config(model)
    state = [
        {
            "name": part.name,
            "start": target.space.slices[part.name].start,
            "shape": list(part.shape),
            "unit": part.unit,
            "frame": part.frame,
            "manifold": None if part.manifold is None else str(part.manifold),
        }
        for part in target.space.parts
    ]
    return {
        "format": FORMAT,
        "model": type(model).__name__,
        "quantity": target.quantity,
        "h": getattr(model, "h", None),
        "steps": target.steps,
        "dtype": str(target.dtype).removeprefix("torch."),
        "inputs": target.inputs,
        "output": target.output,
        "state": state,
        "controls": target.controls,
        "config": config,
        **({} if missing is None else {"config_missing": missing}),
        "versions": {"torch": str(torch.__version__)},
    }


def _config(model: Any) -> tuple[dict[str, Any] | None, str | None]:
    """The configuration of a model, or the reason why there is none."""
    name = type(model).__name__
    try:
        config = config_of(model)
    except TypeError as error:
        return None, f"{name}.config() failed: {error}"
    return config, f"{name} has no config()" if config is None else None


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the description of an exported file.

    In other languages it is the text under ``"geomlearn"`` in the metadata of the ONNX model.

    Args:
        path: File written by ``to_onnx`` or ``to_program``.

    Returns:
        ``model`` and ``quantity``, the step ``h`` and the number of ``steps``, ``dtype``, names of ``inputs``
        and ``output``, the parts of a ``state`` with their place, shape, unit, frame and manifold, the number
        of ``controls``, the ``config`` of the model, or None with the reason under ``config_missing``, which
        names the class, and ``versions``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no description.
    """
    file = Path(path)
    text = _from_archive(file) if zipfile.is_zipfile(file) else _from_onnx(file)
    if text is None:
        raise ValueError(
            f"path: expected a file written by geomlearn.export, got {file}, which has no description"
        )
    description: dict[str, Any] = json.loads(text)
    return description


def _from_archive(file: Path) -> str | None:
    with zipfile.ZipFile(file) as archive:
        found = [name for name in archive.namelist() if name.endswith(f"extra/{KEY}.json")]
        return archive.read(found[0]).decode() if found else None


def _from_onnx(file: Path) -> str | None:
    from ._onnx import need

    onnx = need("onnx")
    try:
        model = onnx.load_model_from_string(file.read_bytes())
    except Exception as error:  # protobuf's own classes
        raise ValueError(f"path: expected an ONNX or .pt2 file, got {file}: {error}") from error
    return {entry.key: entry.value for entry in model.metadata_props}.get(KEY)
