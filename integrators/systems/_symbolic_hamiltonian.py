"""What Hamiltonian systems from expressions share: forces, kicks, inputs."""

from __future__ import annotations

from collections.abc import Sequence

import sympy
import torch
from torch import Tensor

from ..kernels import KernelBuilder, Rows
from ._adjoint import Staged
from ._forcing import Forcing
from ._function import SymbolicFunction
from ._inputs import with_inputs
from ._symbolic import TIME, SymbolicSystem
from ._system import HamiltonianSystem


class SymbolicHamiltonian(SymbolicSystem, HamiltonianSystem):
    """A Hamiltonian system from expressions, with positions of its own names.

    Attributes:
        expression: What was given.
        positions: Symbols of the positions.
        forces: Forces beside those of the expression, by name.
        inputs: Symbols of the controls.
    """

    expression: sympy.Expr
    positions: list[sympy.Symbol]
    forces: dict[str, sympy.Expr]
    inputs: list[sympy.Symbol]

    def _set_force(self, outputs: Sequence[sympy.Expr] | Staged, q: Sequence[sympy.Symbol]) -> None:
        """Compile the force of a separable system."""
        time = [TIME] if self.timed else []
        self._force = SymbolicFunction(outputs, [*q, *time], self.parameter_symbols)

    def _set_kicks(self, forcing: Forcing) -> None:
        """Take over what is known of the other forces, and compile kicks where they are exact."""
        self.exact_kicks, self.conservative = forcing.exact, forcing.conservative
        self.reversible = self.reversible and forcing.reversible
        if not (self.separable and forcing.exact):
            return
        time = [TIME] if self.timed else []
        self.damped = tuple(i for i, rate in enumerate(forcing.rates) if rate != 0)
        rates = [forcing.rates[i] for i in self.damped]
        free = [f + e for f, e in zip(forcing.free, self._force.outputs, strict=True)]
        variables = [*self.positions, *time, *self.inputs]
        kick = Staged(self._force.staged.definitions, (*rates, *free))
        self._kick = SymbolicFunction(kick, variables, self.parameter_symbols)

    def force(self, q: Tensor, t: Tensor | None = None) -> Tensor:
        """Compute ``-dV/dq`` at positions ``(..., d)`` and times ``(..., 1)``."""
        self._require_separable()
        return self._force(q if t is None else torch.cat((q, t), -1), self.values())

    def kick_forces(
        self, q: Tensor, t: Tensor | None = None, control: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the forces ``F - c p`` of a separable system, with ``F`` and ``c`` free of momenta.

        Args:
            q: Positions ``(..., d)``.
            t: Times ``(..., 1)``, where the system depends on time.
            control: Inputs ``(..., m)``; None stands for zero.

        Returns:
            ``F`` and ``c``, each ``(..., d)``; None for ``c`` where nothing is ``damped``.
        """
        if not self.forced:
            return super().kick_forces(q, t, control)
        self._require_kicks()
        x = with_inputs(q if t is None else torch.cat((q, t), -1), control, self.control_size)
        both, k = self._kick(x, self.values()), len(self.damped)
        if not k:
            return both, None
        place = [self.damped.index(i) if i in self.damped else k for i in range(self.degrees)]
        rates = torch.cat((both[..., :k], torch.zeros_like(both[..., :1])), -1)
        return both[..., k:], rates[..., place]

    def emit_kick_forces(
        self, builder: KernelBuilder, offset: int, q: Rows, t: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write the ``c`` of ``damped`` momenta, then ``F``: one statement each, ``{}`` for its value."""
        if not self.forced:
            super().emit_kick_forces(builder, offset, q, t, control, targets)
            return
        self._require_kicks()
        self._kick.emit(builder, [*q, *t, *control], offset, targets)

    def _require_kicks(self) -> None:
        self._require_separable()
        if not self.exact_kicks:
            raise ValueError(f"the forces on {self.expression} leave kicks without a closed form")

    def _require_separable(self) -> None:
        if not self.separable:
            raise ValueError(f"{self.expression} is not of the form T(p) + V(q)")

    def emit_force(self, builder: KernelBuilder, offset: int, q: Rows, t: Rows, targets: list[str]) -> None:
        """Write ``-dV/dq``: one statement per component, ``{}`` standing for its value."""
        self._require_separable()
        self._force.emit(builder, [*q, *t], offset, targets)

    def extra_repr(self) -> str:
        """Show the expression and the forces."""
        pushes = [f"{name}' += {e}" for name, e in self.forces.items()]
        return ", ".join([str(self.expression), *pushes])
