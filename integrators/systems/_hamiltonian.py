"""Hamiltonian systems from one symbolic expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy
import torch
from torch import Tensor

from .._state import Part, StateSpace, vector
from ..kernels import KernelBuilder, Rows
from ._adjoint import Staged, staged_gradient
from ._coordinates import Names, coordinate_pairs, hint
from ._forcing import analyse, even, parse_forces
from ._function import SymbolicFunction
from ._identity import depends_on, vanishes
from ._inputs import parse_inputs, with_inputs
from ._parse import Expression, as_symbols, parse, require_distinct, require_known
from ._symbolic import TIME, parse_invariants
from ._symbolic_hamiltonian import SymbolicHamiltonian


class Hamiltonian(SymbolicHamiltonian):
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
        forces: Mapping[str, Expression] | None = None,
        inputs: Names = (),
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
            forces: Forces beside ``-dH/dq`` by the momentum that they push, such as ``{"p1": "u1 - b*p1"}``:
                expressions that may have inputs besides.
            inputs: Names of the controls in order.
            units: Units of positions and momenta, for files and plots.
            dtype: Floating-point type of the parameters.

        Raises:
            ValueError: If the expression cannot be read, has an unknown symbol, or positions and momenta do
                not match.
        """
        super().__init__()
        self.expression = parse(expression)
        given = dict(parameters or {})
        named = as_symbols(list(given))
        controls = as_symbols(inputs)
        symbols = [*named, *controls]
        self.positions, self.momenta = coordinate_pairs([self.expression], symbols, positions, momenta)
        require_distinct(positions=self.positions, momenta=self.momenta, inputs=controls, parameters=named)
        pushes = parse_forces(forces, self.momenta, "momenta")
        self.forces, self.inputs = pushes, parse_inputs(inputs, pushes.values())
        quantities = parse_invariants(invariants)
        known = [*self.positions, *self.momenta, TIME, *named]
        checked = {"expression": self.expression}
        checked |= {f"invariants[{n!r}]": e for n, es in quantities.items() for e in es}
        require_known(checked, known, hint())
        require_known(
            {f"forces[{n!r}]": e for n, e in pushes.items()}, [*known, *controls], hint(inputs=True)
        )
        self.degrees = len(self.positions)
        self.control_size = len(self.inputs)
        self.timed = any(TIME in e.free_symbols for e in (*checked.values(), *pushes.values()))
        self._set_values(given, dtype)
        self._derive(quantities)
        self._derive_forces(pushes)
        clock: tuple[Part, ...] = (vector("t", 1),) if self.timed else ()
        self.space = StateSpace(
            vector("q", self.degrees, unit=units[0]), vector("p", self.degrees, unit=units[1]), *clock
        )

    def _derive(self, quantities: Mapping[str, list[sympy.Expr]]) -> None:
        h, q, p = self.expression, self.positions, self.momenta
        slope_q, slope_p = [sympy.diff(h, s) for s in q], [sympy.diff(h, s) for s in p]
        time = [TIME] if self.timed else []
        self.separable = not any(depends_on(e, (*q, TIME)) for e in slope_p)
        self.quadratic_kinetic = (
            self.separable
            and not any(depends_on(sympy.diff(e, s), p) for e in slope_p for s in e.free_symbols & {*p})
            and all(vanishes(e.xreplace(dict.fromkeys(p, sympy.Integer(0)))) for e in slope_p)
        )
        state, own = [*q, *p, *time], self.parameter_symbols
        self._set_observables(h, quantities, state)
        self._gradient = SymbolicFunction(staged_gradient(h, [*q, *p]), state, own)
        if self.separable:
            zero_p, zero_q = dict.fromkeys(p, sympy.Integer(0)), dict.fromkeys(q, sympy.Integer(0))
            potential = h.xreplace(zero_p)
            if potential.has(sympy.zoo, sympy.nan, sympy.oo):
                self._set_force([-e.xreplace(zero_p) for e in slope_q], q)
            else:
                self._set_force(-staged_gradient(potential, q), q)
            self._velocity = SymbolicFunction([e.xreplace(zero_q) for e in slope_p], p, own)

    def _derive_forces(self, pushes: Mapping[str, sympy.Expr]) -> None:
        q, p = self.positions, self.momenta
        self.reversible = even(self.expression, {s: -s for s in (*p, TIME)})
        self.forced = bool(pushes)
        if not pushes:
            return
        forcing = analyse([pushes.get(s.name, sympy.Integer(0)) for s in p], q, p)
        time, own = [TIME] if self.timed else [], self.parameter_symbols
        slope_q, slope_p = self._gradient.outputs[: len(q)], self._gradient.outputs[len(q) :]
        pushed = [f - s for f, s in zip(forcing.forces, slope_q, strict=True)]
        clock = [sympy.Integer(1) for _ in time]
        field = Staged(self._gradient.staged.definitions, (*slope_p, *pushed, *clock))
        self._field = SymbolicFunction(field, [*q, *p, *time, *self.inputs], own)
        self._set_kicks(forcing)

    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute ``(dH/dp, -dH/dq + forces)``, and one for time.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)``; None stands for zero.

        Returns:
            Shape ``(..., n)``.
        """
        if not self.forced:
            return super().field(x, control)
        return self._field(with_inputs(x, control, self.control_size), self.values())

    def emit_field(
        self, builder: KernelBuilder, offset: int, x: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write ``(dH/dp, -dH/dq + forces)``, and one for time: a statement each, ``{}`` for its value."""
        if self.forced:
            self._field.emit(builder, [*x, *control], offset, targets)
        else:
            super().emit_field(builder, offset, x, control, targets)

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute ``dH/dq`` and ``dH/dp`` of states, each ``(..., d)``."""
        both = self._gradient(x, self.values())
        return both[..., : self.degrees], both[..., self.degrees :]

    def velocity(self, p: Tensor) -> Tensor:
        """Compute ``dT/dp`` at momenta ``(..., d)``."""
        self._require_separable()
        return self._velocity(p, self.values())

    def emit_velocity(self, builder: KernelBuilder, offset: int, p: Rows, targets: list[str]) -> None:
        """Write ``dT/dp``: one statement per component, ``{}`` standing for its value."""
        self._require_separable()
        self._velocity.emit(builder, p, offset, targets)

    def emit_gradient(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``dH/dq`` then ``dH/dp``: one statement per component, ``{}`` standing for its value."""
        self._gradient.emit(builder, x, offset, targets)
