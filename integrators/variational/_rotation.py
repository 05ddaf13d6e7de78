"""Rotation by Cayley coordinates."""

from __future__ import annotations

from torch import Tensor

from ._kinetic import cross, dot


def turn(rows: Tensor, z: Tensor) -> Tensor:
    """Multiply rows by the rotation ``Cay(z)`` from the right.

    Args:
        rows: ``(..., m, 3)``.
        z: Cayley coordinates ``(..., 3)``.

    Returns:
        ``(..., m, 3)``.
    """
    z = z.unsqueeze(-2)
    half = cross(rows, z)
    return rows + (2 / (1 + dot(z, z))) * (half + cross(half, z))
