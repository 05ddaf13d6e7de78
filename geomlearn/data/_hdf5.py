"""Recordings in HDF5 files: our own layout, and arrays of other programs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import torch

from integrators import StateSpace

from ._arrays import Conventions, Fields, Frame, QuaternionOrder, assemble
from ._recording import Recording
from ._store import check_format, get, get_layout, optional_controls, put, reading, writing


def save_recordings(path: str | os.PathLike[str], recordings: Recording | Sequence[Recording]) -> None:
    """Write recordings to an HDF5 file, with layout and units as attributes of each array.

    Args:
        path: Where; an existing file is replaced when the new one is complete.
        recordings: One or more recordings.

    Raises:
        ValueError: If there is none.
    """
    series = [recordings] if isinstance(recordings, Recording) else list(recordings)
    if not series:
        raise ValueError("recordings: expected at least one recording, got none")
    with writing(path, "recordings") as handle:
        for number, recording in enumerate(series):
            group = handle.create_group(f"recordings/{number:06d}")
            group.attrs["name"] = recording.name
            if recording.tol is not None:
                group.attrs["tol"] = recording.tol
            put(group, "times", recording.times)
            put(group, "states", recording.states, recording.space)
            if recording.controls is not None:
                put(group, "controls", recording.controls, recording.control_space)


def load_recordings(path: str | os.PathLike[str]) -> list[Recording]:
    """Read recordings that ``save_recordings`` wrote, and check them again.

    Args:
        path: The HDF5 file.

    Returns:
        The recordings in the order in which they were written.

    Raises:
        ValueError: If the file is damaged or holds something else.
    """
    with reading(path) as handle:
        check_format(handle, "recordings")
        if "recordings" not in handle:
            raise ValueError(f"{handle.filename}: there is no group 'recordings'")
        return [_load(group) for _, group in sorted(handle["recordings"].items())]


def _load(group: h5py.Group) -> Recording:
    """One recording."""
    return Recording(
        times=get(group, "times"),
        states=get(group, "states"),
        space=get_layout(group, "states"),
        tol=float(group.attrs["tol"]) if "tol" in group.attrs else None,
        name=str(group.attrs.get("name", "recording")),
        **optional_controls(group),
    )


def from_hdf5(
    path: str | os.PathLike[str],
    datasets: Mapping[str, str],
    *,
    quaternion: QuaternionOrder | None = None,
    angular_velocity_frame: Frame | None = None,
    velocity_frame: Frame | None = None,
    control_space: StateSpace | None = None,
    project: bool = False,
    tol: float | None = None,
    dtype: torch.dtype = torch.float64,
) -> Recording:
    """Read a recording of a rigid body from arrays in an HDF5 file of another program.

    Args:
        path: The file.
        datasets: Paths inside the file of ``times``, ``orientation``, ``position``, ``velocity``,
            ``angular_velocity`` and ``controls``, with the shapes and units of ``from_arrays``; the first two
            are needed.
        quaternion: As in ``from_arrays``.
        angular_velocity_frame: As in ``from_arrays``.
        velocity_frame: As in ``from_arrays``.
        control_space: As in ``from_arrays``.
        project: As in ``from_arrays``.
        tol: As in ``from_arrays``.
        dtype: As in ``from_arrays``.

    Returns:
        The recording.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or an array is missing or wrong; the message names file, array and
            row.
    """
    known = list(Fields.__dataclass_fields__)
    unknown = [what for what in datasets if what not in known]
    lacking = [what for what in ("times", "orientation") if what not in datasets]
    if unknown or lacking:
        raise ValueError(
            f"datasets: expected 'times', 'orientation' and keys out of {known}, got {sorted(datasets)}"
        )
    fields: dict[str, Any] = {}
    with reading(path) as handle:
        for what, place in datasets.items():
            if place not in handle or not isinstance(handle[place], h5py.Dataset):
                raise ValueError(
                    f"{path}: there is no array {place!r} for {what}; the arrays are {_arrays(handle)}"
                )
            fields[what] = handle[place][...]
    how = Conventions(
        quaternion, angular_velocity_frame, velocity_frame, control_space, project, tol, dtype, str(path)
    )
    return assemble(Fields(**fields), how)


def _arrays(handle: h5py.File) -> list[str]:
    """Paths of all arrays in a file."""
    found: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(name)

    handle.visititems(visit)
    return sorted(found)
