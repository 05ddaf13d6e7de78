"""Left Jacobians of a rotation with any number of vectors that it moves along, on planes."""

from __future__ import annotations

import torch
from torch import Tensor

from ._affine import AffineMap
from ._planes import by_rows
from ._scalar import bc_slopes, d_slope

_HAT = [(2, 1, 0, 1), (1, 2, 0, -1), (0, 2, 1, 1), (2, 0, 1, -1), (1, 0, 2, 1), (0, 1, 2, -1)]
"""Row, column, component and sign of the entries of hat."""


class MotionJacobian:
    """Jacobians [[F, 0, Q_1], [0, F, Q_2], ..., [0, 0, F]] of tangents (rho_1, ..., rho_k, phi).

    F = I + f hat(phi) + s hat(phi)^2 with f, s functions of |phi|^2, and Q_v is its derivative along rho_v:

        Q = f hat(rho) + s (phi rho^T + rho phi^T - 2 (phi . rho) I)
            + (phi . rho) (f' hat(phi) + s' (phi phi^T - |phi|^2 I))

    with f' and s' twice the derivatives with respect to |phi|^2.

    Args:
        vectors: Their number k.
    """

    def __init__(self, vectors: int) -> None:
        self.vectors = vectors
        self.size = m = 3 * (vectors + 1)
        identity = [float(entry % (m + 1) == 0) for entry in range(m**2)]
        self._assemble = AffineMap(zip(*self._table(), strict=True), identity)

    def left(self, xi: Tensor) -> Tensor:
        """Compute the left Jacobian: f = B, s = C.

        Args:
            xi: Tangent, shape (..., m).

        Returns:
            Matrix, shape (..., m, m).
        """
        return by_rows(self._left_rows, xi, (self.size,), (self.size, self.size))

    def left_inverse(self, xi: Tensor) -> Tensor:
        """Compute the inverse of the left Jacobian: f = -1/2, s = D.

        Args:
            xi: Tangent, shape (..., m).

        Returns:
            Matrix, shape (..., m, m).
        """
        return by_rows(self._left_inverse_rows, xi, (self.size,), (self.size, self.size))

    def _left_rows(self, xi: Tensor) -> Tensor:
        planes, dots, x = self._split(xi)
        b, c, b_slope, c_slope = bc_slopes(x, 0)
        return self._rows(planes, (b, c), dots * b_slope, dots * c_slope)

    def _left_inverse_rows(self, xi: Tensor) -> Tensor:
        planes, dots, x = self._split(xi)
        d, slope = d_slope(x, 0)
        return self._rows(planes, (torch.full_like(x, -0.5), d), torch.zeros_like(dots), dots * slope)

    def _split(self, xi: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        planes = xi.t().contiguous()
        dots, x = (planes.unflatten(0, (self.vectors + 1, 3)) * planes[-3:]).sum(1).split((self.vectors, 1))
        return planes, dots, x

    def _rows(self, planes: Tensor, value: tuple[Tensor, Tensor], first: Tensor, second: Tensor) -> Tensor:
        """Rows of the Jacobian from (f, s) and the products of phi . rho with their slopes."""
        phi = planes[-3:]
        products = torch.cat((value[1] * phi, value[0])).unsqueeze(1) * planes
        along = torch.cat(((second.unsqueeze(1) * phi).flatten(0, 1), first)).unsqueeze(1) * phi
        return self._assemble.to_rows(torch.cat((products.flatten(0, 1), along.flatten(0, 1))))

    def _table(self) -> list[list[float]]:
        """From (s phi, f) times the tangent, then (s' phi, f') phi . rho_v times phi, to entries less I."""
        m, vectors = self.size, self.vectors
        start = 4 * m
        table = [[0.0] * m**2 for _ in range(start + 12 * vectors)]

        def add(feature: int, row: int, column: int, factor: float) -> None:
            table[feature][m * row + column] += factor

        last = 3 * vectors
        for block in range(vectors + 1):
            for i in range(3):
                for other in range(3):
                    add(m * i + last + other, 3 * block + i, 3 * block + other, 1)
                    add(m * other + last + other, 3 * block + i, 3 * block + i, -1)
            for row, column, i, sign in _HAT:
                add(3 * m + last + i, 3 * block + row, 3 * block + column, sign)
        for v in range(vectors):
            for i in range(3):
                for other in range(3):
                    add(m * i + 3 * v + other, 3 * v + i, last + other, 1)
                    add(m * i + 3 * v + other, 3 * v + other, last + i, 1)
                    add(m * other + 3 * v + other, 3 * v + i, last + i, -2)
                    add(start + 9 * v + 3 * i + other, 3 * v + i, last + other, 1)
                    add(start + 9 * v + 3 * other + other, 3 * v + i, last + i, -1)
            for row, column, i, sign in _HAT:
                add(3 * m + 3 * v + i, 3 * v + row, last + column, sign)
                add(start + 9 * vectors + 3 * v + i, 3 * v + row, last + column, sign)
        return table
