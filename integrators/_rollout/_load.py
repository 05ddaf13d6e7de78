"""Reading stored rollouts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import lie

from .._state import Part, StateSpace
from ._layout import Extent, inspect
from ._result import Rollout
from ._store import read_checkpoint


def load_rollout(path: str | os.PathLike[str], in_memory: bool = False) -> Rollout:
    """Read what a rollout stored, also while it runs or after it was interrupted.

    Args:
        path: The file.
        in_memory: Whether to read all samples now. By default the tensors are maps of the file: entries are
            read when they are used, and changes of a tensor do not reach the file.

    Returns:
        The steps up to the last checkpoint; ``complete`` says whether that is all of them.
    """
    file = Path(path)
    extents, attributes, description = inspect(file)
    checkpoint = read_checkpoint(file, extents)
    done, every, observe_every = checkpoint.done, description["every"], description["observe_every"]
    samples, observed = done // every + 1, done // observe_every + 1
    batch = tuple(description["batch"])

    def read(key: str, rows: int) -> Tensor:
        return _map(file, extents[key], rows, in_memory)

    names = description["observe"]
    space = read_space(description["space"])
    return Rollout(
        times=read("times", samples),
        states=read("states", samples),
        observation_times=read("observation_times", observed)
        if names
        else torch.empty(0, dtype=torch.float64),
        observations={name: read(f"observations/{name}", observed) for name in names},
        status=torch.from_numpy(checkpoint.arrays["codes"].copy()).reshape(batch),
        failed_at=torch.from_numpy(checkpoint.arrays["failed_at"].copy()).reshape(batch),
        final=torch.from_numpy(checkpoint.arrays["final"].copy()).reshape(*batch, space.size),
        space=space,
        h=float(attributes["h"]),
        steps=done,
        backend=description["backend"],
        file=file,
        complete=done == description["steps"],
    )


def _map(file: Path, extent: Extent, rows: int, in_memory: bool) -> Tensor:
    shape = (rows, *extent.shape[1:])
    if extent.nbytes == 0:
        return torch.from_numpy(np.empty(shape, extent.dtype))
    if in_memory or extent.offset % extent.dtype.itemsize:
        count = int(np.prod(shape, dtype=np.int64))
        array = np.fromfile(file, extent.dtype, count, offset=extent.offset).reshape(shape)
    else:
        array = np.memmap(file, extent.dtype, "c", extent.offset, shape)
    return torch.from_numpy(array)


def read_space(parts: list[dict[str, Any]]) -> StateSpace:
    """Rebuild a layout from plain data.

    Args:
        parts: One entry for each part.

    Returns:
        The layout; a manifold that ``lie`` does not have becomes a plain block.
    """
    rebuilt = []
    for part in parts:
        group = getattr(lie, part["manifold"] or "", None)
        group = group if isinstance(group, lie.LieGroup) else None
        rebuilt.append(Part(part["name"], group, tuple(part["shape"]), part["unit"], part["frame"]))
    return StateSpace(*rebuilt)
