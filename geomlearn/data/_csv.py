"""Recordings from CSV files."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from integrators import StateSpace

from ._arrays import Conventions, Fields, Frame, QuaternionOrder, assemble
from ._recording import Recording

Columns = Mapping[str, str | Sequence[str]]

_WIDTHS = {"times": (1,), "orientation": (4, 9), "position": (3,), "velocity": (3,), "angular_velocity": (3,)}


def from_csv(
    path: str | os.PathLike[str],
    columns: Columns,
    *,
    delimiter: str = ",",
    quaternion: QuaternionOrder | None = None,
    angular_velocity_frame: Frame | None = None,
    velocity_frame: Frame | None = None,
    control_space: StateSpace | None = None,
    project: bool = False,
    tol: float | None = None,
    dtype: torch.dtype = torch.float64,
) -> Recording:
    """Read a recording of a rigid body from a CSV file whose first line holds the column headers.

    Args:
        path: The file, in UTF-8.
        columns: Which headers make up each of ``times`` (1), ``orientation`` (4 for quaternions, 9 for
            matrices row by row), ``position`` (3), ``velocity`` (3), ``angular_velocity`` (3) and
            ``controls`` (any number); the first two are needed, the units are those of ``from_arrays``.
        delimiter: Character between fields.
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
        ValueError: If a column is missing or a field is no number; the message names file, line and header.
    """
    wanted = check_columns(columns)
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"path: there is no file {file}")
    headers = [header for group in wanted.values() for header in group]
    lines, rows = _read(file, headers, delimiter)
    table = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(headers))
    fields: dict[str, Any] = {}
    start = 0
    for what, group in wanted.items():
        fields[what] = table[:, start : start + len(group)]
        start += len(group)
    fields["times"] = fields["times"][:, 0]
    how = Conventions(
        quaternion, angular_velocity_frame, velocity_frame, control_space, project, tol, dtype, str(file)
    )
    return assemble(Fields(**fields), how, lambda index: f"line {lines[index[0]]}")


def check_columns(columns: Columns) -> dict[str, list[str]]:
    """Refuse a mapping that does not say where the numbers are.

    Args:
        columns: What the user gave.

    Returns:
        For each quantity a list of headers.

    Raises:
        ValueError: If a quantity is unknown, missing, or has the wrong number of columns.
    """
    known = [*_WIDTHS, "controls"]
    wanted: dict[str, list[str]] = {}
    for what, headers in columns.items():
        if what not in known:
            raise ValueError(f"columns: expected keys out of {known}, got {what!r}")
        group = [headers] if isinstance(headers, str) else list(headers)
        widths = _WIDTHS.get(what)
        if (widths is not None and len(group) not in widths) or not group:
            count = "at least 1" if widths is None else " or ".join(map(str, widths))
            raise ValueError(f"columns[{what!r}]: expected {count} headers, got {len(group)}: {group}")
        wanted[what] = group
    for what in ("times", "orientation"):
        if what not in wanted:
            raise ValueError(f"columns: expected the key {what!r}, got only {sorted(columns)}")
    return wanted


def _read(file: Path, headers: Sequence[str], delimiter: str) -> tuple[list[int], list[list[float]]]:
    """Line numbers and the numbers of the wanted columns."""
    lines: list[int] = []
    rows: list[list[float]] = []
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            places, width = _find(file, [name.strip() for name in next(reader, [])], headers, delimiter)
            for fields in reader:
                if not fields:
                    continue
                if len(fields) != width:
                    raise ValueError(
                        f"{file}, line {reader.line_num}: expected {width} fields as in the header, got"
                        f" {len(fields)};"
                        " the file may be cut off there"
                    )
                lines.append(reader.line_num)
                rows.append(_numbers(file, reader.line_num, fields, places, headers))
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected text in UTF-8 ({error})") from error
    except csv.Error as error:
        raise ValueError(f"{file}, line {reader.line_num}: not readable as CSV ({error})") from error
    return lines, rows


def _find(file: Path, found: list[str], headers: Sequence[str], delimiter: str) -> tuple[list[int], int]:
    """Places of the wanted columns, and the number of columns."""
    missing = [header for header in headers if header not in found]
    if missing:
        raise ValueError(
            f"{file}, line 1: there is no column {', '.join(map(repr, missing))}; the columns, split at"
            f" {delimiter!r}, are {found}"
        )
    double = sorted({header for header in headers if found.count(header) > 1})
    if double:
        raise ValueError(
            f"{file}, line 1: the header {double[0]!r} stands over {found.count(double[0])} columns"
        )
    return [found.index(header) for header in headers], len(found)


def _numbers(
    file: Path, line: int, fields: list[str], places: list[int], headers: Sequence[str]
) -> list[float]:
    """The wanted fields of one line as finite numbers."""
    numbers = []
    for place, header in zip(places, headers, strict=True):
        text = fields[place]
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
            if text.strip().lower().lstrip("+-") != "nan":
                raise ValueError(
                    f"{file}, line {line}, column {header!r}: expected a number, got {text!r}"
                ) from None
        if not abs(number) < float("inf"):
            raise ValueError(
                f"{file}, line {line}, column {header!r}: expected a finite number, got {text!r}; remove the"
                " line and"
                " fill the gap with resample"
            )
        numbers.append(number)
    return numbers
