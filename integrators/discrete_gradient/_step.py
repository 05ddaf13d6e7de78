"""What the discrete-gradient methods share: the implicit step, in torch and in kernels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .._fixed_point import emit_fixed_point, solve_fixed_point
from .._linear import apply
from .._method import StepCode
from .._status import report
from .._summation import add, increments
from ..kernels import KernelBuilder, Rows
from ..runge_kutta._any_system import AnySystemMethod
from ..systems import HamiltonianSystem, SkewGradientSystem, System

EnergySystem = HamiltonianSystem | SkewGradientSystem


class EnergyCarry(NamedTuple):
    """Working form of a state.

    Attributes:
        x: States ``(..., n)``.
        error: Rounding error of the states, where sums are compensated.
    """

    x: Tensor
    error: Tensor | None = None


class EnergyCode(NamedTuple):
    """Rows of the kernel of a step.

    Attributes:
        code: The kernel.
        first: Variables at the beginning of the step.
        last: Variables at its end.
        middle: Their mean.
        clock: Time in the middle of the step, where the system depends on it.
        slope: The discrete gradient.
    """

    code: StepCode
    first: Rows
    last: Rows
    middle: Rows
    clock: Rows
    slope: Rows


class DiscreteGradient(AnySystemMethod):
    """``z1 = z0 + h S g(z0, z1)`` with a discrete gradient, ``g . (z1 - z0) = H(z1) - H(z0)``.

    ``S`` is the structure of the system: canonical, or ``B - D`` of a Poisson system at the middle.
    Where ``S`` is skew the energy is kept to rounding at every step length; where it dissipates the energy
    never grows. Such methods are not symplectic. Where the energy depends on time, time is held at the middle
    of the step. The equation is solved by fixed-point iteration until rounding stops it; a step that is too
    long for that is reported and never returned.

    Source: McLachlan, Quispel, Robidoux, Phil. Trans. R. Soc. A 357 (1999) 1021; Hairer, Lubich, Wanner,
    Geometric Numerical Integration, 2nd ed. 2006, V.5.
    """

    implicit = True
    symmetric = True
    system: EnergySystem

    def __init__(self, system: System, h: float, compensated: bool = False) -> None:
        """Bind.

        Args:
            system: A ``HamiltonianSystem`` or a ``SkewGradientSystem`` such as a Poisson system; it may
                dissipate.
            h: Step; negative steps go back in time.
            compensated: Whether the rounding errors of the states are carried along.

        Raises:
            TypeError: If the system is of another kind.
            ValueError: If the system has no energy, or has inputs, which change it.
        """
        super().__init__(system, h)
        if not isinstance(system, HamiltonianSystem | SkewGradientSystem):
            raise TypeError(
                f"system: {type(self).__name__} expects a HamiltonianSystem or a SkewGradientSystem, "
                f"whose energy it keeps, got {type(system).__name__}; GaussLegendre treats any system"
            )
        forced = system.control_size or (isinstance(system, HamiltonianSystem) and system.forced)
        if not system.has_energy or forced:
            reason = "forces that change it" if forced else "none"
            raise ValueError(
                f"system: {type(self).__name__} keeps the energy, but {system!r} has {reason}; "
                "GaussLegendre treats any system"
            )
        self.compensated = compensated
        self.variables = system.space.size - system.timed
        self.dissipative = isinstance(system, SkewGradientSystem) and system.dissipative
        self.energy_preserving = not (system.timed or self.dissipative)
        self.reversible = self.symmetric and isinstance(system, HamiltonianSystem)

    @abstractmethod
    def discrete_gradient(self, z0: Tensor, z1: Tensor, clock: Tensor | None) -> Tensor:
        """Compute ``g`` with ``g . (z1 - z0) = H(z1) - H(z0)``.

        Args:
            z0: Variables without time ``(..., k)``.
            z1: Variables without time ``(..., k)``.
            clock: Time ``(..., 1)`` in the middle of the step, where the system depends on it.

        Returns:
            Shape ``(..., k)``.
        """

    @abstractmethod
    def emit_discrete_gradient(self, rows: EnergyCode) -> Callable[[], None]:
        """Write what stays the same while the step is solved, and give what writes the discrete gradient."""

    def gradient_at(self, z: Tensor, clock: Tensor | None) -> Tensor:
        """Gradient of the energy in the variables, ``(..., k)``."""
        gradient = self.system.gradient(_with_time(z, clock))
        return gradient if isinstance(gradient, Tensor) else torch.cat(gradient, -1)

    def energy_at(self, z: Tensor, clock: Tensor | None) -> Tensor:
        """Energy at variables ``(..., k)`` and times ``(..., 1)``, shape ``(...)``."""
        return self.system.energy(_with_time(z, clock))

    def start(self, x: Tensor, constants: None) -> EnergyCarry:
        """Take states ``(..., n)`` as they are."""
        return EnergyCarry(x, torch.zeros_like(x) if self.compensated else None)

    def finish(self, carry: EnergyCarry, constants: None) -> Tensor:
        """Give the states."""
        return carry.x

    def advance(self, carry: EnergyCarry, control: Tensor | None, constants: None) -> EnergyCarry:
        """Solve one step; raises ``StepError`` where that does not succeed."""
        carry, status = self.try_advance(carry, control, constants)
        report(status)
        return carry

    def try_advance(
        self, carry: EnergyCarry, control: Tensor | None, constants: None
    ) -> tuple[EnergyCarry, Tensor]:
        """Solve one step, with a status per trajectory in place of an error."""
        x, error = carry
        k = self.variables
        z0, clock = x[..., :k], x[..., k:] + 0.5 * self.h if self.system.timed else None

        def slope(v: Tensor) -> Tensor:
            z1 = z0 + self.h * v
            return self._along_structure(0.5 * (z0 + z1), self.discrete_gradient(z0, z1, clock))

        v, status = solve_fixed_point(slope, torch.zeros_like(z0), z0.abs().amax(-1), self.h)
        step = self.h * v
        if clock is not None:
            step = torch.cat((step, torch.full_like(clock, self.h)), -1)
        return EnergyCarry(*add(x, error, step)), status

    def _along_structure(self, middle: Tensor, gradient: Tensor) -> Tensor:
        if isinstance(self.system, SkewGradientSystem):
            return apply(self.system.operator(middle), gradient)
        d = self.system.degrees
        return torch.cat((gradient[..., d:], -gradient[..., :d]), -1)

    def emit_carried(self, builder: KernelBuilder) -> Rows:
        """Reserve rows for rounding errors."""
        return builder.rows(self.system.space.size * self.compensated)

    def emit_start(self, code: StepCode) -> None:
        """Write the rounding errors at the beginning."""
        code.builder.lanes(*[f"@{row} = 0.0" for row in code.carried], join=True)

    def emit_step(self, code: StepCode) -> None:
        """Write the iteration and the sum."""
        b, k = code.builder, self.variables
        first, time = code.state[:k], code.state[k:]
        speed, candidate = b.rows(k), b.rows(k)
        rows = EnergyCode(code, first, b.rows(k), b.rows(k), b.rows(len(time)), b.rows(k))
        scale = b.rows(1)[0]
        h = b.number(b.parameter(torch.tensor([self.h], dtype=torch.float64)))
        b.lanes(
            *[f"@{v} = 0.0" for v in speed],
            *[f"@{c} = @{t} + 0.5 * {h}" for c, t in zip(rows.clock, time, strict=True)],
            f"@{scale} = {largest(first)}",
        )
        write_gradient = self.emit_discrete_gradient(rows)

        def body() -> None:
            ends = zip(rows.last, rows.middle, first, speed, strict=True)
            for last, middle, z, v in ends:
                b.lanes(f"@{last} = @{z} + {h} * @{v}\n@{middle} = @{z} + 0.5 * {h} * @{v}", join=True)
            write_gradient()
            self._emit_structure(rows, candidate)

        emit_fixed_point(b, body, speed, candidate, scale, code.verdict[0], h)
        steps = [*(f"{h} * @{v}" for v in speed), *([h] if time else [])]
        sums = increments(code.state, code.carried)
        b.lanes(*[text.format(f"({step})") for text, step in zip(sums, steps, strict=True)])

    def emit_gradient_at(self, code: StepCode, x: Rows, targets: list[str]) -> None:
        """Write the gradient of the energy in the variables, one statement per component."""
        self.system.emit_gradient(code.builder, code.offset, x, targets)

    def _emit_structure(self, rows: EnergyCode, targets: Rows) -> None:
        b, slope = rows.code.builder, rows.slope
        if isinstance(self.system, SkewGradientSystem):
            zero = [f"@{row} = 0.0" for row in targets]
            sums = [f"@{t} = @{t} + {{}} * @{g}" for t in targets for g in slope]
            b.lanes(*zero)
            self.system.emit_operator(b, rows.code.offset, rows.middle, sums)
            return
        d = self.system.degrees
        b.lanes(
            *[f"@{targets[i]} = @{slope[d + i]}\n@{targets[d + i]} = -@{slope[i]}" for i in range(d)],
            join=True,
        )


def _with_time(z: Tensor, clock: Tensor | None) -> Tensor:
    return z if clock is None else torch.cat((z, clock.expand(*z.shape[:-1], 1)), -1)


def largest(rows: Rows) -> str:
    """Text of the largest absolute value of some rows."""
    text = f"abs(@{rows[0]})"
    for row in rows[1:]:
        text = f"max({text}, abs(@{row}))"
    return text
