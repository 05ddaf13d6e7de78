"""Kernel of a RATTLE step; entries of matrices that are always zero are left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .._fixed_point import emit_fixed_point
from .._method import StepCode
from ..kernels import Rows, emit_linear_solve
from ..systems import ConstrainedSystem


class Coefficients(NamedTuple):
    """What stays the same along a trajectory.

    Attributes:
        step: Length of a step.
        fade: Factor of the momenta for friction over half a step, or ``None``.
        gain: Generalised forces per input ``(d, m)``, or ``None``.
    """

    step: float | Tensor
    fade: Tensor | None
    gain: Tensor | None


def detached(step: float | Tensor) -> float | Tensor:
    """A step without its derivatives.

    Args:
        step: A number or a tensor.

    Returns:
        The same number.
    """
    return step.detach() if isinstance(step, Tensor) else step


class RattleCode:
    """Writes one step."""

    def __init__(
        self, system: ConstrainedSystem, code: StepCode, coefficients: Coefficients, iterations: int
    ) -> None:
        """Reserve rows and parameters.

        Args:
            system: The system.
            code: The kernel under construction.
            coefficients: What stays the same from step to step.
            iterations: Largest number of Newton steps.
        """
        b = self.builder = code.builder
        step, fade, gain = coefficients
        self.system, self.code, self.gain, self.iterations = system, code, gain, iterations
        d, m = system.degrees, len(system.constraint_names)
        self.d, self.m = d, m
        factor = 1.0 if fade is None else float(fade.detach())
        h = float(detached(step))
        place = b.parameter(torch.tensor([h, 0.5 * h, factor], dtype=torch.float64))
        self.h, self.half, self.fade = (b.number(place + k) for k in range(3))
        self.gain_place = 0 if gain is None else b.parameter(gain)
        self.q, self.p = code.state[:d], code.state[d:]
        slope, mass = system.jacobian_pattern(), system.mass_pattern()
        self.slope_pattern = slope
        self.reaction_pattern = [
            [any(mass[k][i] and slope[j][i] for i in range(d)) for k in range(d)] for j in range(m)
        ]
        self.pattern = [[bool(self._shared(i, j)) for j in range(m)] for i in range(m)]
        self.slope, self.late_slope, self.reaction = b.rows(m * d), b.rows(m * d), b.rows(m * d)
        self.matrix, self.right = b.rows(m * m), b.rows(m)

    def _shared(self, i: int, j: int) -> list[int]:
        """Positions in which row ``i`` of the Jacobian and reaction ``j`` both have an entry."""
        return [k for k in range(self.d) if self.slope_pattern[i][k] and self.reaction_pattern[j][k]]

    def emit(self, projects: bool) -> None:
        """Write the step.

        Args:
            projects: Whether the momenta are projected in the end.
        """
        b, d, system, offset = self.builder, self.d, self.system, self.code.offset
        self._kick(self.fade)
        free, end = b.rows(d), b.rows(d)
        multiplier, candidate = b.rows(self.m), b.rows(self.m)
        scale, reach, weight = b.rows(3)
        system.emit_velocity(
            b, offset, self.p, [f"@{f} = @{q} + {self.h} * {{}}" for f, q in zip(free, self.q, strict=True)]
        )
        self._slopes(self.q, self.slope, whole=True)
        self._reactions()
        b.lanes(
            f"@{scale} = 0.0\n@{reach} = 0.0\n@{weight} = 0.0",
            *[f"@{row} = 0.0" for row in multiplier],
            *[
                f"@{scale} = max(@{scale}, abs(@{q}))\n@{reach} = max(@{reach}, abs(@{f} - @{q}))"
                for f, q in zip(free, self.q, strict=True)
            ],
            *[f"@{weight} = max(@{weight}, {self._column_size(k)})" for k in range(d)],
            f"@{weight} = @{weight} * {self.h}",
        )

        def newton() -> None:
            self._land(free, end, multiplier)
            system.emit_constraint(b, offset, end, [f"@{row} = {{}}" for row in self.right])
            self._slopes(end, self.late_slope, whole=False)
            self._multiply(self.late_slope)
            emit_linear_solve(b, self.matrix, self.right, self.pattern)
            b.lanes(
                *[
                    f"@{c} = @{a} + @{x} / {self.h}"
                    for c, a, x in zip(candidate, multiplier, self.right, strict=True)
                ]
            )

        verdict = self.code.verdict[0]
        emit_fixed_point(
            b, newton, multiplier, candidate, scale, verdict, f"@{weight}", reach, self.iterations
        )
        self._land(free, self.q, multiplier)
        self._pull(self.slope, multiplier)
        forces = [f"@{row} = {{}}" for row in self.code.carried]
        system.emit_force(b, offset, self.q, [], forces)
        self._kick("")
        if projects:
            self._slopes(self.q, self.slope, whole=True)
            self._reactions()
            self._multiply(self.slope)
            b.lanes(
                *[
                    f"@{row} = {self._dot(self.reaction, self.reaction_pattern, j, self.p)}"
                    for j, row in enumerate(self.right)
                ]
            )
            emit_linear_solve(b, self.matrix, self.right, self.pattern)
            self._pull(self.slope, self.right)
        b.lanes(*[f"@{p} = {self.fade} * @{p}" for p in self.p])

    def _kick(self, fade: str) -> None:
        b, inputs = self.builder, self.code.control
        lines = []
        for k, (p, force) in enumerate(zip(self.p, self.code.carried, strict=True)):
            push = [f"@{force}"]
            if self.gain is not None:
                gains = [b.number(self.gain_place + k * len(inputs) + j) for j in range(len(inputs))]
                push += [f"{g} * @{u}" for g, u in zip(gains, inputs, strict=True)]
            start = f"{fade} * @{p}" if fade else f"@{p}"
            lines.append(f"@{p} = {start} + {self.half} * ({' + '.join(push)})")
        b.lanes(*lines)

    def _slopes(self, q: Rows, rows: Rows, whole: bool) -> None:
        """Write the Jacobian of the constraints; zeros only where the whole of it is read."""
        needed = [whole or known for line in self.slope_pattern for known in line]
        targets = [f"@{row} = {{}}" if n else "" for row, n in zip(rows, needed, strict=True)]
        self.system.emit_constraint_jacobian(self.builder, self.code.offset, q, targets)

    def _reactions(self) -> None:
        """Write ``M^-1 G^T`` row by row."""
        for j in range(self.m):
            rows = self.reaction[j * self.d : (j + 1) * self.d]
            known = self.reaction_pattern[j]
            targets = [f"@{row} = {{}}" if k else "" for row, k in zip(rows, known, strict=True)]
            slope = self.slope[j * self.d : (j + 1) * self.d]
            self.system.emit_velocity(self.builder, self.code.offset, slope, targets)

    def _multiply(self, slope: Rows) -> None:
        """Write ``G M^-1 G^T`` with the given left factor."""
        d, lines = self.d, []
        for i in range(self.m):
            for j in range(self.m):
                terms = [f"@{slope[i * d + k]} * @{self.reaction[j * d + k]}" for k in self._shared(i, j)]
                if terms:
                    lines.append(f"@{self.matrix[i * self.m + j]} = {' + '.join(terms)}")
        self.builder.lanes(*lines)

    def _column(
        self, pattern: list[list[bool]], rows: Rows, k: int, term: Callable[[int, int], str]
    ) -> list[str]:
        return [term(j, rows[j * self.d + k]) for j in range(self.m) if pattern[j][k]]

    def _column_size(self, k: int) -> str:
        sizes = self._column(self.reaction_pattern, self.reaction, k, lambda _, row: f"abs(@{row})")
        return " + ".join(sizes) or "0.0"

    def _land(self, free: Rows, end: Rows, multiplier: Rows) -> None:
        """Write positions that the multipliers have moved."""
        lines = []
        for k in range(self.d):
            pulls = self._column(
                self.reaction_pattern, self.reaction, k, lambda j, row: f"@{row} * @{multiplier[j]}"
            )
            moved = f" - {self.h} * ({' + '.join(pulls)})" if pulls else ""
            lines.append(f"@{end[k]} = @{free[k]}{moved}")
        self.builder.lanes(*lines)

    def _pull(self, slope: Rows, multiplier: Rows) -> None:
        """Write momenta less the impulse of the constraints."""
        lines = []
        for k, p in enumerate(self.p):
            pulls = self._column(self.slope_pattern, slope, k, lambda j, row: f"@{row} * @{multiplier[j]}")
            lines += [f"@{p} = @{p} - ({' + '.join(pulls)})"] if pulls else []
        self.builder.lanes(*lines)

    def _dot(self, rows: Rows, pattern: list[list[bool]], j: int, vector: Rows) -> str:
        terms = [f"@{rows[j * self.d + k]} * @{vector[k]}" for k in range(self.d) if pattern[j][k]]
        return " + ".join(terms) or "0.0"
