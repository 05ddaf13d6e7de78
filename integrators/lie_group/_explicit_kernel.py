"""Kernel code of explicit Runge-Kutta methods on Lie groups."""

from __future__ import annotations

from itertools import chain

import torch

from .._method import StepCode
from ..kernels import Rows
from ._field import GroupSystem
from ._group_code import GroupCode
from ._table import Exponent, GroupScheme


def emit_explicit_step(system: GroupSystem, scheme: GroupScheme, h: float, code: StepCode) -> None:
    """Write one step.

    Args:
        system: The system.
        scheme: Coefficients.
        h: The step.
        code: The kernel, in whose rows of the state the step starts and ends.
    """
    _ExplicitStep(system, scheme, h, code).emit()


class _ExplicitStep:
    def __init__(self, system: GroupSystem, scheme: GroupScheme, h: float, code: StepCode) -> None:
        self.system, self.scheme, self.code, self.b = system, scheme, code, code.builder
        self.group = GroupCode(system, code.builder, code.state)
        self.slopes = [self.b.rows(self.group.dim) for _ in scheme.stages]
        numbers = self._numbers()
        place = self.b.parameter(torch.tensor([h, *numbers], dtype=torch.float64))
        self.h = self.b.number(place)
        self.names = {value: self.b.number(place + 1 + k) for k, value in enumerate(numbers)}

    def _exponents(self) -> list[Exponent]:
        return list(chain.from_iterable((*self.scheme.stages, self.scheme.update)))

    def _numbers(self) -> list[float]:
        """The coefficients, each once."""
        found = [w for e in self._exponents() for w in (*e.weights, *(c for c, _, _ in e.brackets))]
        return list(dict.fromkeys(w for w in found if w))

    def emit(self) -> None:
        state, spare = self.code.state, self.group.stage()
        reached: dict[tuple[Exponent, ...], Rows] = {(): state}
        for k, exponents in enumerate(self.scheme.stages):
            rows = state
            if exponents:
                rows = self.group.stage() if self._needed_later(k) else spare
                self._move(exponents, rows, reached)
                if rows is not spare:
                    reached[exponents] = rows
            slope = self.slopes[k]
            targets = [f"@{row} = {self.h} * {{}}" for row in slope]
            self.system.emit_slopes(self.b, self.code.offset, rows, self.code.control, targets)
            if self.scheme.corrected and exponents:
                self._turn_back(exponents[0], slope)
        self._move(self.scheme.update, state, reached)

    def _needed_later(self, k: int) -> bool:
        """Whether a later product of exponentials begins with that of a stage."""
        own = self.scheme.stages[k]
        later = (*self.scheme.stages[k + 1 :], self.scheme.update)
        return any(other[: len(own)] == own for other in later)

    def _move(
        self, exponents: tuple[Exponent, ...], target: Rows, reached: dict[tuple[Exponent, ...], Rows]
    ) -> None:
        known = max(n for n in range(len(exponents)) if exponents[:n] in reached)
        tangents = [self._tangent(e, f"b{m}_") for m, e in enumerate(exponents[known:])]
        self.group.move(reached[exponents[:known]], target, tangents)

    def _tangent(self, exponent: Exponent, prefix: str) -> list[str]:
        """Texts of the numbers of a tangent; its brackets are written first."""
        terms: list[list[str]] = [[] for _ in range(self.group.dim)]
        for weight, slope in zip(exponent.weights, self.slopes, strict=False):
            for k, row in enumerate(slope if weight else []):
                terms[k].append(f"{self.names[weight]} * @{row}")
        for m, (weight, i, j) in enumerate(exponent.brackets):
            pair = ([f"@{row}" for row in self.slopes[s]] for s in (i, j))
            self.b.lanes(*self.group.bracket(f"{prefix}{m}_", *pair), join=True)
            for k in range(self.system.group.dim):
                terms[k].append(f"{self.names[weight]} * {prefix}{m}_{k}")
        return [" + ".join(each) for each in terms]

    def _turn_back(self, exponent: Exponent, slope: Rows) -> None:
        """Apply the inverse derivative of the exponential to a slope, up to two brackets."""
        n = self.system.group.dim
        u = [f"u{k}" for k in range(n)]
        once, twice = [f"once{k}" for k in range(n)], [f"twice{k}" for k in range(n)]
        lines = [f"{name} = {text}" for name, text in zip(u, self._tangent(exponent, "b"), strict=False)]
        lines += self.group.bracket("once", u, [f"@{row}" for row in slope])
        lines += self.group.bracket("twice", u, once)
        lines += [
            f"@{row} = @{row} - 0.5 * {a} + {1 / 12!r} * {b}"
            for row, a, b in zip(slope, once, twice, strict=False)
        ]
        self.b.lanes(*lines, join=True)
