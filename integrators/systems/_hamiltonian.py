"""Hamiltonian systems from one symbolic expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy
import torch
from torch import Tensor

from .._state import Part, StateSpace, vector
from ..kernels import KernelBuilder, Rows
from ._coordinates import Names, coordinate_pairs, hint
from ._function import SymbolicFunction
from ._parse import Expression, as_symbols, parse, require_known
from ._symbolic import TIME, SymbolicSystem, parse_invariants
from ._system import HamiltonianSystem


class Hamiltonian(SymbolicSystem, HamiltonianSystem):
    """A Hamiltonian system from one expression, for torch and for kernels.

    The expression is text such as ``"p1**2/(2*m) + k*q1**2/2"`` or a sympy expression. Symbols
    ``q1, q2, ...`` are positions, ``p1, p2, ...`` momenta, ``t`` is time and all others are parameters.
    Derivatives are symbolic; whether ``H = T(p) + V(q)`` and whether T is quadratic is found out, so that an
    integrator can refuse a system that it cannot treat.

    Examples:
        >>> import torch
        >>> from integrators import Hamiltonian
        >>> pendulum = Hamiltonian("p**2/(2*m) - m*g*cos(q)", parameters={"m": 2.0, "g": 9.81})
        >>> float(pendulum.energy(torch.tensor([0.0, 2.0], dtype=torch.float64)))
        -18.62
    """

    def __init__(
        self,
        expression: Expression,
        parameters: Mapping[str, float | Tensor] | None = None,
        positions: Names | None = None,
        momenta: Names | None = None,
        invariants: Mapping[str, Expression | Sequence[Expression]] | None = None,
        units: tuple[str, str] = ("1", "1"),
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Derive everything from the expression.

        Args:
            expression: ``H``, text or sympy.
            parameters: Values of the other symbols; an ``nn.Parameter`` is trained with the rest of a model.
            positions: Names of the positions in order; None finds ``q1, q2, ...``.
            momenta: Names of the momenta in order; None finds ``p1, p2, ...``.
            invariants: Conserved quantities beside the energy, expressions in the same symbols.
            units: Units of positions and momenta, for files and plots.
            dtype: Floating-point type of the parameters.

        Raises:
            ValueError: If the expression cannot be read, has an unknown symbol, or positions and momenta do
                not match.
        """
        super().__init__()
        self.expression = parse(expression)
        given = dict(parameters or {})
        symbols = self.expression.free_symbols
        named = as_symbols(list(given))
        self.positions, self.momenta = coordinate_pairs([self.expression], named, positions, momenta)
        quantities = parse_invariants(invariants)
        known = [*self.positions, *self.momenta, TIME, *named]
        checked = {"expression": self.expression}
        checked |= {f"invariants[{n!r}]": e for n, es in quantities.items() for e in es}
        require_known(checked, known, hint())
        self.degrees = len(self.positions)
        self.timed = TIME in symbols
        self._set_values(given, dtype)
        self._derive(quantities)
        clock: tuple[Part, ...] = (vector("t", 1),) if self.timed else ()
        self.space = StateSpace(
            vector("q", self.degrees, unit=units[0]), vector("p", self.degrees, unit=units[1]), *clock
        )

    def _derive(self, quantities: Mapping[str, list[sympy.Expr]]) -> None:
        h, q, p = self.expression, self.positions, self.momenta
        slope_q, slope_p = [sympy.diff(h, s) for s in q], [sympy.diff(h, s) for s in p]
        time = [TIME] if self.timed else []
        self.separable = all(sympy.simplify(sympy.diff(e, s)) == 0 for e in slope_q for s in p) and not any(
            sympy.diff(e, TIME) != 0 for e in slope_p
        )
        second = [sympy.simplify(sympy.diff(e, s)) for e in slope_p for s in p]
        self.quadratic_kinetic = self.separable and not any(e.free_symbols & {*p, *q, TIME} for e in second)
        if self.quadratic_kinetic and any(sympy.simplify(e.subs(dict.fromkeys(p, 0))) != 0 for e in slope_p):
            self.quadratic_kinetic = False
        state, own = [*q, *p, *time], self.parameter_symbols
        self._set_observables(h, quantities, state)
        self._gradient = SymbolicFunction([*slope_q, *slope_p], state, own)
        if self.separable:
            zero_p, zero_q = dict.fromkeys(p, 0), dict.fromkeys(q, 0)
            self._force = SymbolicFunction([-e.subs(zero_p) for e in slope_q], [*q, *time], own)
            self._velocity = SymbolicFunction([e.subs(zero_q) for e in slope_p], p, own)

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute ``dH/dq`` and ``dH/dp`` of states, each ``(..., d)``."""
        both = self._gradient(x, self.values())
        return both[..., : self.degrees], both[..., self.degrees :]

    def force(self, q: Tensor, t: Tensor | None = None) -> Tensor:
        """Compute ``-dV/dq`` at positions ``(..., d)`` and times ``(..., 1)``."""
        self._require_separable()
        return self._force(q if t is None else torch.cat((q, t), -1), self.values())

    def velocity(self, p: Tensor) -> Tensor:
        """Compute ``dT/dp`` at momenta ``(..., d)``."""
        self._require_separable()
        return self._velocity(p, self.values())

    def _require_separable(self) -> None:
        if not self.separable:
            raise ValueError(f"{self.expression} is not of the form T(p) + V(q)")

    def emit_force(self, builder: KernelBuilder, offset: int, q: Rows, t: Rows, targets: list[str]) -> None:
        """Write ``-dV/dq``: one statement per component, ``{}`` standing for its value."""
        self._require_separable()
        self._force.emit(builder, [*q, *t], offset, targets)

    def emit_velocity(self, builder: KernelBuilder, offset: int, p: Rows, targets: list[str]) -> None:
        """Write ``dT/dp``: one statement per component, ``{}`` standing for its value."""
        self._require_separable()
        self._velocity.emit(builder, p, offset, targets)

    def emit_gradient(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``dH/dq`` then ``dH/dp``: one statement per component, ``{}`` standing for its value."""
        self._gradient.emit(builder, x, offset, targets)

    def extra_repr(self) -> str:
        """Show the expression."""
        return str(self.expression)
