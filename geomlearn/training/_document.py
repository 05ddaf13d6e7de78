"""One file with tensors and a JSON description, as safetensors with the JSON and a checksum inside."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from .._files import atomic_write
from ._errors import CheckpointError

FORMAT = 1
SUFFIX = ".safetensors"

_KEY = "geomlearn"

_DTYPES = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool}
    | {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
)


@dataclass(frozen=True)
class Document:
    """Content of a file.

    Attributes:
        path: The file.
        kind: ``"model"`` or ``"checkpoint"``.
        info: The JSON description.
        tensors: The tensors, on the CPU.
    """

    path: Path
    kind: str
    info: dict[str, Any]
    tensors: dict[str, Tensor]

    def section(self, prefix: str) -> dict[str, Tensor]:
        """Take the tensors whose name starts with ``prefix`` and a dot.

        Args:
            prefix: First word of the names.

        Returns:
            The tensors under the rest of their names.
        """
        start = prefix + "."
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def write_document(
    path: str | os.PathLike[str], kind: str, info: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a file atomically, and beside it a copy of its description, ``.json``, for people to read.

    Nothing ever reads the copy back. A reader of the file sees the old content or the new one, also after a
    crash.

    Args:
        path: File to write; its name ends in ``.safetensors``.
        kind: What the file holds.
        info: Description of plain JSON values.
        tensors: Tensors of any device and layout; they are copied.

    Raises:
        TypeError: If a tensor has a dtype that the file format has not.
    """
    target = checked_path(path)
    copies = {}
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES or tensor.layout is not torch.strided:
            raise TypeError(
                f"{name}: expected a dense tensor of real numbers, got {tensor.dtype}, {tensor.layout}"
            )
        copies[name] = tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    text = json.dumps(info, allow_nan=False)
    header = {"format": FORMAT, "kind": kind, "sha256": _digest(kind, text, copies), "info": text}
    # One entry alone: the order of several would differ from one writing to the next.
    data = to_bytes(copies, {_KEY: json.dumps(header)})
    readable = {"copy_of": target.name, "kind": kind, "sha256": header["sha256"], **info}
    with atomic_write(target) as temporary:
        temporary.write_bytes(data)
    with atomic_write(target.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(readable, indent=1) + "\n", encoding="utf-8")


def read_document(path: str | os.PathLike[str], kinds: Collection[str]) -> Document:
    """Read a file and check that it is whole.

    Args:
        path: File written by ``write_document``.
        kinds: Kinds of content that the caller can use.

    Returns:
        The content.

    Raises:
        CheckpointError: If the file is truncated or damaged, of another kind, or of a newer format.
        FileNotFoundError: If there is no such file.
    """
    source = checked_path(path)
    if not source.is_file():
        raise FileNotFoundError(f"path: no file {source}")
    try:
        with safe_open(source, framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(_damaged(source, str(error))) from error
    if _KEY not in metadata:
        raise CheckpointError(
            f"{source}: not written by geomlearn.training; expected its entry in the metadata"
        )
    try:
        header = json.loads(metadata[_KEY])
        version, kind, text = header["format"], header.get("kind"), header.get("info")
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(_damaged(source, str(error))) from error
    if version != FORMAT:
        raise CheckpointError(
            f"{source}: format version {version}, this library reads {FORMAT}; update the library"
        )
    if header.get("sha256") != _digest(kind, text, tensors):
        raise CheckpointError(_damaged(source, "the content does not match its checksum"))
    if kind not in kinds:
        raise CheckpointError(
            f"{source}: expected a file of kind {' or '.join(sorted(kinds))}, got kind {kind}"
        )
    return Document(source, kind, json.loads(text), tensors)


def checked_path(path: str | os.PathLike[str]) -> Path:
    """Refuse a name that does not say what the file is.

    Args:
        path: Path of a file.

    Returns:
        The path.

    Raises:
        ValueError: If the name does not end in ``.safetensors``.
    """
    checked = Path(path)
    if checked.suffix != SUFFIX:
        raise ValueError(f"path: expected a name ending in {SUFFIX}, got {checked}")
    return checked


def _damaged(path: Path, why: str) -> str:
    return (
        f"{path}: truncated or damaged ({why}); nothing was loaded or changed. Restore the file from a"
        " copy, load the"
        " other one of best.safetensors and last.safetensors, or remove it and start again"
    )


def _digest(kind: str, text: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    digest.update(repr((kind, text)).encode())
    return digest.hexdigest()
