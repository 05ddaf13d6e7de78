"""Random orientations to start from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lie import SO3


def random_rotations(
    count: int,
    generator: torch.Generator,
    *,
    max_angle: float = math.pi,
    centre: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Draw rotations uniformly (Haar measure) from all that turn by at most an angle.

    Args:
        count: How many.
        generator: Source of randomness, on the CPU.
        max_angle: Largest angle from ``centre`` in rad; π, the default, allows every rotation.
        centre: Rotation ``(3, 3)`` from which the angle is measured, the identity by default.
        dtype: ``torch.float64`` or ``torch.float32``.

    Returns:
        Rotations ``(count, 3, 3)``.

    Raises:
        ValueError: If ``count`` or the angle is out of range.
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    if not 0 < max_angle <= math.pi:
        raise ValueError(f"max_angle: expected an angle in (0, π] rad, got {max_angle}")
    axis = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    axis = axis / axis.norm(dim=-1, keepdim=True)
    turn = SO3.exp(_angles(count, generator, max_angle).unsqueeze(-1) * axis)
    return (turn if centre is None else SO3.compose(centre.to(turn), turn)).to(dtype)


def _angles(count: int, generator: torch.Generator, largest: float) -> Tensor:
    """Angles ``(count,)`` with density proportional to sin²(θ/2), by rejection from θ²."""
    kept: list[Tensor] = []
    missing = count
    while missing:
        u = torch.rand(2, 2 * missing + 16, generator=generator, dtype=torch.float64)
        angle = largest * u[0] ** (1 / 3)
        accepted = angle[u[1] < torch.sinc(angle / (2 * math.pi)) ** 2][:missing]
        kept.append(accepted)
        missing -= len(accepted)
    return torch.cat(kept)
