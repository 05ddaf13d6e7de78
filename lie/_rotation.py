"""Conversions between rotation matrices, quaternions (x, y, z, w) and rotation vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from ._constants import Constant, Series
from ._linalg import affine
from ._scalar import squared_norm, sw


def _from_products() -> list[list[float]]:
    """Rows of the linear map from the 16 products q_i q_j to the 9 entries of R - I."""
    x, y, z, w = range(4)
    entries = [
        [(-2, y, y), (-2, z, z)], [(2, x, y), (-2, z, w)], [(2, x, z), (2, y, w)],
        [(2, x, y), (2, z, w)], [(-2, x, x), (-2, z, z)], [(2, y, z), (-2, x, w)],
        [(2, x, z), (-2, y, w)], [(2, y, z), (2, x, w)], [(-2, x, x), (-2, y, y)],
    ]  # fmt: skip
    table = [[0.0] * 16 for _ in entries]
    for row, terms in zip(table, entries, strict=True):
        for factor, i, j in terms:
            row[4 * i + j] += factor
    return table


def _assembly() -> list[list[float]]:
    """Rows of the map from the 9 products u_i v_j and the 3 entries of w to hat(w) + u v^T - (u . v) I."""
    table = [[float(k == entry) for k in range(12)] for entry in range(9)]
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        for other in range(3):
            table[4 * i][4 * other] -= 1
        table[3 * k + j][9 + i] += 1
        table[3 * j + k][9 + i] -= 1
    return table


def _to_products() -> list[list[float]]:
    """Rows of the linear map from the 9 entries of R to the 16 products 4 q_i q_j, less the offsets."""
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


_HAT = Constant(
    [[0, 0, 0], [0, 0, -1], [0, 1, 0], [0, 0, 1], [0, 0, 0], [-1, 0, 0], [0, -1, 0], [1, 0, 0], [0, 0, 0]]
)
_VEE = Constant(
    [[0, 0, 0, 0, 0, -0.5, 0, 0.5, 0], [0, 0, 0.5, 0, 0, 0, -0.5, 0, 0], [0, -0.5, 0, 0.5, 0, 0, 0, 0, 0]]
)  # fmt: skip
_ASSEMBLY = Constant(_assembly())
_FROM_PRODUCTS = Constant(_from_products())
_EYE = Constant([1, 0, 0, 0, 1, 0, 0, 0, 1])
_CANDIDATES = Constant(_to_products())
_OFFSETS = Constant([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1])
# With r = |v|^2 / w^2: 2 atan(sqrt r) / sqrt r, and (1 - atan(sqrt r) / sqrt r) / r.
_ATAN_COLUMN = [(-1) ** k * 2 / (2 * k + 1) for k in range(16)]
_ATAN = Series([_ATAN_COLUMN], radius=0.01)
_ATAN_D = Series([_ATAN_COLUMN, [(-1) ** k / (2 * k + 3) for k in range(16)]], radius=0.01)


def hat(phi: Tensor) -> Tensor:
    """Compute the skew matrix of the cross product with phi.

    Args:
        phi: Vector, shape (..., 3).

    Returns:
        Matrix, shape (..., 3, 3).
    """
    return affine(phi, _HAT(phi)).unflatten(-1, (3, 3))


def vee(matrix: Tensor) -> Tensor:
    """Compute the vector of the skew part of a matrix.

    Args:
        matrix: Shape (..., 3, 3).

    Returns:
        Vector, shape (..., 3).
    """
    return affine(matrix.flatten(-2), _VEE(matrix))


def quadratic(phi: Tensor, first: Tensor | float, second: Tensor) -> Tensor:
    """Compute I + first hat(phi) + second hat(phi)^2.

    Args:
        phi: Vector, shape (..., 3).
        first: Coefficient, a number or shape (..., 1).
        second: Coefficient, shape (..., 1).

    Returns:
        Matrix, shape (..., 3, 3).
    """
    return _assemble(first * phi, second * phi, phi, _EYE(phi))


def _assemble(linear: Tensor, left: Tensor, right: Tensor, offset: Tensor | None) -> Tensor:
    """Offset + hat(linear) + left right^T - (left . right) I."""
    products = (left.unsqueeze(-1) * right.unsqueeze(-2)).flatten(-2)
    return affine(torch.cat((products, linear), -1), _ASSEMBLY(right), offset).unflatten(-1, (3, 3))


def quadratic_derivative(
    phi: Tensor,
    rho: Tensor,
    first: tuple[Tensor | float, Tensor | None],
    second: tuple[Tensor, Tensor],
) -> Tensor:
    """Compute the derivative of ``quadratic`` at phi along rho, its coefficients functions of |phi|^2.

    Args:
        phi: Vector, shape (..., 3).
        rho: Direction, shape (..., 3).
        first: First coefficient and twice its derivative with respect to |phi|^2, None for a constant.
        second: Second coefficient and twice its derivative.

    Returns:
        Matrix, shape (..., 3, 3).
    """
    value, slope = second
    dot = (phi * rho).sum(-1, keepdim=True)
    linear = first[0] * rho if first[1] is None else first[0] * rho + dot * first[1] * phi
    # value (hat(phi) hat(rho) + hat(rho) hat(phi)) + dot slope hat(phi)^2 = left phi^T + phi left^T - trace
    left = value * rho + (0.5 * dot * slope) * phi
    return _assemble(0.5 * linear, left, phi, None) + _assemble(0.5 * linear, phi, left, None)


def matrix_from_any(q: Tensor) -> Tensor:
    """Compute the rotation matrix of a quaternion of any length but zero.

    Args:
        q: Quaternion (x, y, z, w), shape (..., 4).

    Returns:
        Rotation matrix, shape (..., 3, 3).
    """
    scaled = q / squared_norm(q)
    products = (scaled.unsqueeze(-1) * q.unsqueeze(-2)).flatten(-2)
    return affine(products, _FROM_PRODUCTS(q), _EYE(q)).unflatten(-1, (3, 3))


def unit_from_vector(phi: Tensor) -> Tensor:
    """Compute the unit quaternion of a rotation vector.

    Args:
        phi: Rotation vector, shape (..., 3).

    Returns:
        Quaternion (x, y, z, w), shape (..., 4).
    """
    s, w = sw(squared_norm(phi))
    return torch.cat((s * phi, w), -1)


def candidate_from_matrix(rotation: Tensor) -> Tensor:
    """Compute a quaternion of a rotation matrix, of length between 2 and 4 and either sign.

    The row of 4 q q^T whose diagonal entry is largest loses no digits at any angle.

    Args:
        rotation: Rotation matrix, shape (..., 3, 3).

    Returns:
        Quaternion (x, y, z, w), shape (..., 4).
    """
    rows = affine(rotation.flatten(-2), _CANDIDATES(rotation), _OFFSETS(rotation)).unflatten(-1, (4, 4))
    pivot = rows.diagonal(dim1=-2, dim2=-1).argmax(-1, keepdim=True)
    return rows.gather(-2, pivot.unsqueeze(-1).expand(*pivot.shape, 4)).squeeze(-2)


def flip(q: Tensor) -> Tensor:
    """Choose the sign of a quaternion that makes its scalar part non-negative.

    Args:
        q: Quaternion (x, y, z, w), shape (..., 4).

    Returns:
        The quaternion or its negative.
    """
    return torch.where(q[..., 3:] < 0, -q, q)


def _log_split(q: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Vector part, scalar part, mask; scalar part and r of the series; |v| and half angle."""
    q = flip(q)
    v, w = q[..., :3], q[..., 3:]
    n2 = squared_norm(v)
    small = n2 < 0.01 * (w * w)
    ws = torch.where(small, w, 1)
    n = torch.where(small, 1, n2).sqrt()
    return v, w, small, ws, torch.where(small, n2, 0) / (ws * ws), n, torch.atan2(n, w)


def vector_from_candidate(q: Tensor) -> Tensor:
    """Compute the rotation vector of a quaternion of any length but zero.

    Args:
        q: Quaternion (x, y, z, w), shape (..., 4).

    Returns:
        Rotation vector, shape (..., 3), of length at most pi.
    """
    v, _, small, ws, r, n, half = _log_split(q)
    return torch.where(small, _ATAN(r) / ws, 2 * half / n) * v


def vector_and_d_from_candidate(q: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the rotation vector of a quaternion, and the coefficient D of the inverse left Jacobian there.

    Args:
        q: Quaternion (x, y, z, w), shape (..., 4).

    Returns:
        Rotation vector, shape (..., 3), of length at most pi, and D, shape (..., 1).
    """
    v, w, small, ws, r, n, half = _log_split(q)
    sums = _ATAN_D(r)
    first, second = sums[..., :1], sums[..., 1:]
    series = torch.cat((first / ws, second / (first * first)), -1)
    closed = torch.cat((2 * half / n, (1 - half * w / n) / (4 * half * half)), -1)
    both = torch.where(small, series, closed)
    return both[..., :1] * v, both[..., 1:]


def vector_from_matrix(rotation: Tensor) -> Tensor:
    """Compute the rotation vector of a rotation matrix.

    Args:
        rotation: Rotation matrix, shape (..., 3, 3).

    Returns:
        Rotation vector, shape (..., 3), of length at most pi.
    """
    return vector_from_candidate(candidate_from_matrix(rotation))
