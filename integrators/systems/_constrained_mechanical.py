"""Mechanical systems of any kind under holonomic constraints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sympy
import torch
from torch import Tensor, nn

from .._fixed_point import jacobian
from ..kernels import KernelBuilder, Rows
from ._constrained_system import ConstrainedSystem, Pattern
from ._constraint_rank import require_independent
from ._function import SymbolicFunction
from ._parse import Expression, parse, require_known
from ._scalar import Called, sample
from ._system import HamiltonianSystem

Constraints = Sequence[Expression] | Mapping[str, Expression] | Callable[[Tensor], Tensor]
"""Expressions in a list or by name, or a function in torch."""


class ConstrainedMechanicalSystem(ConstrainedSystem):
    """A mechanical system, for instance with a learned potential, under constraints ``g(q) = 0``.

    Constraints are expressions of ``q1, q2, ...``, for torch and for kernels, or a function or module in
    torch, which has no kernel.

    Attributes:
        system: The system without constraints.

    Examples:
        >>> import torch
        >>> from integrators import ConstrainedMechanicalSystem, MechanicalSystem
        >>> potential = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        >>> free = MechanicalSystem(3, potential.double(), mass=2.0)
        >>> ball = ConstrainedMechanicalSystem(free, ["q1**2 + q2**2 + q3**2 - 1"])
        >>> also = ConstrainedMechanicalSystem(free, lambda q: (q * q).sum(-1, keepdim=True) - 1)
    """

    def __init__(
        self,
        system: HamiltonianSystem,
        constraints: Constraints,
    ) -> None:
        """Bind constraints to a system.

        Args:
            system: ``H = p M^-1 p / 2 + V(q)`` with constant ``M``, such as a ``MechanicalSystem``.
            constraints: Expressions of ``q1, ..., qd`` and numbers, by name or in a list, or a function in
                torch from positions ``(..., d)`` to ``(..., m)``.

        Raises:
            TypeError: If the system is of another kind.
            ValueError: If it is not of the form above, constraints have unknown symbols, the wrong shape or
                depend on each other.
        """
        super().__init__()
        if not isinstance(system, HamiltonianSystem):
            raise TypeError(f"system: expected a HamiltonianSystem, got {type(system).__name__}")
        if not system.quadratic_kinetic or system.timed or system.forced:
            raise ValueError(
                f"system: expected p M^-1 p / 2 + V(q) with constant M and no other forces, got {system!r}"
            )
        self.system, self.degrees, self.space = system, system.degrees, system.space
        self.has_energy, self.invariants = system.has_energy, system.invariants
        self.function: nn.Module | None = None
        if callable(constraints):
            self.function = constraints if isinstance(constraints, nn.Module) else Called(constraints)
            self.constraint_names = self._try()
        else:
            self.constraint_names = self._derive(constraints)
        require_independent(self)

    def _derive(self, constraints: Sequence[Expression] | Mapping[str, Expression]) -> tuple[str, ...]:
        pairs = (
            constraints
            if isinstance(constraints, Mapping)
            else {f"g{k + 1}": e for k, e in enumerate(constraints)}
        )
        q = [sympy.Symbol(f"q{k + 1}", real=True) for k in range(self.degrees)]
        g = {name: parse(e, f"constraints[{name!r}]") for name, e in pairs.items()}
        if not g:
            raise ValueError("constraints: expected at least one")
        require_known(g, q, f"positions are q1 to q{self.degrees}")
        self._constraint = SymbolicFunction(list(g.values()), q, [])
        self._jacobian = SymbolicFunction([sympy.diff(e, s) for e in g.values() for s in q], q, [])
        return tuple(g)

    def _try(self) -> tuple[str, ...]:
        with torch.no_grad():
            value = self.constraint(sample((2,), self.degrees, self))
        if not isinstance(value, Tensor) or value.ndim != 2 or value.shape[0] != 2 or not value.shape[1]:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"constraints: expected shape (2, m) for positions (2, {self.degrees}), got {got}"
            )
        return tuple(f"g{k + 1}" for k in range(value.shape[1]))

    @property
    def inverse_mass(self) -> Tensor:
        """``M^-1``, shape ``(d, d)``."""
        return self.velocity(torch.diag_embed(torch.ones_like(sample((), self.degrees, self))))

    def energy(self, x: Tensor) -> Tensor:
        """Compute ``H`` of states, shape ``(...)``."""
        return self.system.energy(x)

    def invariant(self, name: str, x: Tensor) -> Tensor:
        """Compute a conserved quantity of states by name; ``constraint`` is ``residual``."""
        if name in self.system.observables:
            return self.system.invariant(name, x)
        return super().invariant(name, x)

    def force(self, q: Tensor) -> Tensor:
        """Compute ``-dV/dq`` at positions ``(..., d)``."""
        return self.system.force(q)

    def velocity(self, p: Tensor) -> Tensor:
        """Compute ``M^-1 p`` of momenta ``(..., d)``."""
        return self.system.velocity(p)

    def constraint(self, q: Tensor) -> Tensor:
        """Compute ``g`` at positions ``(..., d)``, shape ``(..., m)``."""
        if self.function is None:
            return self._constraint(q, q.new_zeros(0))
        value: Tensor = self.function(q)
        return value

    def constraint_jacobian(self, q: Tensor) -> Tensor:
        """Compute ``G = dg/dq`` at positions ``(..., d)``, shape ``(..., m, d)``."""
        if self.function is None:
            return self._jacobian(q, q.new_zeros(0)).unflatten(-1, (len(self.constraint_names), self.degrees))
        return jacobian(self.constraint, q)

    def jacobian_pattern(self) -> Pattern:
        """Which entries of ``dg/dq`` are not always zero, row by row."""
        if self.function is not None:
            return super().jacobian_pattern()
        d, entries = self.degrees, self._jacobian.outputs
        return [[entries[i * d + k] != 0 for k in range(d)] for i in range(len(self.constraint_names))]

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """Reserve room for the numbers of the system."""
        return self.system.emit_parameters(builder)

    def emit_force(self, builder: KernelBuilder, offset: int, q: Rows, t: Rows, targets: list[str]) -> None:
        """Write ``-dV/dq``: one statement per component, ``{}`` standing for its value."""
        self.system.emit_force(builder, offset, q, t, targets)

    def emit_velocity(self, builder: KernelBuilder, offset: int, p: Rows, targets: list[str]) -> None:
        """Write ``M^-1 p``: one statement per component, ``{}`` standing for its value."""
        self.system.emit_velocity(builder, offset, p, targets)

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write an observed quantity: one statement per component, ``{}`` for its value."""
        if name in self.system.observables:
            self.system.emit_observable(builder, name, offset, x, targets)
        else:
            super().emit_observable(builder, name, offset, x, targets)

    def emit_constraint(self, builder: KernelBuilder, offset: int, q: Rows, targets: list[str]) -> None:
        """Write ``g``: one statement per constraint, ``{}`` standing for its value."""
        self._require_expressions()
        self._constraint.emit(builder, q, offset, targets)

    def emit_constraint_jacobian(
        self, builder: KernelBuilder, offset: int, q: Rows, targets: list[str]
    ) -> None:
        """Write ``dg/dq`` row by row: one statement for each of ``m * d`` entries, ``{}`` for its value."""
        self._require_expressions()
        self._jacobian.emit(builder, q, offset, targets)

    def _require_expressions(self) -> None:
        if self.function is not None:
            raise TypeError(
                "constraints: a function in torch has no kernel code; give expressions of q1, q2, ..."
            )
