"""Exponential and logarithm of a rotation with any number of vectors that it moves along, on planes."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _turn
from ._affine import AffineMap
from ._linalg import product
from ._planes import by_rows
from ._scalar import abc


class Motion:
    """Matrices [[R, t_1 ... t_k], [0, I]] with tangents (rho_1, ..., rho_k, phi).

    With n = 3 + k, m = 3 (k + 1) and theta = |phi|:

        exp: t = A rho + B phi x rho + C (phi . rho) phi
        log: rho = (1 - theta^2 D) t - phi x t / 2 + D (phi . t) phi

    Both are products of planes and one matrix of constants.

    Args:
        vectors: Their number k.
    """

    def __init__(self, vectors: int) -> None:
        self.vectors = vectors
        self.size = 3 + vectors
        self.coordinates = 3 * (vectors + 1)
        identity = [float(entry % (self.size + 1) == 0) for entry in range(self.size**2)]
        self._exp = AffineMap(zip(*self._exp_table(), strict=True), identity)
        self._log = AffineMap(zip(*self._log_table(), strict=True))
        self._inverse = AffineMap(self._inverse_table(), [0.0] * (3 * self.size) + identity[3 * self.size :])
        self._parts = AffineMap(self._parts_table(), _turn.OFFSETS + [0.0] * (3 * vectors))

    def exp(self, xi: Tensor) -> Tensor:
        """Compute the exponential.

        Args:
            xi: Tangent, shape (..., m).

        Returns:
            Matrix, shape (..., n, n).
        """
        return by_rows(self._exp_rows, xi, (self.coordinates,), (self.size, self.size))

    def log(self, g: Tensor) -> Tensor:
        """Compute the logarithm.

        Args:
            g: Matrix, shape (..., n, n).

        Returns:
            Tangent with phi of length at most pi, shape (..., m).
        """
        return by_rows(self._log_rows, g, (self.size, self.size), (self.coordinates,))

    def inverse(self, g: Tensor) -> Tensor:
        """Compute the inverse (R^T, -R^T t).

        Args:
            g: Matrix, shape (..., n, n).

        Returns:
            Matrix, shape (..., n, n).
        """
        return by_rows(self._inverse_rows, g, (self.size, self.size), (self.size, self.size))

    def _exp_rows(self, xi: Tensor) -> Tensor:
        planes = xi.t().contiguous()
        phi = planes[-3:]
        dots, x = (planes.unflatten(0, (self.vectors + 1, 3)) * phi).sum(1).split((self.vectors, 1))
        a, b, c = abc(x, 0)
        products = torch.cat((b * phi, a, c * dots)).unsqueeze(1) * planes
        return self._exp.to_rows(products.flatten(0, 1))

    def _log_rows(self, g: Tensor) -> Tensor:
        products, t = self._parts.to_planes(g).split((16, 3 * self.vectors))
        phi, cot, d = _turn.vector_and_d(_turn.candidate(products))
        bilinear = (torch.cat((phi, cot)).unsqueeze(1) * t).flatten(0, 1)
        dots = (t.unflatten(0, (self.vectors, 3)) * phi).sum(1, keepdim=True)
        along = (d * dots * phi).flatten(0, 1)
        return self._log.to_rows(torch.cat((bilinear, along, phi)))

    def _inverse_rows(self, rows: Tensor) -> Tensor:
        g = rows.unflatten(1, (self.size, self.size))
        moved = product(g[:, :3, :3].mT, g[:, :3, 3:])
        return self._inverse.on_rows(torch.cat((rows, moved.flatten(1)), 1))

    def _exp_table(self) -> list[list[float]]:
        """From the products of (b phi, a, c (phi . rho_v)) and the tangent to the entries of exp, less I."""
        n, m = self.size, self.coordinates
        table = [[0.0] * n**2 for _ in range((4 + self.vectors) * m)]
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            for other in range(3):  # b (phi phi^T - |phi|^2 I)
                table[m * i + m - 3 + other][n * i + other] += 1
                table[m * other + m - 3 + other][n * i + i] -= 1
            table[3 * m + m - 3 + i][n * k + j] += 1  # a hat(phi)
            table[3 * m + m - 3 + i][n * j + k] -= 1
            for v in range(self.vectors):
                entry = n * i + 3 + v
                table[3 * m + 3 * v + i][entry] += 1
                table[m * j + 3 * v + k][entry] += 1
                table[m * k + 3 * v + j][entry] -= 1
                table[(4 + v) * m + m - 3 + i][entry] += 1
        return table

    def _log_table(self) -> list[list[float]]:
        """From the products of (phi, theta cot(theta/2)) and t, d (phi . t_v) phi and phi to the tangent."""
        m = 3 * self.vectors
        table = [[0.0] * (m + 3) for _ in range(5 * m + 3)]
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            for v in range(self.vectors):
                table[3 * m + 3 * v + i][3 * v + i] = 0.5
                table[m * j + 3 * v + k][3 * v + i] = -0.5
                table[m * k + 3 * v + j][3 * v + i] = 0.5
                table[4 * m + 3 * v + i][3 * v + i] = 1
            table[5 * m + i][m + i] = 1
        return table

    def _parts_table(self) -> list[list[float]]:
        """From the entries of g to the products 4 q_i q_j of its rotation, less offsets, then to the t."""
        n = self.size
        table = [[0.0] * n**2 for _ in range(16 + 3 * self.vectors)]
        for row, entries in zip(table, _turn.to_products(), strict=False):
            for i in range(3):
                row[n * i : n * i + 3] = entries[3 * i : 3 * i + 3]
        for v in range(self.vectors):
            for i in range(3):
                table[16 + 3 * v + i][n * i + 3 + v] = 1
        return table

    def _inverse_table(self) -> list[list[float]]:
        """From the entries of g, then of R^T t, to the upper rows of the inverse; the others are constant."""
        n = self.size
        table = [[0.0] * (n**2 + 3 * self.vectors) for _ in range(n**2)]
        for i in range(3):
            for j in range(3):
                table[n * i + j][n * j + i] = 1
            for v in range(self.vectors):
                table[n * i + 3 + v][n**2 + self.vectors * i + v] = -1
        return table
