"""Implicit Runge-Kutta methods whose unknowns are the weighted slopes of the stages."""

from __future__ import annotations

import warnings
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .._fixed_point import Function, attach, is_differentiated, iterate
from .._method import StepCode
from .._status import report
from .._summation import add
from ..kernels import KernelBuilder, Rows
from ..systems import HamiltonianSystem, System
from . import _stage_kernel
from ._any_system import AnySystemMethod
from ._equations import NOISE_OF_STATE, StageEquations
from ._quadrature import continuation, quadrature

Solver = Literal["fixed point", "newton"]


class StageCarry(NamedTuple):
    """Working form of a state.

    Attributes:
        x: The state ``(..., n)``.
        slopes: Weighted slopes ``h b_i f(Y_i)`` of the step before ``(..., s, n)``, the next one's guess.
        error: Rounding error of ``x``, where sums are compensated.
    """

    x: Tensor
    slopes: Tensor
    error: Tensor | None = None


class LooseToleranceWarning(UserWarning):
    """The stages of an implicit method are not solved to rounding, so that invariants drift."""


class StageMethod(AnySystemMethod):
    """Base of the implicit methods: stages ``Y_i = x + sum_j m_ij L_j`` with ``L_i = h b_i f(Y_i)``.

    The slopes start from the polynomial of the step before and are iterated until rounding stops them, and
    the new state is ``x + sum_i L_i``.

    Attributes:
        compensated: Whether rounding errors are carried along.
        tolerance: Where the iteration stops, if it does not go on to rounding.
        solver: How the equations of the stages are solved.
    """

    implicit = True
    symmetric = True
    kind: Literal["gauss", "lobatto"]

    def __init__(
        self,
        system: System,
        h: float,
        stages: int,
        compensated: bool,
        tolerance: float | None,
        solver: Solver,
    ) -> None:
        """Bind; see the subclasses."""
        super().__init__(system, h)
        if solver not in ("fixed point", "newton"):
            raise ValueError(f"solver: expected 'fixed point' or 'newton', got {solver!r}")
        if tolerance is not None:
            if not tolerance > 0:
                raise ValueError(f"tolerance: expected a positive number or None, got {tolerance}")
            warnings.warn(
                f"tolerance={tolerance}: stages that are not solved to rounding make the method lose its "
                "structure; the energy drifts in proportion to tolerance/h; leave tolerance=None",
                LooseToleranceWarning,
                stacklevel=4,
            )
        self.stages, self.compensated, self.tolerance, self.solver = stages, compensated, tolerance, solver
        self.symplectic = isinstance(system, HamiltonianSystem) and system.conservative
        self.reversible = isinstance(system, HamiltonianSystem) and system.reversible

    def couplings(self, dtype: torch.dtype = torch.float64) -> list[tuple[int, int, Tensor]]:
        """First and last column of each group of entries of the state, and its numbers ``m`` ``(s, s)``."""
        raise NotImplementedError

    def start(self, x: Tensor, constants: None) -> StageCarry:
        """Take the slope at the states ``(..., n)`` for all stages."""
        with torch.no_grad():
            control = x.new_zeros(self.control_size) if self.control_size else None
            control = None if control is None else control.expand(*x.shape[:-1], -1)
            slope = self.system.field(x.detach(), control).detach().unsqueeze(-2)
        slopes = self.weights(x).unsqueeze(-1) * slope
        return StageCarry(x, slopes, torch.zeros_like(x) if self.compensated else None)

    @property
    def repeats(self) -> int:
        """How often rounding has to stop an iteration: after once, errors still have a faint sign."""
        return 2 if self.compensated else 1

    def weights(self, x: Tensor) -> Tensor:
        """Step times weights ``h b_i``, in the dtype and on the device of states."""
        weights = [float(value) for value in quadrature(self.kind, self.stages)[1]]
        return self.h * torch.tensor(weights, dtype=x.dtype, device=x.device)

    def _step(self, carry: StageCarry, control: Tensor | None) -> tuple[StageCarry, Tensor]:
        x, slopes, error = carry
        s, n = slopes.shape[-2:]
        held = None if control is None else control.unsqueeze(-2).expand(*x.shape[:-1], s, -1)
        fixed = StageEquations(self, x.detach(), None if held is None else held.detach(), error)
        with torch.no_grad():
            following = torch.tensor(continuation(self.kind, s), dtype=x.dtype, device=x.device)
            guess = (following @ slopes).detach()
            scale = NOISE_OF_STATE * x.detach().abs().amax(-1)
            sweep: Function = fixed.sweep
            if self.solver == "newton":
                middle = (fixed.x + 0.5 * guess.sum(-2)).unsqueeze(-2).expand_as(guess)
                sweep = fixed.newton(fixed.sweep, fixed.inverse(middle))
            solved, status = iterate(
                sweep, guess.flatten(-2), scale, tolerance=self.tolerance, repeats=self.repeats
            )
        exact = solved
        moving = StageEquations(self, x, held, error)
        if is_differentiated(moving.sweep(solved)):
            inverse = fixed.inverse(fixed.stages(solved))
            exact = attach(moving.newton(moving.sweep, inverse), solved)
        x, error = add(x, error, exact.unflatten(-1, (s, n)).sum(-2))
        carry = StageCarry(x, solved.unflatten(-1, (s, n)), None if error is None else error.detach())
        return carry, status

    def advance(self, carry: StageCarry, control: Tensor | None, constants: None) -> StageCarry:
        """Move the states by one step; raises ``StepError`` where the stages have no solution to rounding."""
        carry, status = self._step(carry, control)
        report(status)
        return carry

    def try_advance(
        self, carry: StageCarry, control: Tensor | None, constants: None
    ) -> tuple[StageCarry, Tensor]:
        """Like ``advance``, with a status per trajectory in place of an error."""
        return self._step(carry, control)

    def finish(self, carry: StageCarry, constants: None) -> Tensor:
        """Read the states out."""
        return carry.x

    def emit_carried(self, builder: KernelBuilder) -> Rows:
        """Reserve rows for the slopes of the step before and for rounding errors."""
        return builder.rows(self.space.size * (self.stages + self.compensated))

    def emit_start(self, code: StepCode) -> None:
        """Write the first slopes."""
        _stage_kernel.emit_start(self, code)

    def emit_step(self, code: StepCode) -> None:
        """Write one step."""
        _stage_kernel.emit_step(self, code)
