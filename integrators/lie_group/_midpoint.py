"""The implicit midpoint rule on Lie groups."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .._fixed_point import emit_fixed_point, solve_fixed_point
from .._method import StepCode, SystemMethod
from .._status import report
from ._field import GroupSystem
from ._group_code import GroupCode


class LieMidpoint(SystemMethod):
    """The implicit midpoint rule on a group: order 2, symmetric, one exponential of the whole step.

    ``Y' = exp(w) Y`` with ``w = h f(exp(w / 2) Y)``; for left-trivialised systems ``Y exp(w)``. On reversible
    systems energies oscillate and do not drift. The equation is solved until rounding stops the iteration;
    where it has no solution, ``StepError`` is raised, or a rollout stops that trajectory.

    Source: Zanna, Engø, Munthe-Kaas, Adjoint and selfadjoint Lie-group methods, BIT 41 (2001) 395.
    """

    requires: ClassVar[Any] = GroupSystem
    implicit: ClassVar[bool] = True
    system: GroupSystem
    order = 2
    symmetric = True

    def _solve(self, x: Tensor, control: Tensor | None) -> tuple[Tensor, Tensor]:
        def tangent(w: Tensor) -> Tensor:
            return self.h * self.system.slopes(self.system.move(x, 0.5 * w), control)

        with torch.no_grad():
            start = self.h * self.system.slopes(x.detach(), control)
        return solve_fixed_point(tangent, start, x.detach().abs().sum(-1))

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        """Move the states by one step; raises ``StepError`` where the equation has no solution."""
        w, status = self._solve(carry, control)
        report(status)
        return self.system.move(carry, w)

    def try_advance(self, carry: Tensor, control: Tensor | None, constants: None) -> tuple[Tensor, Tensor]:
        """Like ``advance``, with a status per trajectory in place of an error."""
        w, status = self._solve(carry, control)
        return self.system.move(carry, w), status

    def emit_step(self, code: StepCode) -> None:
        """Write one step."""
        b, system = code.builder, self.system
        group = GroupCode(system, b, code.state)
        middle, w, candidate, (scale,) = group.stage(), b.rows(group.dim), b.rows(group.dim), b.rows(1)
        h = b.number(b.parameter(torch.tensor([self.h], dtype=torch.float64)))
        targets = [f"@{row} = {h} * {{}}" for row in w]
        system.emit_slopes(b, code.offset, code.state, code.control, targets)
        b.lanes(f"@{scale} = " + " + ".join(f"abs(@{row})" for row in code.state), join=True)

        def sweep() -> None:
            group.move(code.state, middle, [[f"0.5 * @{row}" for row in w]])
            targets = [f"@{row} = {h} * {{}}" for row in candidate]
            system.emit_slopes(b, code.offset, middle, code.control, targets)

        emit_fixed_point(b, sweep, w, candidate, scale, code.verdict[0])
        group.move(code.state, code.state, [[f"@{row}" for row in w]])
