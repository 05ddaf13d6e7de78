"""Layouts of states and controls as JSON, the form in which files carry them."""

from __future__ import annotations

import json
from typing import Any

import lie
from integrators import Part, StateSpace
from lie import LieGroup


def layout_to_json(space: StateSpace) -> str:
    """Write a layout as JSON.

    Args:
        space: The layout.

    Returns:
        A list of parts with their name, group, shape, unit and frame.
    """
    return json.dumps(
        [
            {
                "name": part.name,
                "group": None if part.manifold is None else part.manifold.name,
                "shape": list(part.shape),
                "unit": part.unit,
                "frame": part.frame,
            }
            for part in space.parts
        ]
    )


def layout_from_json(text: str) -> StateSpace:
    """Read a layout that ``layout_to_json`` wrote.

    Args:
        text: The JSON text.

    Returns:
        The layout.

    Raises:
        ValueError: If the text is no layout or names a group that ``lie`` does not have.
    """
    try:
        parts = [
            Part(
                str(entry["name"]),
                None if entry["group"] is None else _group(entry["group"]),
                tuple(int(length) for length in entry["shape"]),
                str(entry["unit"]),
                str(entry["frame"]),
            )
            for entry in json.loads(text)
        ]
        return StateSpace(*parts)
    except (TypeError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"layout: expected a JSON list of parts, got {text[:200]!r}") from error


def _group(name: Any) -> LieGroup:
    """The group of ``lie`` that has this name."""
    groups = {value.name: value for value in vars(lie).values() if isinstance(value, LieGroup)}
    if name not in groups:
        raise ValueError(f"layout: expected one of the groups {sorted(groups)}, got {name!r}")
    return groups[name]
