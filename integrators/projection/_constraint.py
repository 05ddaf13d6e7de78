"""Constraint functions of states, their Jacobians and second derivatives, in torch and in kernels."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import sympy
import torch
from torch import Tensor, nn

from .._fixed_point import jacobian
from .._linear import apply
from ..kernels import KernelBuilder, Rows
from ..systems._function import SymbolicFunction
from ..systems._parse import Expression, as_symbols, parse, require_distinct, require_known
from ..systems._scalar import Called, sample
from ..systems._symbolic import TIME
from ..systems._values import register_values, stack_values

ConstraintLike = Callable[..., Tensor] | Sequence[Expression] | Mapping[str, Expression]


class Constraint(nn.Module, ABC):
    """Functions ``g`` of ``(u, t)``, ``u`` with ``size`` entries and time last where it occurs.

    Attributes:
        names: Names of the ``m`` functions.
        size: Number ``n`` of entries of ``u``.
        timed: Whether time occurs.
    """

    names: tuple[str, ...]
    size: int
    timed: bool

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Compute ``g`` at ``(..., n)``, with time ``(..., n + 1)``; shape ``(..., m)``."""

    def jacobian(self, x: Tensor) -> Tensor:
        """Compute ``dg/dx``, shape ``(..., m, n)`` or, with time, ``(..., m, n + 1)``."""
        return jacobian(self, x)

    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the second derivative of ``g`` along ``v``, of the shape of ``x``; shape ``(..., m)``."""
        second: Tensor = torch.func.jvp(lambda y: apply(self.jacobian(y), v), (x,), (v,))[1]
        return second

    @abstractmethod
    def with_rates(self) -> Constraint:
        """The functions ``(g(q, t), dg/dq v + dg/dt)`` of ``(q, v, t)``."""

    def jacobian_pattern(self) -> list[list[bool]]:
        """Which entries of the Jacobian are not always zero, row by row."""
        return [[True] * (self.size + self.timed) for _ in self.names]

    def emit(self, builder: KernelBuilder, x: Rows, targets: list[str]) -> None:
        """Write ``g``: one statement per function, ``{}`` standing for its value."""
        raise TypeError(_NO_CODE)

    def emit_jacobian(self, builder: KernelBuilder, x: Rows, targets: list[str]) -> None:
        """Write ``dg/dx`` row by row: one statement for each entry, ``{}`` standing for its value."""
        raise TypeError(_NO_CODE)

    def emit_curvature(
        self, builder: KernelBuilder, x: Rows, v: Sequence[int | str], targets: list[str]
    ) -> None:
        """Write the second derivative along ``v``: one statement per function, ``{}`` for its value."""
        raise TypeError(_NO_CODE)


_NO_CODE = "constraints: a function in torch has no kernel code; give expressions"


class SymbolicConstraint(Constraint):
    """Constraints from expressions."""

    def __init__(
        self,
        expressions: Mapping[str, sympy.Expr],
        variables: Sequence[sympy.Symbol],
        parameters: Mapping[str, float | Tensor],
        dtype: torch.dtype,
    ) -> None:
        """Derive the code.

        Args:
            expressions: The functions by name.
            variables: Symbols of the entries of ``u`` in order.
            parameters: Values of the other symbols.
            dtype: Floating-point type of the parameters.
        """
        super().__init__()
        self.names, self.size = tuple(expressions), len(variables)
        self.expressions, self.variables = dict(expressions), list(variables)
        g = self._g = list(expressions.values())
        self.timed = any(TIME in e.free_symbols for e in g)
        self._value_names = register_values(self, parameters, dtype)
        state = self._state = [*variables, *([TIME] if self.timed else [])]
        own = as_symbols(self._value_names)
        along = [sympy.Dummy(f"w{k}", real=True) for k in range(len(state))]
        slopes = [[sympy.diff(e, s) for s in state] for e in g]
        self._rates = [sum((a * s for a, s in zip(row, along)), sympy.Integer(0)) for row in slopes]
        self._along = along
        self._value = SymbolicFunction(g, state, own)
        self._jacobian = SymbolicFunction([entry for row in slopes for entry in row], state, own)

    @cached_property
    def _curvature(self) -> SymbolicFunction:
        pairs, zero = list(zip(self._state, self._along)), sympy.Integer(0)
        second = [sum((sympy.diff(r, s) * a for s, a in pairs), zero) for r in self._rates]
        return SymbolicFunction(second, [*self._state, *self._along], as_symbols(self._value_names))

    def values(self) -> Tensor:
        """Values of the parameters, shape ``(number of parameters,)``."""
        return stack_values(self, self._value_names)

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``g``."""
        return self._value(x, self.values())

    def jacobian(self, x: Tensor) -> Tensor:
        """Compute ``dg/dx``."""
        return self._jacobian(x, self.values()).unflatten(-1, (len(self.names), len(self._state)))

    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """Compute the second derivative along ``v``."""
        return self._curvature(torch.cat((x, v.expand_as(x)), -1), self.values())

    def with_rates(self) -> SymbolicConstraint:
        """The functions and their derivatives along velocities ``v1, v2, ...``."""
        velocities = [sympy.Dummy(f"v{k + 1}", real=True) for k in range(self.size)]
        moves = dict(zip(self._along, [*velocities, sympy.Integer(1)]))
        rates = {f"d{name}/dt": r.xreplace(moves) for name, r in zip(self.names, self._rates)}
        values = {name: getattr(self, f"value_{name}") for name in self._value_names}
        like = self.values().dtype
        return SymbolicConstraint(self.expressions | rates, [*self.variables, *velocities], values, like)

    def jacobian_pattern(self) -> list[list[bool]]:
        """Which entries of the Jacobian are not always zero, row by row."""
        entries, width = self._jacobian.outputs, len(self._state)
        return [[entries[i * width + k] != 0 for k in range(width)] for i in range(len(self.names))]

    def _place(self, builder: KernelBuilder) -> int:
        return builder.shared(self, lambda: builder.parameter(self.values()))

    def emit(self, builder: KernelBuilder, x: Rows, targets: list[str]) -> None:
        """Write ``g``."""
        self._value.emit(builder, x, self._place(builder), targets)

    def emit_jacobian(self, builder: KernelBuilder, x: Rows, targets: list[str]) -> None:
        """Write ``dg/dx``."""
        self._jacobian.emit(builder, x, self._place(builder), targets)

    def emit_curvature(
        self, builder: KernelBuilder, x: Rows, v: Sequence[int | str], targets: list[str]
    ) -> None:
        """Write the second derivative along ``v``."""
        self._curvature.emit(builder, [*x, *v], self._place(builder), targets)


class FunctionConstraint(Constraint):
    """Constraints from a function or module in torch, of ``u`` or of ``u`` and ``t``."""

    def __init__(self, function: Callable[..., Tensor], size: int, like: nn.Module) -> None:
        """Keep the function and try it.

        Args:
            function: Maps ``(..., n)``, and with a second argument times ``(..., 1)``, to ``(..., m)``.
            size: Number ``n``.
            like: A module whose dtype the states have.

        Raises:
            ValueError: If its values have the wrong shape.
        """
        super().__init__()
        self.function, self.size = Called(function), size
        self.timed = _takes_time(function)
        with torch.no_grad():
            value = self(sample((2,), size + self.timed, like))
        if not isinstance(value, Tensor) or value.ndim != 2 or value.shape[0] != 2 or not value.shape[1]:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"constraints: expected shape (2, m) for states (2, {size}), got {got}")
        self.names = tuple(f"g{k + 1}" for k in range(value.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``g``."""
        value: Tensor = self.function(x[..., :-1], x[..., -1:]) if self.timed else self.function(x)
        return value

    def with_rates(self) -> Constraint:
        """The functions and their derivatives along velocities."""
        return _WithRates(self)


class _WithRates(Constraint):
    """``(g(q, t), dg/dq v + dg/dt)`` of constraints in torch."""

    def __init__(self, positions: Constraint) -> None:
        super().__init__()
        self.positions, self.size, self.timed = positions, 2 * positions.size, positions.timed
        self.names = (*positions.names, *(f"d{name}/dt" for name in positions.names))

    def forward(self, x: Tensor) -> Tensor:
        """Compute both."""
        d = self.positions.size
        clock = x[..., 2 * d :]
        q = torch.cat((x[..., :d], clock), -1)
        v = torch.cat((x[..., d : 2 * d], torch.ones_like(clock)), -1)
        return torch.cat((self.positions(q), apply(self.positions.jacobian(q), v)), -1)

    def with_rates(self) -> Constraint:
        """There are no rates of rates."""
        raise TypeError("constraints: rates have no rates")


def read_constraint(
    constraints: ConstraintLike | Constraint,
    variables: Sequence[sympy.Symbol],
    parameters: Mapping[str, float | Tensor] | None,
    like: nn.Module,
    hint: str,
) -> Constraint:
    """Make constraints of what a user gives.

    Args:
        constraints: A function in torch, or expressions by name or in a list.
        variables: Symbols of the entries of the state.
        parameters: Values of the other symbols.
        like: A module whose dtype the states have.
        hint: What the symbols may be, for messages.

    Returns:
        The constraints.

    Raises:
        TypeError: If they are of another kind.
        ValueError: If there is none, one cannot be read or has an unknown symbol, or there are too many.
    """
    if isinstance(constraints, Constraint):
        made = constraints
    elif callable(constraints):
        if parameters:
            raise ValueError("parameters: belong to expressions; a function in torch has its own")
        made = FunctionConstraint(constraints, len(variables), like)
    else:
        if isinstance(constraints, (str, sympy.Expr)):
            constraints = [constraints]
        if not isinstance(constraints, (Mapping, Sequence)):
            raise TypeError(f"constraints: expected a function in torch or expressions, got {constraints!r}")
        named = (
            constraints
            if isinstance(constraints, Mapping)
            else {f"g{k + 1}": e for k, e in enumerate(constraints)}
        )
        g = {name: parse(e, f"constraints[{name!r}]") for name, e in named.items()}
        given = dict(parameters or {})
        symbols = as_symbols(list(given))
        require_distinct(variables=variables, parameters=symbols)
        require_known({f"constraints[{n!r}]": e for n, e in g.items()}, [*variables, *symbols, TIME], hint)
        made = SymbolicConstraint(g, variables, given, sample((), 1, like).dtype)
    if not 0 < len(made.names) <= len(variables):
        raise ValueError(
            f"constraints: expected between 1 and {len(variables)}, the number of entries they restrict, "
            f"got {len(made.names)}"
        )
    return made


def _takes_time(function: Callable[..., Tensor]) -> bool:
    forward = getattr(function, "forward", function)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(forward).parameters.values()
    return sum(p.kind in kinds and p.default is p.empty for p in parameters) == 2
