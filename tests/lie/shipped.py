"""One of every kind of shipped group, and a tangent of each that is a half turn."""

from __future__ import annotations

import math

import torch

from lie import SE2, SE3, SE23, SL, SO, SO2, SO3, Euclidean, LieGroup, Product, Sim3, Sp, UnitQuaternion

BODY = Product(SO3, Euclidean(3))
MIXED = Product(UnitQuaternion, SL(2) ** 2)
# Where the coordinates of the rotation are.
TURNS: dict[LieGroup, tuple[int, ...]] = {
    SO2: (0,),
    SO3: (0, 1, 2),
    SE2: (2,),
    SE3: (3, 4, 5),
    SE23: (6, 7, 8),
    Sim3: (3, 4, 5),
    UnitQuaternion: (0, 1, 2),
    BODY: (0, 1, 2),
    SE3**2: (3, 4, 5),
}
GROUPS: tuple[LieGroup, ...] = (
    *TURNS, Euclidean(3), SO(4), SO(5), SL(2), SL(3), Sp(2), Sp(4), MIXED,
)  # fmt: skip


def hard_tangents(group: LieGroup, dtype: torch.dtype) -> torch.Tensor:
    """Zero, tiny ones along every coordinate and across, next to and at half turns, the rest of size 1."""
    eye = torch.eye(group.dim, dtype=torch.float64)
    rows = [0 * eye[0], *(1e-12 * eye), 1e-9 * eye.sum(0)]
    turn = TURNS.get(group, ())
    for angle in (math.pi - 1e-3, math.pi - 1e-6, math.pi - 1e-8, math.pi):
        for axis in turn:
            xi = torch.ones(group.dim, dtype=torch.float64)
            xi[list(turn)] = 0
            xi[axis] = angle
            rows.append(xi)
    return torch.stack(rows).to(dtype)
