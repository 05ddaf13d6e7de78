"""Explicit Runge-Kutta methods on Lie groups."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from .._method import StepCode, SystemMethod
from . import _table
from ._explicit_kernel import emit_explicit_step
from ._field import GroupSystem
from ._table import Exponent, GroupScheme


class LieRungeKutta(SystemMethod):
    """An explicit method that moves by exponentials, and so stays on the group to rounding.

    None of these methods is symplectic or symmetric: beside the group they keep no structure, and errors of
    energies and momenta grow in proportion to time. ``LieMidpoint``, and for rigid bodies
    ``RigidBodySplitting`` and ``RigidBodyIntegrator``, keep them bounded.

    Source: Iserles, Munthe-Kaas, Nørsett, Zanna, Lie-group methods, Acta Numerica 9 (2000) 215; Hairer,
    Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, section IV.8.
    """

    requires: ClassVar[Any] = GroupSystem
    system: GroupSystem

    def __init__(self, system: GroupSystem, h: float, scheme: GroupScheme) -> None:
        """Bind a scheme to a system.

        Args:
            system: A ``GroupField`` or ``SymbolicGroupField``.
            h: Step; negative steps go back in time.
            scheme: Coefficients.
        """
        super().__init__(system, h)
        self.scheme, self.order, self.evaluations = scheme, scheme.order, len(scheme.stages)

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        """Evaluate the stages in order and move by their exponentials."""
        slopes: list[Tensor] = []
        reached: dict[tuple[Exponent, ...], Tensor] = {(): carry}
        for exponents in self.scheme.stages:
            slope = self.h * self.system.slopes(self._reach(exponents, slopes, reached), control)
            if self.scheme.corrected and exponents:
                slope = self._turned_back(self._tangent(exponents[0], slopes), slope)
            slopes.append(slope)
        return self._reach(self.scheme.update, slopes, reached)

    def _reach(
        self,
        exponents: tuple[Exponent, ...],
        slopes: list[Tensor],
        reached: dict[tuple[Exponent, ...], Tensor],
    ) -> Tensor:
        """Where a product of exponentials leads, from the longest part of it that is known."""
        if exponents not in reached:
            before = self._reach(exponents[:-1], slopes, reached)
            reached[exponents] = self.system.move(before, self._tangent(exponents[-1], slopes))
        return reached[exponents]

    def _tangent(self, exponent: Exponent, slopes: list[Tensor]) -> Tensor:
        terms = [w * k for w, k in zip(exponent.weights, slopes, strict=False) if w]
        terms += [w * self.system.bracket(slopes[i], slopes[j]) for w, i, j in exponent.brackets]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def _turned_back(self, u: Tensor, v: Tensor) -> Tensor:
        once = self.system.bracket(u, v)
        return v - 0.5 * once + (1 / 12) * self.system.bracket(u, once)

    def emit_step(self, code: StepCode) -> None:
        """Write one step; the coefficients are parameters."""
        emit_explicit_step(self.system, self.scheme, self.h, code)


class _Named(LieRungeKutta):
    """A method whose scheme is fixed by its class."""

    scheme_used: GroupScheme

    def __init__(self, system: GroupSystem, h: float) -> None:
        """Bind the scheme to a system.

        Args:
            system: A ``GroupField`` or ``SymbolicGroupField``.
            h: Step.
        """
        super().__init__(system, h, self.scheme_used)


class LieEuler(_Named):
    """Lie-Euler: order 1, one evaluation, one exponential."""

    scheme_used = _table.LIE_EULER


class CrouchGrossman3(_Named):
    """Crouch-Grossman: order 3, three evaluations, six exponentials."""

    scheme_used = _table.CROUCH_GROSSMAN_3


class CrouchGrossman4(_Named):
    """Crouch-Grossman: order 4, five evaluations, fifteen exponentials; CommutatorFree4 is more accurate."""

    scheme_used = _table.CROUCH_GROSSMAN_4


class CommutatorFree3(_Named):
    """Celledoni-Marthinsen-Owren: order 3, three evaluations, three exponentials, no commutators."""

    scheme_used = _table.COMMUTATOR_FREE_3


class CommutatorFree4(_Named):
    """Celledoni-Marthinsen-Owren: order 4, four evaluations, five exponentials, no commutators."""

    scheme_used = _table.COMMUTATOR_FREE_4


class RKMK4(LieRungeKutta):
    """Runge-Kutta-Munthe-Kaas: order 4, four evaluations, four exponentials, the accurate choice here."""

    def __init__(self, system: GroupSystem, h: float, full: bool = False) -> None:
        """Bind.

        Args:
            system: A ``GroupField`` or ``SymbolicGroupField``.
            h: Step.
            full: Whether each slope is turned back by the inverse derivative of the exponential, with six
                commutators, a little more accurate; otherwise two commutators do.
        """
        super().__init__(system, h, _table.RKMK_4_FULL if full else _table.RKMK_4)
        self.full = full
