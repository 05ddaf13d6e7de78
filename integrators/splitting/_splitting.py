"""Explicit symplectic integration of separable Hamiltonians by products of drifts and kicks."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._flow import FlowMap
from ..kernels import KernelBuilder, KernelProgram, Rows
from ..systems import HamiltonianSystem
from ._scheme import Scheme


class SplitCarry(NamedTuple):
    """Working form of a state.

    Attributes:
        q: Positions ``(..., d)``.
        p: Momenta ``(..., d)``.
        force: Force at ``q``, where the next step begins with a kick.
        t: Time ``(..., 1)``, where the system depends on it.
    """

    q: Tensor
    p: Tensor
    force: Tensor | None = None
    t: Tensor | None = None


class Splitting(FlowMap):
    """A product of exact drifts and kicks: explicit, symplectic, exact in the angular momentum of particles.

    Time, where the force depends on it, advances with the drifts. A kick at the end of a step shares its
    force with the one that begins the next.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, sections II.5 and VI.3.
    """

    symplectic = True

    def __init__(self, system: HamiltonianSystem, h: float, scheme: Scheme) -> None:
        """Bind a scheme to a system.

        Args:
            system: Separable, ``H = T(p) + V(q)``.
            h: Step; negative steps go back in time.
            scheme: Coefficients.

        Raises:
            TypeError: If the system is not a ``HamiltonianSystem``.
            ValueError: If the step is zero or not finite, or the system is not of the form that the scheme
                needs; the message names schemes that can treat it.
        """
        super().__init__()
        if not isinstance(system, HamiltonianSystem):
            raise TypeError(
                f"system: expected a HamiltonianSystem such as Hamiltonian(...), got {type(system).__name__}"
            )
        if not 0 < abs(h) < float("inf"):
            raise ValueError(f"h: expected a finite step that is not zero, got {h}")
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
        self.system, self.scheme, self.h = system, scheme, float(h)
        self.space, self.order, self.reversible = system.space, scheme.order, scheme.symmetric
        self.observables = {"energy": 1, **system.invariants}
        self._keeps_force = scheme.kick_first and scheme.factors[-1][0] == "kick"

    def __getattr__(self, name: str) -> Any:
        """Give the system's invariants as methods."""
        system = self.__dict__.get("_modules", {}).get("system")
        if system is not None and name in system.invariants:
            return lambda x: system.invariant(name, x)
        return super().__getattr__(name)

    def start(self, x: Tensor, constants: None) -> SplitCarry:
        """Split states ``(..., n)`` into positions, momenta, the first force and time."""
        d = self.system.degrees
        q, p = x[..., :d], x[..., d : 2 * d]
        t = x[..., 2 * d :] if self.system.timed else None
        return SplitCarry(q, p, self.system.force(q, t) if self._keeps_force else None, t)

    def advance(self, carry: SplitCarry, control: Tensor | None, constants: None) -> SplitCarry:
        """Apply the drifts and kicks of one step."""
        q, p, force, t = carry
        for kind, weight in self.scheme.factors:
            step = weight * self.h
            if kind == "drift":
                q = q + step * self.system.velocity(p)
                t = None if t is None else t + step
                force = None
            else:
                force = self.system.force(q, t) if force is None else force
                p = p + step * force
        return SplitCarry(q, p, force if self._keeps_force else None, t)

    def finish(self, carry: SplitCarry, constants: None) -> Tensor:
        """Put positions, momenta and time together."""
        return torch.cat([part for part in (carry.q, carry.p, carry.t) if part is not None], -1)

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step: the factors in reverse order with the opposite step."""
        return Splitting(self.system, -self.h, self.scheme.adjoint())(y)

    def adjoint(self) -> Splitting:
        """Give the adjoint map, the inverse of the step with ``-h``."""
        return Splitting(self.system, self.h, self.scheme.adjoint())

    def flip_velocities(self, x: Tensor) -> Tensor:
        """Change the sign of the momenta, and of time."""
        d = self.system.degrees
        return torch.cat((x[..., :d], -x[..., d:]), -1)

    def energy(self, x: Tensor) -> Tensor:
        """Energy ``(...)`` of states."""
        return self.system.energy(x)

    def phase_derivative(self, x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Derivative of a step in ``(q, p)`` and the symplectic form before and after it."""
        d = self.system.degrees

        def step(z: Tensor, rest: Tensor) -> Tensor:
            return self(torch.cat((z, rest), -1))[..., : 2 * d]

        derivative = torch.func.vmap(torch.func.jacrev(step))(x[..., : 2 * d], x[..., 2 * d :])
        zero, eye = x.new_zeros(d, d), torch.eye(d, dtype=x.dtype, device=x.device)
        form = torch.cat((torch.cat((zero, eye), -1), torch.cat((-eye, zero), -1)))
        return derivative, form, form

    def kernel_program(self, observables: list[str]) -> KernelProgram:
        """Code of the compiled rollout.

        Args:
            observables: Names among ``observables``.

        Returns:
            The program.
        """
        b = KernelBuilder()
        d, timed = self.system.degrees, int(self.system.timed)
        state = b.rows(2 * d + timed)
        force = b.rows(d if self._keeps_force else 0)
        carry = [*state, *force]
        observed = b.rows(max(sum(self.observables[name] for name in observables), 1))
        offset = self.system.emit_parameters(b)
        b.section("start")
        if self._keeps_force:
            d = self.system.degrees
            self.system.emit_force(b, offset, state[:d], state[2 * d :], [f"@{row} = {{}}" for row in force])
        b.section("step")
        self._emit_factors(b, offset, state, force)
        b.section("finish")
        b.section("observe")
        first = 0
        for name in observables:
            rows = observed[first : first + self.observables[name]]
            first += len(rows)
            self.system.emit_observable(b, name, offset, state, [f"@{row} = {{}}" for row in rows])
        return KernelProgram(b, len(carry), state[0], len(state), state[0], observed[0], first, checked=False)

    def _emit_factors(self, b: KernelBuilder, offset: int, state: Rows, force: Rows) -> None:
        """A first kick, pairs of a drift and a kick, a last drift.

        The coefficients and the number of pairs are parameters, so that methods share their kernels.
        """
        d = self.system.degrees
        q, p, t = state[:d], state[d : 2 * d], state[2 * d :]
        drifts, kicks = list(self.scheme.drifts), list(self.scheme.kicks)
        first = kicks.pop(0) if self.scheme.kick_first else None
        last = drifts.pop() if len(drifts) > len(kicks) else None
        pairs = [weight for pair in zip(drifts, kicks, strict=True) for weight in pair]
        steps = self.h * torch.tensor([first or 0.0, last or 0.0, *pairs], dtype=torch.float64)
        count = b.parameter(torch.tensor([len(kicks)], dtype=torch.float64))
        place = b.parameter(steps)

        def drift(weight: str) -> None:
            self.system.emit_velocity(b, offset, p, [f"@{a} = @{a} + {weight} * {{}}" for a in q])
            if t:
                b.lanes(f"@{t[0]} = @{t[0]} + {weight}", join=True)

        def kick(weight: str) -> None:
            targets = [f"@{a} = @{a} + {weight} * {{0}}" for a in p]
            keep = [f"@{f} = {{0}}\n" for f in force] or [""] * d
            both = [a + b for a, b in zip(keep, targets, strict=True)]
            self.system.emit_force(b, offset, q, t, both)

        if first is not None and force:
            weight = b.number(place)
            b.lanes(*[f"@{a} = @{a} + {weight} * @{f}" for a, f in zip(p, force, strict=True)], join=True)
        elif first is not None:
            kick(b.number(place))
        if len(kicks) == 1:
            drift(b.number(place + 2))
            kick(b.number(place + 3))
        elif kicks:
            with b.loop(f"for i in range(int(P[{count}])):"):
                b.line(f"drift = P[{place + 2} + 2 * i]")
                b.line(f"kick = P[{place + 3} + 2 * i]")
                drift("drift")
                kick("kick")
        if last is not None:
            drift(b.number(place + 1))
