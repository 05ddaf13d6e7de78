"""Explicit symplectic integration of separable Hamiltonians by products of drifts and kicks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .._exponential import emit_exponential_ratio, exponential_ratio
from .._method import HamiltonianMethod, StepCode
from .._summation import add, increments
from ..kernels import KernelBuilder, Rows
from ..systems import HamiltonianSystem
from ._scheme import Scheme


class SplitCarry(NamedTuple):
    """Working form of a state.

    Attributes:
        q: Positions ``(..., d)``.
        p: Momenta ``(..., d)``.
        force: Force at ``q``, where the next step begins with a kick.
        t: Time ``(..., 1)``, where the system depends on it.
        q_error: Rounding error of ``q``, where sums are compensated.
        p_error: Rounding error of ``p``, where sums are compensated.
    """

    q: Tensor
    p: Tensor
    force: Tensor | None = None
    t: Tensor | None = None
    q_error: Tensor | None = None
    p_error: Tensor | None = None


class Splitting(HamiltonianMethod):
    """A product of exact drifts and kicks: explicit, symplectic, exact in the angular momentum of particles.

    Time, where the force depends on it, advances with the drifts. A kick at the end of a step shares its
    force with the one that begins the next.

    Forces ``F - c p`` with ``F`` and ``c`` free of momenta, as by inputs and linear friction, are part of the
    kicks, which solve ``p' = F - c p`` exactly.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, sections II.5 and VI.3.
    """

    takes_forces = True

    def __init__(
        self, system: HamiltonianSystem, h: float, scheme: Scheme, compensated: bool = False
    ) -> None:
        """Bind a scheme to a system.

        Args:
            system: Separable, ``H = T(p) + V(q)``.
            h: Step; negative steps go back in time.
            scheme: Coefficients.
            compensated: Whether the rounding errors of positions and momenta are carried along, for errors
                that grow like the square root of the number of steps.

        Raises:
            ValueError: If the system is not of the form that the scheme needs; the message names schemes that
                can treat it.
        """
        super().__init__(system, h)
        if not system.separable:
            raise ValueError(
                f"system: {type(self).__name__} needs H = T(p) + V(q), which {system!r} is not; "
                "GaussLegendre, LobattoPair and Tao treat any Hamiltonian"
            )
        if scheme.quadratic_only and not system.quadratic_kinetic:
            raise ValueError(
                f"system: {scheme.name} has its order only for T = p M^-1 p / 2, which {system!r} does not "
                "have; BlanesMoanS6, BlanesMoanS10 and KahanLi8 treat any T(p) + V(q)"
            )
        if not system.exact_kicks:
            raise ValueError(
                f"system: {type(self).__name__} needs forces F - c p with F and c free of momenta, but "
                f"those on {system!r} are others; GaussLegendre and RungeKutta4 treat any forces"
            )
        if scheme.quadratic_only and system.damped:
            raise ValueError(
                f"system: {scheme.name} has its order only without friction; BlanesMoanS6, BlanesMoanS10 and "
                "KahanLi8 keep theirs"
            )
        self.scheme, self.compensated = scheme, compensated
        self.order, self.symmetric, self.symplectic = scheme.order, scheme.symmetric, system.conservative
        self.reversible = scheme.symmetric and system.reversible
        shared = scheme.kick_first and scheme.factors[-1][0] == "kick"
        self._keeps_force = shared and not system.forced
        self.evaluations = scheme.forces + (shared and system.forced)

    def start(self, x: Tensor, constants: None) -> SplitCarry:
        """Split states ``(..., n)`` into positions, momenta, the first force and time."""
        d = self.system.degrees
        q, p = x[..., :d], x[..., d : 2 * d]
        t = x[..., 2 * d :] if self.system.timed else None
        force = self.system.force(q, t) if self._keeps_force else None
        if not self.compensated:
            return SplitCarry(q, p, force, t)
        return SplitCarry(q, p, force, t, torch.zeros_like(q), torch.zeros_like(p))

    def advance(self, carry: SplitCarry, control: Tensor | None, constants: None) -> SplitCarry:
        """Apply the drifts and kicks of one step."""
        q, p, force, t, q_error, p_error = carry
        for kind, weight in self.scheme.factors:
            step = weight * self.h
            if kind == "drift":
                q, q_error = add(q, q_error, step * self.system.velocity(p))
                t = None if t is None else t + step
                force = None
            else:
                rates = None
                if force is None:
                    force, rates = self.system.kick_forces(q, t, control)
                slope = force if rates is None else exponential_ratio(-step * rates) * (force - rates * p)
                p, p_error = add(p, p_error, step * slope)
        return SplitCarry(q, p, force if self._keeps_force else None, t, q_error, p_error)

    def finish(self, carry: SplitCarry, constants: None) -> Tensor:
        """Put positions, momenta and time together."""
        return torch.cat([part for part in (carry.q, carry.p, carry.t) if part is not None], -1)

    def adjoint(self) -> Splitting:
        """Give the adjoint map, the inverse of the step with ``-h``."""
        return Splitting(self.system, self.h, self.scheme.adjoint(), self.compensated)

    def emit_carried(self, builder: KernelBuilder) -> Rows:
        """Reserve rows for the force at the end of a step and for rounding errors."""
        d = self.system.degrees
        return builder.rows(d * self._keeps_force + 2 * d * self.compensated)

    def emit_start(self, code: StepCode) -> None:
        """Write the first force."""
        d = self.system.degrees
        force = code.carried[: d * self._keeps_force]
        if force:
            targets = [f"@{row} = {{}}" for row in force]
            self.system.emit_force(code.builder, code.offset, code.state[:d], code.state[2 * d :], targets)
        errors = code.carried[len(force) :]
        code.builder.lanes(*[f"@{row} = 0.0" for row in errors], join=True)

    def emit_step(self, code: StepCode) -> None:
        """Write a first kick, pairs of a drift and a kick, a last drift.

        The coefficients and the number of pairs are parameters, so that methods share their kernels.
        """
        b, offset, d = code.builder, code.offset, self.system.degrees
        q, p, t = code.state[:d], code.state[d : 2 * d], code.state[2 * d :]
        force = code.carried[: d * self._keeps_force]
        damped = self.system.damped
        ratio = emit_exponential_ratio(b) if damped else ""
        q_error, p_error = code.carried[len(force) :][:d], code.carried[len(force) :][d:]
        drifts, kicks = list(self.scheme.drifts), list(self.scheme.kicks)
        first = kicks.pop(0) if self.scheme.kick_first else None
        last = drifts.pop() if len(drifts) > len(kicks) else None
        pairs = [weight for pair in zip(drifts, kicks, strict=True) for weight in pair]
        steps = self.h * torch.tensor([first or 0.0, last or 0.0, *pairs], dtype=torch.float64)
        count = b.parameter(torch.tensor([len(kicks)], dtype=torch.float64))
        place = b.parameter(steps)

        def drift(weight: str) -> None:
            self.system.emit_velocity(b, offset, p, increments(q, q_error, weight))
            if t:
                b.lanes(f"@{t[0]} = @{t[0]} + {weight}", join=True)

        def kick(weight: str) -> None:
            targets = increments(p, p_error, weight)
            keep = [f"@{f} = {{0}}\n" for f in force] or [""] * d
            both = [a + b for a, b in zip(keep, targets, strict=True)]
            rates = [f"rate_{i} = {{}}\nratio_{i} = {ratio}(-{weight} * rate_{i})" for i in damped]
            for i in damped:
                both[i] = both[i].replace("{0}", f"(ratio_{i} * ({{0}} - rate_{i} * @{p[i]}))")
            self.system.emit_kick_forces(b, offset, q, t, code.control, rates + both)

        if first is not None and force:
            weight = b.number(place)
            sums = increments(p, p_error, weight)
            b.lanes(*[s.format(f"@{f}") for s, f in zip(sums, force, strict=True)], join=True)
        elif first is not None:
            kick(b.number(place))
        if len(kicks) == 1:
            drift(b.number(place + 2))
            kick(b.number(place + 3))
        elif kicks:

            def pair(weights: list[str]) -> None:
                drift(weights[0])
                kick(weights[1])

            b.passes(f"int(P[{count}])", place + 2, 2, pair)
        if last is not None:
            drift(b.number(place + 1))
