"""Hamiltonian systems with holonomic constraints, from symbolic expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy
import torch
from torch import Tensor

from .._state import StateSpace, vector
from ..kernels import KernelBuilder, Rows
from ._constrained_system import ConstrainedSystem, Pattern
from ._constraint_rank import require_independent
from ._coordinates import Names, coordinate_pairs, hint
from ._function import SymbolicFunction
from ._identity import depends_on, vanishes
from ._parse import Expression, as_symbols, parse, require_distinct, require_known
from ._symbolic import SymbolicSystem, parse_invariants


class ConstrainedHamiltonian(SymbolicSystem, ConstrainedSystem):
    """``H = p M^-1 p / 2 + V(q)`` with constant ``M`` under constraints ``g(q) = 0``, from expressions.

    ``q' = M^-1 p`` and ``p' = -dV/dq - G^T lambda`` with ``G = dg/dq``; the multipliers ``lambda`` keep
    ``g(q) = 0`` and, hidden in it, ``G M^-1 p = 0``. States are ``(..., 2 d)``, positions before momenta. It
    is no ``HamiltonianSystem``, since methods without constraints would leave them.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, VII.1.

    Attributes:
        degrees: Number ``d`` of positions.
        constraint_names: Names of the ``m`` constraints.

    Examples:
        >>> import torch
        >>> from integrators import ConstrainedHamiltonian
        >>> ball = ConstrainedHamiltonian(
        ...     "(p1**2 + p2**2 + p3**2)/2 + q3", {"length": "q1**2 + q2**2 + q3**2 - 1"}
        ... )
        >>> x = ball.project(torch.tensor([1.0, 0.1, 0.0, 0.3, 0.6, 0.2], dtype=torch.float64))
        >>> bool(ball.residual(x).abs().max() < 1e-15)
        True
    """

    def __init__(
        self,
        expression: Expression,
        constraints: Sequence[Expression] | Mapping[str, Expression],
        parameters: Mapping[str, float | Tensor] | None = None,
        positions: Names | None = None,
        momenta: Names | None = None,
        invariants: Mapping[str, Expression | Sequence[Expression]] | None = None,
        units: tuple[str, str] = ("1", "1"),
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Derive forces and the Jacobian of the constraints.

        Args:
            expression: ``H``, text or sympy.
            constraints: Functions ``g`` of the positions that are zero, by name, or a list, whose names are
                ``g1, g2, ...``.
            parameters: Values of the other symbols; an ``nn.Parameter`` is trained with the rest of a model.
            positions: Names of the positions in order; None finds ``q1, q2, ...``.
            momenta: Names of the momenta in order; None finds ``p1, p2, ...``.
            invariants: Conserved quantities beside the energy, expressions in the same symbols.
            units: Units of positions and momenta, for files and plots.
            dtype: Floating-point type of the parameters.

        Raises:
            ValueError: If an expression cannot be read or has an unknown symbol, ``H`` is not of the form
                above, a constraint is not one of positions, or constraints are redundant.
        """
        super().__init__()
        given = dict(parameters or {})
        named = as_symbols(list(given))
        h = self.expression = parse(expression)
        self.constraints = _named_constraints(constraints)
        self.constraint_names = tuple(self.constraints)
        g = list(self.constraints.values())
        self.positions, self.momenta = coordinate_pairs([h, *g], named, positions, momenta)
        q, p = self.positions, self.momenta
        self.degrees = len(q)
        require_distinct(positions=q, momenta=p, parameters=named)
        quantities = parse_invariants(invariants)
        require_known({"expression": h}, [*q, *p, *named], _no_time(hint()))
        require_known(
            {f"constraints[{n!r}]": e for n, e in self.constraints.items()},
            [*q, *named],
            _no_time(
                "constraints are functions of positions and parameters; velocities cannot be constrained so"
            ),
        )
        observed = {f"invariants[{n!r}]": e for n, es in quantities.items() for e in es}
        require_known(observed, [*q, *p, *named], hint())
        inverse_mass = _inverse_mass(h, q, p)
        self._set_values(given, dtype)
        own = self.parameter_symbols
        self._set_observables(h, quantities, [*q, *p])
        potential = h.subs(dict.fromkeys(p, 0))
        self._inverse_mass = SymbolicFunction(inverse_mass, [], own)
        self._force = SymbolicFunction([-sympy.diff(potential, s) for s in q], q, own)
        self._velocity = SymbolicFunction([sympy.diff(h, s).subs(dict.fromkeys(q, 0)) for s in p], p, own)
        jacobian = [sympy.diff(e, s) for e in g for s in q]
        self._constraint = SymbolicFunction(g, q, own)
        self._jacobian = SymbolicFunction(jacobian, q, own)
        rate = as_symbols([f"rate_of_{s.name}" for s in q])
        second = [
            sum(
                v * w * sympy.diff(e, s, r)
                for s, v in zip(q, rate, strict=True)
                for r, w in zip(q, rate, strict=True)
            )
            for e in g
        ]
        self._curvature = SymbolicFunction(second, [*q, *rate], own)
        self.space = StateSpace(
            vector("q", self.degrees, unit=units[0]), vector("p", self.degrees, unit=units[1])
        )
        require_independent(self)

    @property
    def inverse_mass(self) -> Tensor:
        """``M^-1``, shape ``(d, d)``."""
        d = self.degrees
        values = self.values()
        return self._inverse_mass(values[:0], values).reshape(d, d)

    def force(self, q: Tensor) -> Tensor:
        """Compute ``-dV/dq`` at positions ``(..., d)``."""
        return self._force(q, self.values())

    def velocity(self, p: Tensor) -> Tensor:
        """Compute ``M^-1 p`` of momenta ``(..., d)``."""
        return self._velocity(p, self.values())

    def constraint(self, q: Tensor) -> Tensor:
        """Compute ``g`` at positions ``(..., d)``, shape ``(..., m)``."""
        return self._constraint(q, self.values())

    def constraint_jacobian(self, q: Tensor) -> Tensor:
        """Compute ``G = dg/dq`` at positions ``(..., d)``, shape ``(..., m, d)``."""
        return self._jacobian(q, self.values()).unflatten(-1, (len(self.constraints), self.degrees))

    def curvature(self, q: Tensor, v: Tensor) -> Tensor:
        """Compute the second derivative of ``g`` along velocities ``(..., d)``, shape ``(..., m)``."""
        return self._curvature(torch.cat((q, v), -1), self.values())

    def jacobian_pattern(self) -> Pattern:
        """Which entries of ``dg/dq`` are not always zero, row by row."""
        d, entries = self.degrees, self._jacobian.outputs
        return [[entries[i * d + k] != 0 for k in range(d)] for i in range(len(self.constraints))]

    def mass_pattern(self) -> Pattern:
        """Which entries of ``M^-1`` are not always zero, row by row."""
        d, entries = self.degrees, self._inverse_mass.outputs
        return [[entries[i * d + k] != 0 for k in range(d)] for i in range(d)]

    def emit_force(self, builder: KernelBuilder, offset: int, q: Rows, t: Rows, targets: list[str]) -> None:
        """Write ``-dV/dq``: one statement per component, ``{}`` standing for its value."""
        self._force.emit(builder, q, offset, targets)

    def emit_velocity(self, builder: KernelBuilder, offset: int, p: Rows, targets: list[str]) -> None:
        """Write ``M^-1 p``: one statement per component, ``{}`` standing for its value."""
        self._velocity.emit(builder, p, offset, targets)

    def emit_constraint(self, builder: KernelBuilder, offset: int, q: Rows, targets: list[str]) -> None:
        """Write ``g``: one statement per constraint, ``{}`` standing for its value."""
        self._constraint.emit(builder, q, offset, targets)

    def emit_constraint_jacobian(
        self, builder: KernelBuilder, offset: int, q: Rows, targets: list[str]
    ) -> None:
        """Write ``dg/dq`` row by row: one statement for each of ``m * d`` entries, ``{}`` for its value."""
        self._jacobian.emit(builder, q, offset, targets)

    def extra_repr(self) -> str:
        """Show the energy and the constraints."""
        return f"H = {self.expression}, " + ", ".join(f"{n}: {e} = 0" for n, e in self.constraints.items())


def _named_constraints(
    constraints: Sequence[Expression] | Mapping[str, Expression],
) -> dict[str, sympy.Expr]:
    if isinstance(constraints, (str, sympy.Expr)):
        constraints = [constraints]
    pairs = (
        list(constraints.items())
        if isinstance(constraints, Mapping)
        else [(f"g{k + 1}", e) for k, e in enumerate(constraints)]
    )
    if not pairs:
        raise ValueError(
            "constraints: expected one or more functions of positions; without any, use Hamiltonian"
        )
    return {name: parse(e, f"constraints[{name!r}]") for name, e in pairs}


def _no_time(text: str) -> str:
    return text + "; time is not taken"


def _inverse_mass(h: sympy.Expr, q: Sequence[sympy.Symbol], p: Sequence[sympy.Symbol]) -> list[sympy.Expr]:
    """Second derivatives in the momenta, refused unless ``H = p M^-1 p / 2 + V(q)`` with constant ``M``."""
    slopes = [sympy.diff(h, s) for s in p]
    second = [sympy.diff(e, s) for e in slopes for s in p]
    constant = not any(depends_on(e, (*q, *p)) for e in second)
    linear = [e.subs(dict.fromkeys(p, 0)) for e in slopes]
    if not constant or not all(vanishes(e) for e in linear):
        raise ValueError(
            f"expression: expected p M^-1 p / 2 + V(q) with a constant M, got {h}; use coordinates in which "
            "the masses are constant, such as Cartesian ones"
        )
    return [e.subs(dict.fromkeys((*q, *p), 0)) for e in second]
