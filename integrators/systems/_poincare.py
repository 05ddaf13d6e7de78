"""Transformation of time, for variable steps that keep the symplectic structure."""

from __future__ import annotations

from collections.abc import Sequence

import sympy
import torch
from torch import Tensor

from ._coordinates import hint
from ._hamiltonian import Hamiltonian
from ._parse import Expression, parse, require_known
from ._symbolic import TIME


class PoincareTransformed(Hamiltonian):
    """A Hamiltonian system in fictive time with ``dt/dtau = g(q, p, t)``, made by ``poincare_transformed``.

    The Hamiltonian is ``K = g(q, p, t) (H(q, p, t) + p_t)`` with time and its momentum ``p_t`` as another
    pair. States are ``(..., 2 d + 2)``: ``q``, ``t``, ``p``, ``p_t``. On those with ``K = 0``, which
    ``start`` gives, the orbits are those of ``H``; equal steps in ``tau`` are steps ``g`` times as long in
    ``t``.

    Attributes:
        system: The system in its own time.
        monitor: The expression ``g``.
    """

    system: Hamiltonian
    monitor: sympy.Expr

    def start(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """Give the states from which the orbits of the system begin, with ``p_t = -H``.

        Args:
            x: States of the system ``(..., n)``; the last entry is the time, where the system depends on it.
            t: Times ``(...)`` of the others; None for zero.

        Returns:
            Shape ``(..., 2 d + 2)``.
        """
        d = self.system.degrees
        if self.system.timed:
            time = x[..., 2 * d :]
        else:
            zero = torch.zeros_like(x[..., :1])
            time = zero if t is None else zero + torch.as_tensor(t, dtype=x.dtype).unsqueeze(-1)
        energy = self.system.energy(x).unsqueeze(-1)
        return torch.cat((x[..., :d], time, x[..., d : 2 * d], -energy), -1)

    def original(self, z: Tensor) -> Tensor:
        """Give the states of the system ``(..., n)`` back; ``physical_time`` says when they are reached."""
        d = self.system.degrees
        clock = [z[..., d : d + 1]] if self.system.timed else []
        return torch.cat((z[..., :d], z[..., d + 1 : 2 * d + 1], *clock), -1)

    def physical_time(self, z: Tensor) -> Tensor:
        """Give the time ``t`` of states ``(..., 2 d + 2)``, shape ``(...)``."""
        return z[..., self.system.degrees]


def poincare_transformed(system: Hamiltonian, monitor: Expression) -> PoincareTransformed:
    """Let the steps of a method vary without losing its structure.

    A symplectic method with a fixed step in fictive time is symplectic in the extended phase space, and its
    energy does not drift, as it would with common step size control. ``K`` is not separable: use
    ``GaussLegendre`` or another method for any Hamiltonian.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, VIII.2.1 (after Poincaré).

    Args:
        system: A Hamiltonian system without other forces.
        monitor: ``g``, positive: the length of the steps in time as a function of the system's positions,
            momenta, time and parameters, small where the motion is fast, such as
            ``"(q1**2 + q2**2)**(3/4)"`` for Kepler's problem.

    Returns:
        The transformed system; its invariant ``original_energy`` is ``H``, where that is conserved.

    Raises:
        TypeError: If the system is not given by an expression.
        ValueError: If other forces act on it, or the monitor cannot be read or has an unknown symbol.

    Examples:
        >>> import torch
        >>> from integrators import GaussLegendre, Hamiltonian, poincare_transformed
        >>> kepler = Hamiltonian("(p1**2 + p2**2)/2 - 1/sqrt(q1**2 + q2**2)")
        >>> fictive = poincare_transformed(kepler, "q1**2 + q2**2")
        >>> z = fictive.start(torch.tensor([0.1, 0.0, 0.0, 4.0]).double())
        >>> z = GaussLegendre(fictive, 0.05)(z)
        >>> float(fictive.physical_time(z)) < 1e-3
        True
    """
    if not isinstance(system, Hamiltonian):
        raise TypeError(f"system: expected a Hamiltonian from an expression, got {type(system).__name__}")
    if system.forced:
        raise ValueError(
            f"system: other forces act on {system!r}, for which there is no such Hamiltonian; integrate it "
            "with equal steps"
        )
    g = parse(monitor, "monitor")
    q, p, own = system.positions, system.momenta, system.parameter_symbols
    require_known({"monitor": g}, [*q, *p, *own, TIME], hint())
    taken = {s.name for s in (*q, *p, *own)}
    time, momentum = (_free_name(name, taken) for name in ("time", "p_time"))
    clock = {TIME: time}
    invariants: dict[str, Sequence[Expression]] = {
        name: [e.xreplace(clock) for e in system._observables[name].outputs] for name in system.invariants
    }
    if TIME not in system.expression.free_symbols:
        invariants["original_energy"] = [system.expression]
    parameters = {s.name: getattr(system, f"value_{s.name}") for s in own}
    transformed = PoincareTransformed(
        g.xreplace(clock) * (system.expression.xreplace(clock) + momentum),
        parameters,
        [*q, time],
        [*p, momentum],
        invariants,
        units=(system.space.parts[0].unit, system.space.parts[1].unit),
        dtype=system.values().dtype,
    )
    transformed.system, transformed.monitor = system, g
    return transformed


def _free_name(name: str, taken: set[str]) -> sympy.Symbol:
    while name in taken:
        name += "_"
    return sympy.Symbol(name, real=True)
