"""Rotation vectors from the products of quaternion components, on planes."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from ._affine import AffineMap
from ._constants import Series
from ._scalar import squared_norm


def to_products() -> list[list[float]]:
    """Give the linear map from the 9 entries of R to the 16 products 4 q_i q_j, less the offsets.

    Returns:
        Its 16 rows.
    """
    table = [[0.0] * 9 for _ in range(16)]
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        table[4 * i + i][3 * i + i] += 1
        table[15][3 * i + i] += 1
        for other in (j, k):
            table[4 * i + i][3 * other + other] -= 1
            table[4 * i + other][3 * i + other] += 1
            table[4 * i + other][3 * other + i] += 1
        for row in (4 * i + 3, 12 + i):
            table[row][3 * k + j] += 1
            table[row][3 * j + k] -= 1
    return table


def _atan_d(count: int) -> list[float]:
    """D in powers of r = tan(theta/2)^2: (1 - t) / (4 r t^2) with t = atan(sqrt r) / sqrt r."""
    t = [Fraction((-1) ** k, 2 * k + 1) for k in range(count + 1)]
    square = [sum(t[i] * t[k - i] for i in range(k + 1)) for k in range(count)]
    quotient: list[Fraction] = []
    for k in range(count):
        quotient.append(-t[k + 1] - sum(square[k - i] * quotient[i] for i in range(k)))
    return [float(c / 4) for c in quotient]


OFFSETS = [float(i % 5 == 0) for i in range(16)]
PRODUCTS = AffineMap(to_products(), OFFSETS)
# 2 atan(sqrt r) / sqrt r and D, with r = |v|^2 / w^2.
ATAN_COLUMN = [(-1) ** k * 2 / (2 * k + 1) for k in range(16)]
_ATAN = Series([ATAN_COLUMN], radius=0.01)
_ATAN_D = Series([ATAN_COLUMN, _atan_d(16)], radius=0.01)


def candidate(products: Tensor) -> Tensor:
    """Choose a quaternion from the products of its components.

    A row of 4 q q^T with a large diagonal entry loses no digits at any angle: the larger entry of the pair
    (x, y) or (z, w) with the larger sum is 1 at least.

    Args:
        products: Planes of 4 q q^T, shape (16, N).

    Returns:
        Planes of a quaternion (x, y, z, w) with w >= 0, of length between 2 and 4, shape (4, N).
    """
    fixed = products.detach()
    x, y, z, w = fixed[::5].unbind(0)
    upper = x + y > z + w
    first, third = upper & (x > y), (z > w) > upper
    pivot = torch.stack((first, upper ^ first, third, ~(upper | third)))
    chosen = torch.copysign(pivot, fixed[3::4])
    return (chosen.unsqueeze(1) * products.unflatten(0, (4, 4))).sum(0)


def _half_angle(q: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Vector and scalar part, mask; scalar part and r of the series; |v| and angle of the closed forms."""
    v, w = q.split((3, 1))
    n2 = squared_norm(v, 0)
    small = n2 < 0.01 * (w * w)
    ws = torch.where(small, w, 1)
    n = torch.where(small, 1, n2).sqrt()
    return v, w, small, ws, torch.where(small, n2, 0) / (ws * ws), n, 2 * torch.atan2(n, w)


def vector(q: Tensor) -> Tensor:
    """Compute the rotation vector of a quaternion of any length but zero.

    Args:
        q: Planes of the quaternion, w >= 0, shape (4, N).

    Returns:
        Planes of the rotation vector, of length at most pi, shape (3, N).
    """
    v, _, small, ws, r, n, angle = _half_angle(q)
    return torch.where(small, _ATAN(r, 0) / ws, angle / n) * v


def vector_and_d(q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the rotation vector of a quaternion, and the coefficient D of the inverse left Jacobian there.

    Args:
        q: Planes of the quaternion, w >= 0, shape (4, N).

    Returns:
        Planes of the rotation vector, of length theta at most pi, shape (3, N); theta cot(theta/2), which is
        2 (1 - theta^2 D), and D, each (1, N).
    """
    v, w, small, ws, r, n, angle = _half_angle(q)
    first, second = _ATAN_D(r, 0).split(1)
    factor = torch.where(small, first / ws, angle / n)
    cot = factor * w
    closed = torch.rsub(cot, 1, alpha=0.5) / (angle * angle)
    return factor * v, cot, torch.where(small, second, closed)


def upper(q: Tensor) -> Tensor:
    """Choose of q and -q the one with w >= 0.

    Args:
        q: Quaternions (x, y, z, w), shape (N, 4).

    Returns:
        Planes, shape (4, N).
    """
    planes = q.t().contiguous()
    return torch.where(planes[3:] < 0, -planes, planes)
