"""Conversions between rotation matrices, quaternions (x, y, z, w) and rotation vectors."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from ._constants import Constant, Series
from ._linalg import addmm, affine
from ._planes import by_rows
from ._scalar import ab, squared_norm, sw


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


_HAT = Constant(
    [[0, 0, 0], [0, 0, -1], [0, 1, 0], [0, 0, 1], [0, 0, 0], [-1, 0, 0], [0, -1, 0], [1, 0, 0], [0, 0, 0]]
)
_VEE = Constant(
    [[0, 0, 0, 0, 0, -0.5, 0, 0.5, 0], [0, 0, 0.5, 0, 0, 0, -0.5, 0, 0], [0, -0.5, 0, 0.5, 0, 0, 0, 0, 0]]
)  # fmt: skip
_ASSEMBLY = Constant(_assembly())
_ASSEMBLY_TRANSPOSED = Constant(list(zip(*_assembly(), strict=True)))
_FROM_PRODUCTS = Constant(_from_products())
_EYE = Constant([1, 0, 0, 0, 1, 0, 0, 0, 1])
_CANDIDATES = Constant(to_products())
OFFSETS = Constant([[float(i % 5 == 0)] for i in range(16)])
_PIVOTS = Constant([[0], [1], [2], [3]])
# 2 atan(sqrt r) / sqrt r and D, with r = |v|^2 / w^2.
_ATAN_COLUMN = [(-1) ** k * 2 / (2 * k + 1) for k in range(16)]
_ATAN = Series([_ATAN_COLUMN], radius=0.01)
_ATAN_D = Series([_ATAN_COLUMN, _atan_d(16)], radius=0.01)


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


def candidate(products: Tensor) -> Tensor:
    """Choose a quaternion from the products of its components.

    The row of 4 q q^T whose diagonal entry is largest loses no digits at any angle.

    Args:
        products: Planes of 4 q q^T, shape (16, N).

    Returns:
        Planes of a quaternion (x, y, z, w) with w >= 0, of length between 2 and 4, shape (4, N).
    """
    fixed = products.detach()
    pivot = fixed[::5].max(0, keepdim=True)[1]
    chosen = torch.copysign(pivot == _PIVOTS(products), fixed[3::4])
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


def _upper(q: Tensor) -> Tensor:
    """Planes of a quaternion or its negative with w >= 0, from rows."""
    planes = q.t().contiguous()
    return torch.where(planes[3:] < 0, -planes, planes)


def _candidate_rows(rotation: Tensor) -> Tensor:
    return candidate(addmm(OFFSETS(rotation), _CANDIDATES(rotation), rotation.t()))


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
    return by_rows(lambda rows: vector(_upper(rows)).t().contiguous(), q, (4,), (3,))


def vector_and_d_from_candidate(q: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the rotation vector of a quaternion, and the coefficient D of the inverse left Jacobian there.

    Args:
        q: Quaternion (x, y, z, w), shape (..., 4).

    Returns:
        Rotation vector, shape (..., 3), of length at most pi, and D, shape (..., 1).
    """

    def both(rows: Tensor) -> Tensor:
        phi, _, d = vector_and_d(_upper(rows))
        return torch.cat((phi, d)).t().contiguous()

    phi, d = by_rows(both, q, (4,), (4,)).split((3, 1), -1)
    return phi, d


def vector_from_matrix(rotation: Tensor) -> Tensor:
    """Compute the rotation vector of a rotation matrix.

    Args:
        rotation: Rotation matrix, shape (..., 3, 3).

    Returns:
        Rotation vector, shape (..., 3), of length at most pi.
    """
    return by_rows(lambda rows: vector(_candidate_rows(rows)).t().contiguous(), rotation, (3, 3), (3,))


def matrix_from_vector(phi: Tensor) -> Tensor:
    """Compute the rotation matrix of a rotation vector.

    Args:
        phi: Rotation vector, shape (..., 3).

    Returns:
        Rotation matrix, shape (..., 3, 3).
    """
    return by_rows(_exp_rows, phi, (3,), (3, 3))


def _exp_rows(phi: Tensor) -> Tensor:
    planes = phi.t().contiguous()
    a, b = ab(squared_norm(planes, 0), 0)
    left = torch.cat((b * planes, a))
    return addmm(_EYE(phi), (left.unsqueeze(1) * planes).flatten(0, 1).t(), _ASSEMBLY_TRANSPOSED(phi))
