"""Conversions between rotation matrices, quaternions (x, y, z, w) and rotation vectors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ._affine import AffineMap
from ._constants import Constant
from ._linalg import affine
from ._planes import by_rows
from ._scalar import ab, abc, d, squared_norm, sw
from ._turn import PRODUCTS, candidate, upper, vector


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


_HAT = Constant(
    [[0, 0, 0], [0, 0, -1], [0, 1, 0], [0, 0, 1], [0, 0, 0], [-1, 0, 0], [0, -1, 0], [1, 0, 0], [0, 0, 0]]
)
_VEE = Constant(
    [[0, 0, 0, 0, 0, -0.5, 0, 0.5, 0], [0, 0, 0.5, 0, 0, 0, -0.5, 0, 0], [0, -0.5, 0, 0.5, 0, 0, 0, 0, 0]]
)  # fmt: skip
_IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
_ASSEMBLY = Constant(_assembly())
_QUADRATIC = AffineMap(_assembly(), _IDENTITY)
_FROM_PRODUCTS = AffineMap(_from_products(), _IDENTITY)
_EYE = Constant(_IDENTITY)
_DELTA = Constant([[1], [1], [0]])


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
    products = ((second * phi).unsqueeze(-1) * phi.unsqueeze(-2)).flatten(-2)
    return affine(torch.cat((products, first * phi), -1), _ASSEMBLY(phi), _EYE(phi)).unflatten(-1, (3, 3))


def matrix_from_any(q: Tensor) -> Tensor:
    """Compute the rotation matrix of a quaternion of any length but zero.

    Args:
        q: Quaternion (x, y, z, w), shape (..., 4).

    Returns:
        Rotation matrix, shape (..., 3, 3).
    """
    return by_rows(_matrix_rows, q, (4,), (3, 3))


def _matrix_rows(q: Tensor) -> Tensor:
    planes = q.t().contiguous()
    scaled = planes / squared_norm(planes, 0)
    return _FROM_PRODUCTS.to_rows((scaled.unsqueeze(1) * planes).flatten(0, 1))


def unit_from_vector(phi: Tensor) -> Tensor:
    """Compute the unit quaternion of a rotation vector.

    Args:
        phi: Rotation vector, shape (..., 3).

    Returns:
        Quaternion (x, y, z, w), shape (..., 4).
    """
    return by_rows(_unit_rows, phi, (3,), (4,))


def _unit_rows(phi: Tensor) -> Tensor:
    planes = phi.t().contiguous()
    s, w = sw(squared_norm(planes, 0), 0)
    return torch.cat((s * planes, w)).t().contiguous()


def _candidate_rows(rotation: Tensor) -> Tensor:
    return candidate(PRODUCTS.to_planes(rotation))


def candidate_from_matrix(rotation: Tensor) -> Tensor:
    """Compute a quaternion of a rotation matrix, of length between 2 and 4, with scalar part not negative.

    Args:
        rotation: Rotation matrix, shape (..., 3, 3).

    Returns:
        Quaternion (x, y, z, w), shape (..., 4).
    """
    return by_rows(lambda rows: _candidate_rows(rows).t().contiguous(), rotation, (3, 3), (4,))


def flip(q: Tensor) -> Tensor:
    """Choose the sign of a quaternion that makes its scalar part non-negative.

    Args:
        q: Quaternion (x, y, z, w), shape (..., 4).

    Returns:
        The quaternion or its negative.
    """
    return torch.where(q[..., 3:] < 0, -q, q)


def vector_from_candidate(q: Tensor) -> Tensor:
    """Compute the rotation vector of a quaternion of any length but zero.

    Args:
        q: Quaternion (x, y, z, w), shape (..., 4).

    Returns:
        Rotation vector, shape (..., 3), of length at most pi.
    """
    return by_rows(lambda rows: vector(upper(rows)).t().contiguous(), q, (4,), (3,))


def vector_from_matrix(rotation: Tensor) -> Tensor:
    """Compute the rotation vector of a rotation matrix.

    Args:
        rotation: Rotation matrix, shape (..., 3, 3).

    Returns:
        Rotation vector, shape (..., 3), of length at most pi.
    """
    return by_rows(lambda rows: vector(_candidate_rows(rows)).t().contiguous(), rotation, (3, 3), (3,))


def matrix_from_vector(phi: Tensor) -> Tensor:
    """Compute the rotation matrix of a rotation vector, I + A hat(phi) + B hat(phi)^2.

    Args:
        phi: Rotation vector, shape (..., 3).

    Returns:
        Rotation matrix, shape (..., 3, 3).
    """
    return _quadratic_of(phi, lambda x: ab(x, 0))


def left_jacobian(phi: Tensor) -> Tensor:
    """Compute the left Jacobian of SO(3), I + B hat(phi) + C hat(phi)^2.

    Args:
        phi: Rotation vector, shape (..., 3).

    Returns:
        Matrix, shape (..., 3, 3).
    """
    return _quadratic_of(phi, lambda x: abc(x, 0)[1:])


def left_jacobian_inverse(phi: Tensor) -> Tensor:
    """Compute the inverse of the left Jacobian, I - hat(phi) / 2 + D hat(phi)^2.

    Args:
        phi: Rotation vector, shape (..., 3).

    Returns:
        Matrix, shape (..., 3, 3).
    """
    return _quadratic_of(phi, lambda x: (torch.full_like(x, -0.5), d(x, 0)))


def _quadratic_of(phi: Tensor, coefficients: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    """Compute ``quadratic`` with coefficients that are functions of the planes of |phi|^2."""

    def assemble(rows: Tensor) -> Tensor:
        planes = rows.t().contiguous()
        first, second = coefficients(squared_norm(planes, 0))
        left = torch.cat((second * planes, first))
        return _QUADRATIC.to_rows((left.unsqueeze(1) * planes).flatten(0, 1))

    return by_rows(assemble, phi, (3,), (3, 3))


def defects(rotation: Tensor) -> tuple[Tensor, Tensor]:
    """Compute r_2 - r_0 x r_1 and r_i . r_j - delta_ij, i, j < 2, for the rows r of a matrix.

    Both vanish for rotations and for nothing else.

    Args:
        rotation: Planes of the matrix, shape (3, 3, N).

    Returns:
        Planes, each (3, N).
    """
    first, second, third = rotation.unbind(0)
    pairs = torch.cat((first, second, first)) * torch.cat((first, second, second))
    dots = pairs.unflatten(0, (3, 3)).sum(1) - _DELTA(rotation)
    return third - torch.linalg.cross(first, second, dim=0), dots
