"""Windows and recordings in HDF5 files, with layout and units in the attributes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import torch
from torch import Tensor

from integrators import StateSpace

from .._files import atomic_write
from ._layout import layout_from_json, layout_to_json

if TYPE_CHECKING:
    from ._windows import Windows

VERSION = 1


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; whatever HDF5 cannot read becomes one kind of error.

    Args:
        path: The file.

    Yields:
        The open file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, damaged or not HDF5.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"path: there is no file {file}")
    try:
        with h5py.File(file, "r") as handle:
            yield handle
    except OSError as error:
        raise ValueError(
            f"{file}: cannot be read; the file is truncated, damaged or not HDF5 ({error})"
        ) from error


@contextmanager
def writing(path: str | os.PathLike[str], kind: str) -> Iterator[h5py.File]:
    """Open an HDF5 file that takes its place when it is complete.

    The file is put together in memory and written in one piece: HDF5 cannot recover from a full disk,
    and takes the whole process down.

    Args:
        path: Where the file shall be.
        kind: What the file holds, ``"windows"`` or ``"recordings"``.

    Yields:
        The open file.
    """
    with h5py.File(os.fspath(path), "w", driver="core", backing_store=False) as handle:
        handle.attrs.update({"format": f"geomlearn.{kind}", "version": VERSION, "time_unit": "s"})
        yield handle
        handle.flush()
        content = handle.id.get_file_image()
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def check_format(handle: h5py.File, kind: str) -> None:
    """Refuse a file that holds something else or was written by a later version.

    Args:
        handle: An open file.
        kind: What it should hold.

    Raises:
        ValueError: If it does not.
    """
    found, version = handle.attrs.get("format"), handle.attrs.get("version")
    if found != f"geomlearn.{kind}":
        raise ValueError(
            f"{handle.filename}: expected a file of {kind} (attribute format = 'geomlearn.{kind}'), got"
            f" {found!r};"
            " read files of other programs with geomlearn.data.from_hdf5"
        )
    if version != VERSION:
        raise ValueError(
            f"{handle.filename}: expected format version {VERSION}, got {version}; update geomlearn"
        )


def put(group: h5py.Group, name: str, values: Tensor, layout: StateSpace | None = None) -> None:
    """Write one array with a checksum, and its layout with units.

    Args:
        group: Where to.
        name: Name of the array.
        values: The array.
        layout: Layout of its last dimension.
    """
    array = group.create_dataset(name, data=values.detach().cpu().numpy(), chunks=True, fletcher32=True)
    if layout is not None:
        array.attrs["layout"] = layout_to_json(layout)
        array.attrs["units"] = "; ".join(
            f"{part.name} [{part.unit}]" + (f" in the {part.frame} frame" if part.frame else "")
            for part in layout.parts
        )


def get(group: h5py.Group, name: str) -> Tensor:
    """Read one array.

    Args:
        group: Where from.
        name: Name of the array.

    Returns:
        The array with the dtype it has in the file.

    Raises:
        ValueError: If there is no such array.
    """
    if name not in group or not isinstance(group[name], h5py.Dataset):
        raise ValueError(
            f"{group.file.filename}: there is no array {name!r} in {group.name}, only {sorted(group)}"
        )
    return torch.from_numpy(group[name][...])


def get_layout(group: h5py.Group, name: str) -> StateSpace:
    """Read the layout of an array.

    Args:
        group: Where from.
        name: Name of the array.

    Returns:
        The layout.

    Raises:
        ValueError: If the array or its layout is missing.
    """
    if name not in group or "layout" not in group[name].attrs:
        raise ValueError(
            f"{group.file.filename}: the array {name!r} in {group.name} or its attribute 'layout' is missing"
        )
    return layout_from_json(group[name].attrs["layout"])


def optional_controls(group: h5py.Group) -> Mapping[str, Any]:
    """Read the controls and their layout, if there are any.

    Args:
        group: Where from.

    Returns:
        ``controls`` and ``control_space``.
    """
    if "controls" not in group:
        return {"controls": None, "control_space": None}
    return {"controls": get(group, "controls"), "control_space": get_layout(group, "controls")}


def save_windows(path: str | os.PathLike[str], windows: Windows) -> None:
    """Write windows to an HDF5 file.

    Args:
        path: Where.
        windows: What.
    """
    with writing(path, "windows") as handle:
        handle.attrs["h"] = windows.h
        if windows.tol is not None:
            handle.attrs["tol"] = windows.tol
        put(handle, "states", windows.states, windows.space)
        put(handle, "recording", windows.recording)
        if windows.controls is not None:
            put(handle, "controls", windows.controls, windows.control_space)


def load_windows(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the fields of windows from an HDF5 file.

    Args:
        path: The file.

    Returns:
        The arguments of ``Windows``.

    Raises:
        ValueError: If the file is damaged or holds something else.
    """
    with reading(path) as handle:
        check_format(handle, "windows")
        if "h" not in handle.attrs:
            raise ValueError(f"{handle.filename}: the attribute 'h' is missing")
        return {
            "states": get(handle, "states"),
            "h": float(handle.attrs["h"]),
            "space": get_layout(handle, "states"),
            "recording": get(handle, "recording"),
            "tol": float(handle.attrs["tol"]) if "tol" in handle.attrs else None,
            **optional_controls(handle),
        }
