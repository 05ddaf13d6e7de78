"""Systems of first order from symbolic expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy
import torch
from torch import Tensor

from .._state import StateSpace, vector
from ..kernels import KernelBuilder, Rows
from ._function import SymbolicFunction
from ._inputs import parse_inputs, with_inputs
from ._layout import Units, variable_parts
from ._parse import Expression, as_symbols, numbered, parse, require_distinct, require_known
from ._symbolic import TIME, SymbolicSystem, parse_invariants

_HINT = (
    "name the variables x1, x2, ... or pass variables=, name controls in inputs=, and "
    'give the others values with parameters={"name": value}'
)


class VectorField(SymbolicSystem):
    """A system ``x' = f(x, u, t)`` from expressions, for torch and for kernels.

    Symbols are state variables, inputs ``u``, time ``t`` and parameters. A system in which ``t`` occurs
    carries time as the last entry of its state, with slope one. Runge-Kutta methods treat any such system;
    one that has structure is better given as a ``Hamiltonian``, a ``Lagrangian`` or a ``PoissonSystem``.

    Examples:
        >>> import torch
        >>> from integrators import VectorField
        >>> prey = VectorField({"x": "x*(a - y)", "y": "y*(x - 1)"}, parameters={"a": 2.0})
        >>> prey.field(torch.tensor([3.0, 1.0], dtype=torch.float64))
        tensor([3., 2.], dtype=torch.float64)
    """

    def __init__(
        self,
        expressions: Mapping[str, Expression] | Sequence[Expression],
        parameters: Mapping[str, float | Tensor] | None = None,
        variables: str | Sequence[str | sympy.Symbol] | None = None,
        inputs: str | Sequence[str | sympy.Symbol] = (),
        energy: Expression | None = None,
        invariants: Mapping[str, Expression | Sequence[Expression]] | None = None,
        units: Units = "1",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Read the slopes.

        Args:
            expressions: Slope of each variable, by its name, or a list in the order of ``variables``.
            parameters: Values of the other symbols; an ``nn.Parameter`` is trained with the rest of a model.
            variables: Names of the variables in the order of the state; None takes the order of a mapping,
                and ``x1, x2, ...`` for a list.
            inputs: Names of the controls in order.
            energy: An energy, to be observed; nothing says that it is conserved.
            invariants: Conserved quantities, expressions in the same symbols.
            units: Unit of all variables, or units by name, for files and plots.
            dtype: Floating-point type of the parameters.

        Raises:
            ValueError: If an expression cannot be read, has an unknown symbol, or the variables do not match.
        """
        super().__init__()
        given = dict(parameters or {})
        named = as_symbols(list(given))
        self.variables, slopes = _slopes(expressions, variables, named)
        self.expressions = dict(zip((s.name for s in self.variables), slopes, strict=True))
        quantities = parse_invariants(invariants)
        total = None if energy is None else parse(energy, "energy")
        checked = {f"expressions[{name!r}]": e for name, e in self.expressions.items()}
        self.inputs = parse_inputs(inputs, slopes)
        observed = {f"invariants[{n!r}]": e for n, es in quantities.items() for e in es}
        observed |= {} if total is None else {"energy": total}
        require_distinct(variables=self.variables, inputs=self.inputs, parameters=named)
        require_known(checked, [*self.variables, *self.inputs, *named, TIME], _HINT)
        require_known(observed, [*self.variables, *named, TIME], _HINT)
        self.timed = any(TIME in e.free_symbols for e in (*checked.values(), *observed.values()))
        self.control_size = len(self.inputs)
        self._set_values(given, dtype)
        state = [*self.variables, *([TIME] if self.timed else [])]
        clock = [sympy.Integer(1)] if self.timed else []
        self._set_observables(total, quantities, state)
        self._field = SymbolicFunction([*slopes, *clock], [*state, *self.inputs], self.parameter_symbols)
        parts = variable_parts(self.variables, units)
        self.space = StateSpace(*parts, *([vector("t", 1)] if self.timed else []))

    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the time derivative of states.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)``; None stands for zero.

        Returns:
            Shape ``(..., n)``.
        """
        return self._field(with_inputs(x, control, self.control_size), self.values())

    def emit_field(
        self, builder: KernelBuilder, offset: int, x: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write the time derivative: one statement per component, ``{}`` standing for its value."""
        self._field.emit(builder, [*x, *control], offset, targets)

    def extra_repr(self) -> str:
        """Show the equations."""
        return ", ".join(f"{name}' = {e}" for name, e in self.expressions.items())


def _slopes(
    expressions: Mapping[str, Expression] | Sequence[Expression],
    variables: str | Sequence[str | sympy.Symbol] | None,
    named: Sequence[sympy.Symbol],
) -> tuple[list[sympy.Symbol], list[sympy.Expr]]:
    """Variables in order and their slopes."""
    if isinstance(expressions, (str, sympy.Expr)) or not len(expressions):
        raise ValueError(
            f'expressions: expected one slope for each variable, such as {{"x": "-x"}}, got {expressions!r}'
        )
    if isinstance(expressions, Mapping):
        names = as_symbols(list(expressions) if variables is None else variables)
        if {s.name for s in names} != set(expressions):
            raise ValueError(
                f"variables: expected the names of the slopes, {', '.join(expressions)}, "
                f"got {', '.join(s.name for s in names)}"
            )
        return names, [parse(expressions[s.name], f"expressions[{s.name!r}]") for s in names]
    slopes = [parse(e, f"expressions[{k}]") for k, e in enumerate(expressions)]
    if variables is None:
        names = numbered("x", set().union(*(e.free_symbols for e in slopes)) - set(named))
        if len(names) != len(slopes):
            names = as_symbols([f"x{k + 1}" for k in range(len(slopes))])
    else:
        names = as_symbols(variables)
    if len(names) != len(slopes):
        raise ValueError(
            f"variables: expected {len(slopes)} names, one for each slope, "
            f"got {', '.join(s.name for s in names)}"
        )
    return names, slopes
