"""Explicit reversible steps of variable length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import sympy
import torch
from torch import Tensor

from .._method import StepCode, SystemMethod
from .._state import StateSpace, vector
from .._summation import increments
from ..kernels import KernelBuilder, Rows
from ..splitting import Scheme
from ..splitting._table import VERLET
from ..systems import HamiltonianSystem
from ._monitor import as_monitor


class DensityCarry(NamedTuple):
    """Working form of a state.

    Attributes:
        x: States ``(q, p, t, rho)``.
        force: Force at ``q``, where the next step begins with a kick.
    """

    x: Tensor
    force: Tensor | None


class ReversibleVariableStep(SystemMethod):
    """Splitting steps whose length follows the motion, so that errors do not drift: explicit, reversible.

    The length of a step is ``epsilon / rho`` with a density ``rho`` that has its own equation
    ``rho' = G(z)``, ``G = -(grad sigma . q') / sigma``, so that the steps are about ``epsilon sigma(q)``:

    ``rho+ = rho + epsilon G(z) / 2``, ``z' = Phi_(epsilon / rho+)(z)``, ``rho' = rho+ + epsilon G(z') / 2``.

    The usual control of the step by an error estimate forgets where it came from, and the energy drifts; this
    map on states ``(q, p, t, rho)`` is symmetric and reversible (not symplectic), and the energy error stays
    bounded on reversible systems. ``initial`` gives the states to begin with; ``h`` is ``epsilon``, and the
    physical time is the entry ``t`` of the states. It has order 2 in ``epsilon``, and
    ``symmetric_composition`` raises that. For orbits of bodies that pass each other ``sigma`` is a power of
    their distance, such as ``(q1**2 + q2**2)**(3/4)``.

    Where ``rho`` is not positive any more the state becomes infinite, and a rollout stops the trajectory
    there; a smaller ``epsilon`` is the mend.

    Source: Hairer, Söderlind, SIAM J. Sci. Comput. 26 (2005) 1838; Hairer, Lubich, Wanner, Geometric
    Numerical Integration, 2nd ed. 2006, section VIII.3.2.

    Example:
        >>> import torch
        >>> from integrators import Hamiltonian, rollout
        >>> kepler = Hamiltonian("(p1**2 + p2**2)/2 - 1/sqrt(q1**2 + q2**2)")
        >>> flow = ReversibleVariableStep(kepler, epsilon=0.05, monitor="(q1**2 + q2**2)**(3/4)")
        >>> x = flow.initial(torch.tensor([0.1, 0.0, 0.0, 19**0.5], dtype=torch.float64))
        >>> run = rollout(flow, x, steps=1000)
        >>> bool(abs(flow.energy(run.final) + 0.5) < 0.01)
        True
    """

    requires: ClassVar[Any] = HamiltonianSystem
    system: HamiltonianSystem
    order = 2
    symmetric = True
    reversible = True

    def __init__(
        self,
        system: HamiltonianSystem,
        epsilon: float,
        monitor: str | sympy.Expr | Callable[[Tensor], Tensor],
        scheme: Scheme = VERLET,
    ) -> None:
        """Bind.

        Args:
            system: Separable, ``H = T(p) + V(q)``.
            epsilon: Step of the fictitious time; negative steps go back.
            monitor: ``sigma(q) > 0``: an expression in the positions and parameters of the system, or a torch
                function of positions ``(..., d)`` with values ``(...)``, which has no compiled kernel.
            scheme: The symmetric splitting ``Phi``; one that begins with a kick shares a force with the step
                before it.

        Raises:
            ValueError: If the system is not separable or other forces act, or the scheme is not symmetric or
                needs a quadratic kinetic energy that the system does not have.
        """
        super().__init__(system, epsilon)
        if not system.separable or system.control_size or system.forced:
            raise ValueError(
                f"system: ReversibleVariableStep needs H = T(p) + V(q) and no other forces, but "
                f"{system!r} is different; GaussLegendre treats it with fixed steps"
            )
        if not scheme.symmetric:
            raise ValueError(f"scheme: expected a symmetric one, such as Verlet's, got {scheme.name}")
        if scheme.quadratic_only and not system.quadratic_kinetic:
            raise ValueError(
                f"scheme: {scheme.name} has its order only for T = p M^-1 p / 2, which {system!r} does not "
                "have"
            )
        self.monitor, self.scheme = as_monitor(monitor, system), scheme
        self.evaluations, self.reversible = scheme.forces, system.reversible
        self._keeps_force = scheme.kick_first
        clock = () if system.timed else (vector("t", 1),)
        self.space = StateSpace(*system.space.parts, *clock, vector("rho", 1))

    def __getattr__(self, name: str) -> Any:
        """Give the system's energy and invariants as methods of the longer states."""
        system = self.__dict__.get("_modules", {}).get("system")
        if system is not None and name in system.observables:
            size = system.space.size
            if name == "energy":
                return lambda x: system.energy(x[..., :size])
            return lambda x: system.invariant(name, x[..., :size])
        return super().__getattr__(name)

    def initial(self, z: Tensor) -> Tensor:
        """Complete states of the system by the time, zero unless they have it, and the density.

        Args:
            z: States of the system ``(..., n)``.

        Returns:
            States of this map.

        Raises:
            ValueError: If the shape does not fit, or ``sigma`` is not positive and finite there.
        """
        size = self.system.space.size
        if z.ndim == 0 or z.shape[-1] != size:
            raise ValueError(f"z: expected states (..., {size}) of the system, got {tuple(z.shape)}")
        sigma = self.monitor.sigma(z[..., : self.system.degrees])
        if not bool(((sigma > 0) & torch.isfinite(sigma)).all()):
            raise ValueError(f"monitor: expected positive finite values, got {float(sigma.min())} at z")
        clock = [] if self.system.timed else [torch.zeros_like(sigma)]
        return torch.cat((z, *clock, 1 / sigma), -1)

    def start(self, x: Tensor, constants: None) -> DensityCarry:
        """Evaluate the first force of states ``(..., n)``."""
        d = self.system.degrees
        t = x[..., 2 * d : 2 * d + 1] if self.system.timed else None
        return DensityCarry(x, self.system.force(x[..., :d], t) if self._keeps_force else None)

    def finish(self, carry: DensityCarry, constants: None) -> Tensor:
        """Give the states."""
        return carry.x

    def advance(self, carry: DensityCarry, control: Tensor | None, constants: None) -> DensityCarry:
        """Update the density by half, make the step, update it by the other half."""
        d, force = self.system.degrees, carry.force
        q, p, t, rho = carry.x.split((d, d, 1, 1), -1)
        rho = rho + 0.5 * self.h * self.monitor.rate(q, self.system.velocity(p))
        step = self.h / rho.clamp(min=0)
        for kind, weight in self.scheme.factors:
            if kind == "drift":
                q, t, force = q + weight * step * self.system.velocity(p), t + weight * step, None
            else:
                force = self.system.force(q, t if self.system.timed else None) if force is None else force
                p = p + weight * step * force
        rho = rho + 0.5 * self.h * self.monitor.rate(q, self.system.velocity(p))
        return DensityCarry(torch.cat((q, p, t, rho), -1), force if self._keeps_force else None)

    def flip_velocities(self, x: Tensor) -> Tensor:
        """Change the sign of the momenta, and of time."""
        d = self.system.degrees
        return torch.cat((x[..., :d], -x[..., d : 2 * d + 1], x[..., 2 * d + 1 :]), -1)

    def emit_observable(self, code: StepCode, name: str, targets: list[str]) -> None:
        """Write an observed quantity from the rows of the system's state."""
        rows = code.state[: self.system.space.size]
        self.system.emit_observable(code.builder, name, code.offset, rows, targets)

    def emit_carried(self, builder: KernelBuilder) -> Rows:
        """Reserve rows for the force at the end of a step."""
        return builder.rows(self.system.degrees * self._keeps_force)

    def emit_start(self, code: StepCode) -> None:
        """Write the first force."""
        if code.carried:
            self._emit_force(code, [f"@{row} = {{}}" for row in code.carried])

    def _emit_force(self, code: StepCode, targets: list[str]) -> None:
        d = self.system.degrees
        t = code.state[2 * d : 2 * d + 1] if self.system.timed else []
        self.system.emit_force(code.builder, code.offset, code.state[:d], t, targets)

    def emit_step(self, code: StepCode) -> None:
        """Write the step; its length is a row, since it differs from lane to lane."""
        b, d, system = code.builder, self.system.degrees, self.system
        q, p, (t, rho) = code.state[:d], code.state[d : 2 * d], code.state[2 * d :]
        speed, step = b.rows(d), b.rows(1)[0]
        own = self.monitor.emit_parameters(b)
        half = b.number(b.parameter(torch.tensor([0.5 * self.h], dtype=torch.float64)))
        whole = b.number(b.parameter(torch.tensor([self.h], dtype=torch.float64)))
        weights = b.parameter(torch.tensor([w for _, w in self.scheme.factors], dtype=torch.float64))

        def update_density() -> None:
            system.emit_velocity(b, code.offset, p, [f"@{row} = {{}}" for row in speed])
            self.monitor.emit_rate(b, own, q, speed, f"@{rho} = @{rho} + {half} * {{}}")

        update_density()
        b.lanes(f"@{step} = {whole} / max(@{rho}, 0.0)", join=True)
        for k, (kind, _) in enumerate(self.scheme.factors):
            length = f"{b.number(weights + k)} * @{step}"
            sums = increments(q if kind == "drift" else p, [], length)
            if kind == "drift":
                system.emit_velocity(b, code.offset, p, sums)
                b.lanes(f"@{t} = @{t} + {length}", join=True)
            elif k == 0:
                b.lanes(*[s.format(f"@{row}") for s, row in zip(sums, code.carried, strict=True)], join=True)
            else:
                kept = [f"@{row} = {{0}}\n" for row in code.carried] or [""] * d
                self._emit_force(code, [keep + add for keep, add in zip(kept, sums, strict=True)])
        update_density()
