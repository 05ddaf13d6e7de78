"""Structures of the factors by name, with options that suit layers, and choices per layer and factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeAlias

import lie
from lie import StructuredFactor

StructureName: TypeAlias = str
Pair: TypeAlias = tuple[StructureName, StructureName]
StructureChoice: TypeAlias = StructureName | Pair | Mapping[str, StructureName | Pair]

BLOCK, CORNER, RANK = 30, 15, 10
"""Rows of a block, of each dense corner of a hierarchical factor, and of a low-rank part, by default."""

LARGEST = 8192
"""Most rows of a factor that stores a number for each pair of them."""

NAMES = ("dense", "diagonal", "block", "triangular", "hierarchical", "toeplitz", "rank")


def make_structure(name: str, n: int) -> StructuredFactor:
    """Make the structure of a factor by name, clipped to the rows that there are.

    "dense", "diagonal", "triangular" (lower), "toeplitz" (lower triangular Toeplitz), "block" or "block-30",
    "hierarchical" or "hierarchical-15-15", "rank-k" or "rank-10": the inverse of K K^T, which is what the
    second moment is fitted by, is diagonal plus that rank.

    Args:
        name: Name, with the sizes behind hyphens.
        n: Number of rows.

    Returns:
        The structure.

    Raises:
        ValueError: If there is no such name, or a size is not a positive whole number.
    """
    kind, sizes = _parsed(name)
    if kind == "block":
        (block,) = sizes or (BLOCK,)
        return lie.structured_factor("block_diagonal", n, block=min(block, n))
    if kind == "hierarchical":
        first, last = sizes or (CORNER, CORNER)
        return lie.structured_factor("hierarchical", n, k1=first, k2=last)
    if kind == "rank":
        (rank,) = sizes or (RANK,)
        return lie.structured_factor("block_upper", n, rank=min(rank, n))
    return lie.structured_factor("lower_toeplitz" if kind == "toeplitz" else kind, n)


def _parsed(name: str) -> tuple[str, tuple[int, ...]]:
    """The kind and the sizes of a name."""
    kind, *words = name.split("-") if isinstance(name, str) else ("",)
    takes = {"block": 1, "hierarchical": 2, "rank": 1}.get(kind, 0)
    if kind == "rank" and words == ["k"]:
        words = []
    sizes = tuple(int(word) for word in words if word.isdecimal())
    good = len(sizes) == len(words) and len(words) in (0, takes) and all(size > 0 for size in sizes)
    if kind not in NAMES or not good:
        raise ValueError(
            'structure must be "dense", "diagonal", "block" or "block-30", "triangular", "hierarchical" or '
            f'"hierarchical-15-15", "toeplitz", "rank-k" or "rank-10", with any sizes, got {name!r}.'
        )
    return kind, sizes


class Chosen(NamedTuple):
    """The names of the structures of one layer.

    Attributes:
        inputs: That of K.
        outputs: That of C.
    """

    inputs: str
    outputs: str


def check_choice(choice: StructureChoice) -> None:
    """Refuse a choice that names a structure that there is not.

    Args:
        choice: What the user gave.

    Raises:
        ValueError: If a name is none.
        TypeError: If the choice is no name, pair or mapping.
    """
    values = list(choice.values()) if isinstance(choice, Mapping) else [choice]
    for value in values:
        for name in _pair(value):
            _parsed(name)


def make_structures(
    chosen: Chosen, sizes: tuple[int | None, int], kind: str, groups: int = 1, largest: int = LARGEST
) -> tuple[StructuredFactor | None, StructuredFactor]:
    """Make the structures of the two factors of a layer.

    The factor of the inputs of an embedding is diagonal, as their second moment is. Outputs of different
    groups of a convolution see different inputs: their "dense", "triangular" and "block" factors have no
    block larger than a group.

    Args:
        chosen: The names.
        sizes: Rows of K, None for a layer with one factor, and of C.
        kind: The kind of the layer.
        groups: Number of groups of channels of a convolution.
        largest: Most rows of a "dense" or "triangular" factor; one that is larger is diagonal.

    Returns:
        The structures of K and C.
    """
    d_i, d_o = sizes
    inputs = None
    if d_i is not None:
        inputs = make_structure(
            "diagonal" if kind == "embedding" else _stored(chosen.inputs, d_i, largest), d_i
        )
    name = _stored(chosen.outputs, d_o // groups, largest)
    if groups > 1 and name in ("dense", "triangular"):
        name = f"block-{d_o // groups}"
    elif groups > 1 and _parsed(name)[0] == "block":
        name = f"block-{min(*(_parsed(name)[1] or (BLOCK,)), d_o // groups)}"
    return inputs, make_structure(name, d_o)


def _stored(name: str, n: int, largest: int) -> str:
    return "diagonal" if name in ("dense", "triangular") and n > largest else name


def check_patterns(choice: StructureChoice, layers: Sequence[str]) -> None:
    """Refuse a mapping with a pattern, other than "*", that no layer fits.

    Args:
        choice: What the user gave.
        layers: Names of the layers.

    Raises:
        ValueError: If there is such a pattern.
    """
    for pattern in choice if isinstance(choice, Mapping) else ():
        if pattern != "*" and not any(fnmatchcase(layer, pattern) for layer in layers):
            raise ValueError(
                f"structure: no layer with curvature has a name like {pattern!r}; the layers are "
                f"{', '.join(map(repr, layers)) or 'none'}."
            )


def choose(choice: StructureChoice, layer: str, kind: str) -> Chosen:
    """Look up the structures of a layer.

    A mapping goes from patterns of layer names, as ``fnmatch`` reads them, to structures: the first pattern
    that fits counts, and "dense" where none does. The one factor of a norm layer is diagonal unless a
    mapping names that layer other than by "*".

    Args:
        choice: A name for both factors, a pair for those of inputs and outputs, or a mapping to such.
        layer: Name of the layer.
        kind: Its kind.

    Returns:
        The names.
    """
    if not isinstance(choice, Mapping):
        return Chosen(*(("diagonal", "diagonal") if kind == "norm" else _pair(choice)))
    for pattern, value in choice.items():
        if fnmatchcase(layer, pattern) and not (kind == "norm" and pattern == "*"):
            return Chosen(*_pair(value))
    return Chosen(*(("diagonal", "diagonal") if kind == "norm" else ("dense", "dense")))


def _pair(value: object) -> Pair:
    if isinstance(value, str):
        return value, value
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return value[0], value[1]
    raise TypeError(
        "structure must be a name, a pair of names for the factors of inputs and outputs, or a mapping from "
        f"patterns of layer names to such, got {value!r}."
    )
