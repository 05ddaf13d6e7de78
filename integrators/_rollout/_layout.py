"""HDF5 files whose structure never changes after they are made.

All datasets are contiguous and get their place when the file is created. From then on only numbers are
written, at known places and without the HDF5 library, so that no interruption can damage the structure of the
file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import h5py

FORMAT = "flow map rollout 1"
ALIGNMENT = 64


@dataclass(frozen=True)
class Extent:
    """Place of a dataset.

    Attributes:
        offset: First byte in the file; meaningless for a dataset without entries.
        shape: Shape.
        dtype: Dtype.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of one entry along the first dimension."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all entries."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


Shapes = dict[str, tuple[tuple[int, ...], str]]


def create(
    path: Path, shapes: Shapes, attributes: Mapping[str, Any], description: dict[str, Any], labels: list[str]
) -> Path:
    """Make a file of empty datasets under a temporary name in the folder of ``path``.

    Args:
        path: Where the file shall be in the end.
        shapes: Shape and dtype of each dataset.
        attributes: Attributes of the file and, with a slash in their name, of datasets.
        description: Plain data that goes into the dataset ``description`` as JSON.
        labels: Names of the entries of a state.

    Returns:
        The temporary path; ``publish`` moves the file to its place.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """
    import h5py  # takes long to import, and most rollouts write no file

    if not path.parent.is_dir():
        raise FileNotFoundError(f"file: the folder {path.parent} does not exist")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        with h5py.File(name, "w", alignment_threshold=ALIGNMENT, alignment_interval=ALIGNMENT) as file:
            for key, (shape, dtype) in shapes.items():
                _contiguous(file, key, shape, dtype)
            file["labels"] = labels
            file["description"] = json.dumps(description)
            for key, value in attributes.items():
                where, _, attribute = key.rpartition("/")
                (file[where] if where else file).attrs[attribute] = value
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    return Path(name)


def _contiguous(file: h5py.File, key: str, shape: tuple[int, ...], dtype: str) -> None:
    from h5py import h5d, h5p, h5s, h5t

    settings = h5p.create(h5p.DATASET_CREATE)
    settings.set_layout(h5d.CONTIGUOUS)
    settings.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5d.FILL_TIME_NEVER)
    parents = h5p.create(h5p.LINK_CREATE)
    parents.set_create_intermediate_group(True)
    kind = h5t.py_create(np.dtype(dtype), logical=True)
    h5d.create(file.id, key.encode(), kind, h5s.create_simple(shape), settings, parents)


def publish(temporary: Path, path: Path) -> None:
    """Move a finished file to its place.

    Args:
        temporary: What ``create`` returned.
        path: The place.
    """
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)
    os.replace(temporary, path)
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def inspect(path: Path) -> tuple[dict[str, Extent], dict[str, Any], dict[str, Any]]:
    """Read the structure of a file.

    Args:
        path: The file.

    Returns:
        Places of the datasets, attributes of the file, and its description.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not one that a rollout wrote, or is damaged.
    """
    import h5py

    if not path.is_file():
        raise FileNotFoundError(f"file: there is no file {path}")
    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
            if attributes.get("format") != FORMAT:
                raise ValueError(f"file: {path} is an HDF5 file, but not one written by rollout")
            description = json.loads(file["description"][()])
            extents: dict[str, Extent] = {}
            file.visititems(lambda key, item: extents.update(_extent(key, item)))
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(f"file: {path} is damaged or not an HDF5 file ({error})") from error
    size = path.stat().st_size
    if any(extent.offset + extent.nbytes > size for extent in extents.values()):
        raise ValueError(f"file: {path} is cut off: it has {size} bytes, fewer than its datasets take")
    return extents, attributes, description


def _extent(key: str, item: Any) -> dict[str, Extent]:
    import h5py

    if not isinstance(item, h5py.Dataset) or item.dtype.kind == "O":
        return {}
    return {key: Extent(item.id.get_offset() or 0, item.shape, item.dtype)}
