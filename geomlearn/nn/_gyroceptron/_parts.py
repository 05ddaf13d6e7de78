"""The layers a gyroceptron is built of, from names and sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .._symplectic import GradientShear, HenonLayer, RidgeLayer, SymplecticLayer
from .._symplectic._layer import count

NEAR_IDENTITY: dict[str, tuple[int, ...]] = {"ridge": (91,), "henon": (8, 6), "gradient": (8, 16)}
"""Kinds of the part near the identity, with the sizes that they have by default."""
CONJUGATION: dict[str, tuple[int, ...]] = {"henon": (10, 8)}
"""Kinds of the change of coordinates."""
GAIN = 0.3
"""Factor on the first weights of the change of coordinates, which then starts near the identity."""

Size = int | Sequence[int] | None


def sizes_of(name: str, kind: str, size: Size, known: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Check a kind of layers and its sizes.

    Args:
        name: Name of the argument, for messages.
        kind: The kind.
        size: Number of ridge modules, or numbers of layers and units; ``None`` for the default.
        known: Kinds with their default sizes.

    Returns:
        The sizes.

    Raises:
        ValueError: If the kind is not known or the sizes do not fit it.
    """
    if kind not in known:
        raise ValueError(f"{name}: expected one of {sorted(known)}, got {kind!r}")
    if size is None:
        return known[kind]
    given = (size,) if isinstance(size, int) else tuple(size)
    if len(given) != len(known[kind]):
        expected = "a number of modules" if len(known[kind]) == 1 else "numbers of layers and of units"
        raise ValueError(f"{name}_size: expected {expected} for {kind!r}, got {size}")
    return tuple(count(f"{name}_size", value) for value in given)


def near_identity_layers(
    kind: str, size: tuple[int, ...], degrees: int, dtype: torch.dtype, generator: torch.Generator | None
) -> list[SymplecticLayer]:
    """Make layers that are the identity at strength 0.

    Args:
        kind: ``"ridge"``, ``"henon"`` or ``"gradient"``.
        size: What ``sizes_of`` returned.
        degrees: Number of positions.
        dtype: Floating-point type.
        generator: Source of the random numbers.

    Returns:
        The layers in the order in which they are applied.
    """
    if kind == "ridge":
        return [RidgeLayer(degrees, size[0], dtype=dtype, generator=generator)]
    if kind == "henon":
        return [HenonLayer(degrees, size[1], dtype=dtype, generator=generator) for _ in range(size[0])]
    return [
        GradientShear(degrees, size[1], "pq"[k % 2], "tanh", deviation=0.5, dtype=dtype, generator=generator)
        for k in range(size[0])
    ]


def conjugation_layers(
    size: tuple[int, ...], degrees: int, gain: float, dtype: torch.dtype, generator: torch.Generator | None
) -> list[SymplecticLayer]:
    """Make Hénon layers for a change of coordinates.

    Args:
        size: Numbers of layers and of units.
        degrees: Number of positions.
        gain: Factor on the first weights.
        dtype: Floating-point type.
        generator: Source of the random numbers.

    Returns:
        The layers in the order in which they are applied.
    """
    return [HenonLayer(degrees, size[1], "tanh", gain, dtype, generator) for _ in range(size[0])]
