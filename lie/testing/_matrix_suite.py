"""The laws of a group of matrices: those of a group, and agreement with matrix functions."""

from __future__ import annotations

import torch

from .._matrix_group import MatrixLieGroup
from ._group_suite import CAYLEY_TANGENT, ELEMENT_OPERATIONS, TANGENT_OPERATIONS, LieGroupSuite
from ._shared import dtypes, places, shapes


class MatrixLieGroupSuite(LieGroupSuite):
    """The laws that a group of matrices must satisfy; see ``LieGroupSuite`` for the attributes."""

    group: MatrixLieGroup

    @dtypes
    @shapes
    def test_hat_is_the_sum_over_the_basis(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """Hat(xi) = sum of xi_i E_i."""
        xi = self.tangent(*shape, dtype=dtype)
        terms = xi[..., None, None] * self.group.basis(dtype)
        self.assert_close(self.group.hat(xi), terms.sum(-3).reshape(*shape, *self.group.element_shape))

    def test_algebra_is_closed_under_the_bracket(self) -> None:
        """Commutators of the basis lie in its span, and ad is the commutator in coordinates."""
        basis = self.group.basis(torch.float64)
        bracket = basis[:, None] @ basis[None] - basis[None] @ basis[:, None]
        coordinates = self.group.vee(bracket)
        self.assert_close(self.group.hat(coordinates), bracket)
        eye = torch.eye(self.group.dim, dtype=torch.float64)
        self.assert_close(self.group.ad(eye).mT, coordinates)

    @dtypes
    @places
    def test_exp_is_the_matrix_exponential(self, place: str, dtype: torch.dtype) -> None:
        """Exp equals matrix_exp of hat."""
        xi = self.tangent(20, place=place, dtype=dtype)
        self.assert_close(self.group.exp(xi), torch.linalg.matrix_exp(self.group.hat(xi)))

    @dtypes
    def test_closed_forms_equal_the_generic_ones(self, dtype: torch.dtype) -> None:
        """Every override gives what the base class computes from the basis."""
        cayley = self._cayley(*CAYLEY_TANGENT, "cayley_inverse")
        for operation in (*TANGENT_OPERATIONS, "right_jacobian_inverse", *ELEMENT_OPERATIONS, *cayley):
            x = self._input(operation, 2, 3, dtype=dtype)
            self.assert_close(self._call(operation)(x), getattr(MatrixLieGroup, operation)(self.group, x))
        g, h = self.element(5, dtype=dtype), self.element(5, seed=1, dtype=dtype)
        mu = self.tangent(5, dtype=dtype)
        for operation, a, b in (
            ("coadjoint", g, mu),
            ("coadjoint_algebra", mu, mu.flip(0)),
            ("compose", g, h),
            ("plus", g, mu),
            ("minus", h, g),
            ("distance", g, h),
            ("squared_distance", g, h),
        ):
            generic = getattr(MatrixLieGroup, operation)(self.group, a, b)
            self.assert_close(getattr(self.group, operation)(a, b), generic)
