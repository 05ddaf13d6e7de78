"""The shipped groups, and two that the library does not ship, against the laws of a Lie group."""

from __future__ import annotations

import torch
from torch import Tensor

from lie import SE3, SO3, MatrixLieGroup
from lie.testing import MatrixLieGroupSuite


class Heisenberg(MatrixLieGroup):
    """Upper unitriangular 3 x 3 matrices, known by its basis alone."""

    name, dim, matrix_dim = "Heisenberg", 3, 3
    cayley_closed = True

    def basis(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        basis = torch.zeros(3, 3, 3, dtype=dtype, device=device)
        basis[0, 0, 1] = basis[1, 1, 2] = basis[2, 0, 2] = 1
        return basis


class SpecialLinear(MatrixLieGroup):
    """SL(3), whose Cayley transform leaves the group, in a basis that is not orthonormal."""

    name, dim, matrix_dim = "SL3", 8, 3

    def basis(self, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        basis = torch.zeros(8, 3, 3, dtype=dtype, device=device)
        pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
        for k, (i, j) in enumerate(pairs):
            basis[k, i, j] = 1
        basis[6, 0, 0] = basis[7, 1, 1] = 1
        basis[6, 1, 1] = basis[7, 2, 2] = -1
        return basis


class TestSO3(MatrixLieGroupSuite):
    group = SO3


class TestSE3(MatrixLieGroupSuite):
    group = SE3


class TestHeisenberg(MatrixLieGroupSuite):
    group = Heisenberg()
    compiled = ("exp", "inverse", "Ad", "ad", "left_jacobian")


class TestSpecialLinear(MatrixLieGroupSuite):
    group = SpecialLinear()
    compiled = ("exp", "inverse", "Ad", "ad", "left_jacobian")
