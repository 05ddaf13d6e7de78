"""Exact flows of parts of a system, the factors of splittings."""

from __future__ import annotations

import torch
from torch import Tensor

from .._flow import FlowMap
from .._method import HamiltonianMethod, StepCode
from .._summation import increments
from ..systems import HamiltonianSystem


class KickFlow(HamiltonianMethod):
    """The exact flow of ``V(q, t)`` alone: ``p' = p + h force(q, t)``; it takes no time.

    Several kicks of different potentials make impulse methods: the slow forces are applied with long steps,
    the fast ones within them (r-RESPA).

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, sections II.5 and VIII.4.
    """

    symplectic = symmetric = reversible = True
    exact = True
    evaluations = 1

    def __init__(self, system: HamiltonianSystem, h: float) -> None:
        """Bind.

        Args:
            system: Separable; its potential alone acts.
            h: Length of the kick; a negative one takes it back.

        Raises:
            ValueError: If the system is not separable.
        """
        super().__init__(system, h)
        _require_separable(self, system)

    @property
    def duration(self) -> float:
        """Zero: a kick acts at one instant."""
        return 0.0

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        """Add the impulse of the force."""
        d = self.system.degrees
        q, p, t = carry[..., :d], carry[..., d : 2 * d], carry[..., 2 * d :]
        force = self.system.force(q, t if self.system.timed else None)
        return torch.cat((q, p + self.h * force, t), -1)

    def emit_step(self, code: StepCode) -> None:
        """Write the kick."""
        b, d = code.builder, self.system.degrees
        weight = b.number(b.parameter(torch.tensor([self.h], dtype=torch.float64)))
        targets = increments(code.state[d : 2 * d], [], weight)
        self.system.emit_force(b, code.offset, code.state[:d], code.state[2 * d :], targets)


class DriftFlow(HamiltonianMethod):
    """The exact flow of ``T(p)`` alone: ``q' = q + h dT/dp``; time passes with it.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, section II.5.
    """

    symplectic = symmetric = reversible = True
    exact = True
    evaluations = 0

    def __init__(self, system: HamiltonianSystem, h: float) -> None:
        """Bind.

        Args:
            system: Separable; its kinetic energy alone acts.
            h: Step; negative steps go back in time.

        Raises:
            ValueError: If the system is not separable.
        """
        super().__init__(system, h)
        _require_separable(self, system)

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        """Move with the velocity."""
        d = self.system.degrees
        q, p, t = carry[..., :d], carry[..., d : 2 * d], carry[..., 2 * d :]
        return torch.cat((q + self.h * self.system.velocity(p), p, t + self.h), -1)

    def emit_step(self, code: StepCode) -> None:
        """Write the drift."""
        b, d = code.builder, self.system.degrees
        weight = b.number(b.parameter(torch.tensor([self.h], dtype=torch.float64)))
        self.system.emit_velocity(
            b, code.offset, code.state[d : 2 * d], increments(code.state[:d], [], weight)
        )
        b.lanes(*[f"@{row} = @{row} + {weight}" for row in code.state[2 * d :]], join=True)


def _require_separable(flow: FlowMap, system: HamiltonianSystem) -> None:
    if not system.separable:
        raise ValueError(
            f"system: {type(flow).__name__} needs H = T(p) + V(q), which {system!r} is not; "
            "GaussLegendre, LobattoPair and Tao treat any Hamiltonian"
        )
