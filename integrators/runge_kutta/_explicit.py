"""Explicit Runge-Kutta methods, for comparison: they keep no structure."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .._method import StepCode
from .._summation import add, increments
from ..kernels import KernelBuilder, Rows
from ..systems import System
from ._any_system import AnySystemMethod
from ._tableau import Tableau

_HNW = "Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, 2nd ed. 1993, II.1"
RUNGE_KUTTA_4 = Tableau(
    "Runge-Kutta 4",
    4,
    ((0.0, 0.0, 0.0, 0.0), (0.5, 0.0, 0.0, 0.0), (0.0, 0.5, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)),
    (1 / 6, 1 / 3, 1 / 3, 1 / 6),
    _HNW,
)
_LONGEST_REPEATED = 120
"""Lines of a field up to which the code of every stage holds it, which costs time to compile."""


class ExplicitCarry(NamedTuple):
    """Working form of a state.

    Attributes:
        x: The state ``(..., n)``.
        error: Its rounding error, where sums are compensated.
    """

    x: Tensor
    error: Tensor | None = None


class ExplicitRungeKutta(AnySystemMethod):
    """An explicit Runge-Kutta method from its tableau, for every system.

    No explicit Runge-Kutta method is symplectic or symmetric: energies drift in proportion to time. It is
    here for comparison and for systems without structure.

    Source: Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, 2nd ed. 1993, II.1.
    """

    def __init__(self, system: System, h: float, tableau: Tableau, compensated: bool = False) -> None:
        """Bind.

        Args:
            system: Any system.
            h: Step; negative steps go back in time.
            tableau: Coefficients.
            compensated: Whether the rounding errors of the state are carried along.

        Raises:
            ValueError: If the tableau is implicit.
        """
        super().__init__(system, h)
        if not tableau.explicit:
            raise ValueError(
                f"tableau: expected an explicit method, zero on and above the diagonal, got {tableau.name}; "
                "GaussLegendre and LobattoPair are implicit methods"
            )
        self.tableau, self.compensated = tableau, compensated
        self.order, self.evaluations = tableau.order, tableau.stages

    def start(self, x: Tensor, constants: None) -> ExplicitCarry:
        """Begin with no rounding error."""
        return ExplicitCarry(x, torch.zeros_like(x) if self.compensated else None)

    def advance(self, carry: ExplicitCarry, control: Tensor | None, constants: None) -> ExplicitCarry:
        """Evaluate the stages in order and add them up."""
        x, error = carry
        slopes: list[Tensor] = []
        for row in self.tableau.a:
            stage = x
            for weight, slope in zip(row, slopes, strict=False):
                if weight:
                    stage = stage + self.h * weight * slope
            slopes.append(self.system.field(stage, control))
        total = sum(
            (self.h * w * slope for w, slope in zip(self.tableau.b, slopes, strict=True)), torch.zeros_like(x)
        )
        return ExplicitCarry(*add(x, error, total))

    def finish(self, carry: ExplicitCarry, constants: None) -> Tensor:
        """Read the states out."""
        return carry.x

    def emit_carried(self, builder: KernelBuilder) -> Rows:
        """Reserve rows for rounding errors."""
        return builder.rows(self.space.size * self.compensated)

    def emit_start(self, code: StepCode) -> None:
        """Write zero rounding errors."""
        code.builder.lanes(*[f"@{row} = 0.0" for row in code.carried], join=True)

    def emit_step(self, code: StepCode) -> None:
        """Write the stages and their sum; the coefficients are parameters."""
        b, x, s, n = code.builder, code.state, self.tableau.stages, len(code.state)
        stage = b.rows(n)
        slopes = [b.rows(n) for _ in range(s)]
        weights = torch.tensor([*self.tableau.a, self.tableau.b], dtype=torch.float64)
        loop = self._field_length(code) > _LONGEST_REPEATED
        place = b.parameter(self.h * weights)

        def total(i: int, c: int) -> str:
            used = [j for j in range(s) if float(weights[i, j]) != 0.0]
            return " + ".join(f"{b.number(place + i * s + j)} * @{slopes[j][c]}" for j in used)

        if loop:
            self._emit_loop(code, stage, slopes, place)
        for i in range(0 if loop else s):
            used = x
            if bool((weights[i] != 0).any()):
                used = stage
                b.lanes(*[f"@{stage[c]} = @{x[c]} + {total(i, c)}" for c in range(n)], join=True)
            targets = [f"@{row} = {{}}" for row in slopes[i]]
            self.system.emit_field(b, code.offset, used, code.control, targets)
        sums = [t.format(f"({total(s, c)})") for c, t in enumerate(increments(x, code.carried))]
        b.lanes(*sums, join=True)

    def _field_length(self, code: StepCode) -> int:
        """Lines of the field of the system."""
        trial = KernelBuilder()
        trial.section("step")
        x, targets = trial.rows(len(code.state)), ["@0 = {}"] * len(code.state)
        self.system.emit_field(trial, code.offset, x, code.control, targets)
        return trial.function("step", "A, P").count("\n")

    def _emit_loop(self, code: StepCode, stage: Rows, slopes: list[Rows], place: int) -> None:
        """Write the stages as a loop, so that the field is there once."""
        b, x, n = code.builder, code.state, len(code.state)
        slope = f"A[({slopes[0][0]} + {{}} * {n} + {{}}) * L + l]"
        with b.loop(f"for turn in range({len(slopes)}):"):
            b.lanes(*[f"@{stage[c]} = @{x[c]}" for c in range(n)])
            with b.loop("for past in range(turn):"):
                b.line(f"weight = P[{place} + turn * {len(slopes)} + past]")
                b.lanes(
                    *[f"@{stage[c]} = @{stage[c]} + weight * {slope.format('past', c)}" for c in range(n)]
                )
            targets = [slope.format("turn", c) + " = {}" for c in range(n)]
            self.system.emit_field(b, code.offset, stage, code.control, targets)


class RungeKutta4(ExplicitRungeKutta):
    """The classical Runge-Kutta method of order 4, for comparison: energies drift in proportion to time."""

    def __init__(self, system: System, h: float, compensated: bool = False) -> None:
        """Bind.

        Args:
            system: Any system.
            h: Step; negative steps go back in time.
            compensated: Whether the rounding errors of the state are carried along.
        """
        super().__init__(system, h, RUNGE_KUTTA_4, compensated)
