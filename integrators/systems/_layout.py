"""Layout of the states of systems whose variables have names of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import sympy

from .._state import Part, vector

Units = str | Mapping[str, str]


def variable_parts(variables: Sequence[sympy.Symbol], units: Units) -> list[Part]:
    """Make parts of a state space of named variables.

    Variables ``x1, x2, ...`` that follow each other and share a unit are one part ``x``; any other variable
    is a part of its own, a scalar.

    Args:
        variables: The variables in order.
        units: One unit for all, or units by name; what has none is dimensionless.

    Returns:
        The parts.

    Raises:
        ValueError: If a unit is given for an unknown variable.
    """
    names = [s.name for s in variables]
    strangers = sorted(set(units) - set(names)) if isinstance(units, Mapping) else []
    if strangers:
        raise ValueError(f"units: expected names among {', '.join(names)}, got {', '.join(strangers)}")
    parts: list[Part] = []
    k = 0
    while k < len(names):
        unit = _unit(units, names[k])
        last = _last_of_family(names, k)
        while any(_unit(units, name) != unit for name in names[k : last + 1]):
            last -= 1
        stem = names[k].rstrip("0123456789").rstrip("_")
        if last > k and stem not in ("t", *names, *(part.name for part in parts)):
            parts.append(vector(stem, last + 1 - k, unit))
        else:
            last = k
            parts.append(Part(names[k], unit=unit))
        k = last + 1
    return parts


def _unit(units: Units, name: str) -> str:
    return units.get(name, "1") if isinstance(units, Mapping) else units


def _last_of_family(names: Sequence[str], first: int) -> int:
    """Index of the last of ``x1, x2, ...`` that begins here; the first itself where none does."""
    match = re.fullmatch(r"([A-Za-z_]*[A-Za-z])_?1", names[first])
    last = first
    while match and last + 1 < len(names):
        if not re.fullmatch(rf"{match.group(1)}_?{last + 2 - first}", names[last + 1]):
            break
        last += 1
    return last
