"""The damped linear least-squares problem of a Levenberg-Marquardt step, gathered from blocks of rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class NormalEquations:
    r"""Holds :math:`A = J^T J` and :math:`g = J^T r` and solves :math:`(A + \lambda I)\delta = -g`.

    Rows of J may come in any number of blocks; memory is that of one block and of A. By Cholesky's
    factorization: the fastest, and blind to directions whose singular value is below about 1e-8 of the
    largest, since their square drowns in rounding.

    Attributes:
        least_damping: Smallest sensible damping, as a share of the largest diagonal entry of A.
    """

    least_damping = torch.finfo(torch.float64).eps

    def __init__(self, size: int, device: torch.device) -> None:
        """Start without rows.

        Args:
            size: Number of parameters.
            device: Device of the rows.
        """
        self._matrix = torch.zeros(size, size, dtype=torch.float64, device=device)
        self.gradient = torch.zeros(size, dtype=torch.float64, device=device)

    def add(self, jacobian: Tensor, residual: Tensor) -> None:
        """Take some rows.

        Args:
            jacobian: Rows of J, shape (rows, size).
            residual: Entries of r, shape (rows,).
        """
        jacobian = jacobian.to(torch.float64)
        self._matrix.addmm_(jacobian.T, jacobian)
        self.gradient.addmv_(jacobian.T, residual.to(torch.float64))

    def squared_norms(self) -> Tensor:
        """Compute the squared norm of each column of J, shape (size,)."""
        return self._matrix.diagonal()

    def solve(self, damping: float) -> Tensor | None:
        """Compute the step.

        Args:
            damping: The positive number lambda.

        Returns:
            The step, shape (size,), or ``None`` where rounding leaves the matrix indefinite.
        """
        damped = self._matrix.clone()
        damped.diagonal().add_(damping)
        factor, failed = torch.linalg.cholesky_ex(damped)
        if int(failed):
            return None
        return -torch.cholesky_solve(self.gradient.unsqueeze(-1), factor).squeeze(-1)


class TriangularFactor:
    r"""Holds the triangle R of :math:`J = QR` and :math:`Q^T r`; solves the same without squaring J.

    Each block of rows is reduced against the triangle so far, so memory is that of one block and of R. It
    takes a few times longer than ``NormalEquations`` and resolves singular values down to about 1e-16 of
    the largest.

    Attributes:
        least_damping: Smallest sensible damping, as a share of the largest squared norm of a column.
    """

    least_damping = torch.finfo(torch.float64).eps ** 2

    def __init__(self, size: int, device: torch.device) -> None:
        """Start without rows.

        Args:
            size: Number of parameters.
            device: Device of the rows.
        """
        self._size = size
        self._triangle = torch.zeros(0, size + 1, dtype=torch.float64, device=device)
        self.gradient = torch.zeros(size, dtype=torch.float64, device=device)

    def add(self, jacobian: Tensor, residual: Tensor) -> None:
        """Take some rows.

        Args:
            jacobian: Rows of J, shape (rows, size).
            residual: Entries of r, shape (rows,).
        """
        rows = torch.cat([jacobian, residual.unsqueeze(-1)], dim=1).to(torch.float64)
        self.gradient.addmv_(rows[:, :-1].T, rows[:, -1])
        _, self._triangle = torch.linalg.qr(torch.cat([self._triangle, rows]), mode="r")

    def squared_norms(self) -> Tensor:
        """Compute the squared norm of each column of J, shape (size,)."""
        return self._triangle[:, :-1].square().sum(0)

    def solve(self, damping: float) -> Tensor | None:
        """Compute the step.

        Args:
            damping: The positive number lambda.

        Returns:
            The step, shape (size,), or ``None`` where rounding leaves the matrix singular.
        """
        extra = torch.zeros_like(self._triangle[:1]).expand(self._size, -1).clone()
        extra.diagonal().fill_(math.sqrt(damping))
        _, triangle = torch.linalg.qr(torch.cat([self._triangle, extra]), mode="r")
        square, right = triangle[: self._size, :-1], triangle[: self._size, -1:]
        if not bool((square.diagonal() != 0).all()):
            return None
        return -torch.linalg.solve_triangular(square, right, upper=True).squeeze(-1)


SYSTEMS: dict[str, type[NormalEquations] | type[TriangularFactor]] = {
    "cholesky": NormalEquations,
    "qr": TriangularFactor,
}
