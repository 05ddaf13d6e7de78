"""Second-order systems from networks and known accelerations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sympy
import torch
from torch import Tensor, nn

from .._state import StateSpace, vector
from ..kernels import KernelBuilder, KernelField, Rows, emit_network
from ..systems import System
from ..systems._function import SymbolicFunction
from ..systems._parse import Expression, as_symbols, parse, require_distinct, require_known
from ..systems._scalar import Called, require_count, sample
from ..systems._symbolic import TIME
from ..systems._values import register_values, stack_values

Term = Callable[[Tensor], Tensor] | Sequence[Expression]


class AccelerationField(System):
    """``q' = v``, ``v' = a(q, v)``, with ``a`` the sum of networks and of known accelerations.

    States are ``(..., 2 d)``, positions before velocities, with time last where an expression has ``t``.

    Examples:
        >>> import torch
        >>> from integrators import AccelerationField
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).double()
        >>> falling = AccelerationField(2, net, ["0", "-9.81"])  # gravity is known, the rest is learned
        >>> falling.field(torch.zeros(5, 4).double()).shape
        torch.Size([5, 4])
    """

    def __init__(
        self,
        degrees: int,
        *terms: Term,
        parameters: Mapping[str, float | Tensor] | None = None,
        units: tuple[str, str] = ("1", "1"),
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Put the terms together and try them.

        Args:
            degrees: Number ``d`` of positions.
            *terms: Modules or torch functions from states ``(..., 2 d)`` to ``(..., d)``, and lists of ``d``
                expressions of ``q1, ..., qd``, ``v1, ..., vd``, ``t`` and parameters.
            parameters: Values of the other symbols; an ``nn.Parameter`` is trained with the rest of a model.
            units: Units of positions and velocities, for files and plots.
            dtype: Floating-point type of the parameters.

        Raises:
            TypeError: If a term is of another kind.
            ValueError: If there is none, or one has the wrong shape or unknown symbols.
        """
        super().__init__()
        require_count("degrees", degrees)
        if not terms:
            raise ValueError("terms: expected at least one acceleration, got none")
        self.degrees = d = degrees
        given = dict(parameters or {})
        self.learned = nn.ModuleList(Called(term) for term in terms if callable(term))
        self._names = register_values(self, given, dtype)
        named = as_symbols(list(given))
        state = as_symbols([f"{letter}{k + 1}" for letter in "qv" for k in range(d)])
        require_distinct(variables=state, parameters=named)
        known = [_expressions(term, k, d) for k, term in enumerate(terms) if not callable(term)]
        for expressions in known:
            require_known(
                expressions, [*state, *named, TIME], f"expected q1 to q{d}, v1 to v{d}, t, parameters"
            )
        total = [sum((list(es.values())[i] for es in known), sympy.Integer(0)) for i in range(d)]
        self.timed = any(TIME in e.free_symbols for e in total)
        self._known = (
            SymbolicFunction(total, [*state, *([TIME] if self.timed else [])], named) if known else None
        )
        self.invariants = {}
        clock = [vector("t", 1)] if self.timed else []
        self.space = StateSpace(vector("q", d, units[0]), vector("v", d, units[1]), *clock)
        with torch.no_grad():
            self.field(sample((2,), 2 * d + self.timed, self))

    def acceleration(self, x: Tensor) -> Tensor:
        """Compute ``a`` of states, shape ``(..., d)``.

        Args:
            x: States ``(..., n)``.

        Returns:
            The accelerations.

        Raises:
            ValueError: If a term has the wrong shape.
        """
        d = self.degrees
        total = x.new_zeros(()) if self._known is None else self._known(x, stack_values(self, self._names))
        for term in self.learned:
            value = term(x[..., : 2 * d])
            if not isinstance(value, Tensor) or value.shape != (*x.shape[:-1], d):
                got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ValueError(f"terms: expected accelerations of shape {(*x.shape[:-1], d)}, got {got}")
            total = total + value
        return total

    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute ``(v, a)``, and one for time.

        Args:
            x: States ``(..., n)``.
            control: None; there are no inputs.

        Returns:
            Shape ``(..., n)``.
        """
        d = self.degrees
        clock = [torch.ones_like(x[..., 2 * d :])] if self.timed else []
        return torch.cat((x[..., d : 2 * d], self.acceleration(x), *clock), -1)

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """Reserve room for the parameters."""
        return builder.parameter(stack_values(self, self._names))

    def emit_field(
        self, builder: KernelBuilder, offset: int, x: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write ``(v, a)``: one statement per component, ``{}`` standing for its value."""
        d = self.degrees
        parts = [_emit_network(builder, term.function, x[: 2 * d]) for term in self.learned]
        if self._known is not None:
            known = builder.rows(d)
            self._known.emit(builder, x, offset, [f"@{row} = {{}}" for row in known])
            parts.append(known)
        sums = [" + ".join(f"@{rows[i]}" for rows in parts) for i in range(d)]
        statements = [target.format(f"@{row}") for target, row in zip(targets[:d], x[d : 2 * d], strict=True)]
        statements += [
            target.format(f"({text})") for target, text in zip(targets[d : 2 * d], sums, strict=True)
        ]
        statements += [target.format("1.0") for target in targets[2 * d :]]
        builder.lanes(*statements, join=True)

    def __repr__(self) -> str:
        """Name and layout, without the modules."""
        return f"{type(self).__name__}({self.space!r})"


def _emit_network(builder: KernelBuilder, function: object, x: Rows) -> Rows:
    if isinstance(function, KernelField):
        return function.emit_field(builder, x, [])
    try:
        return emit_network(builder, function).emit_forward(x)
    except TypeError as error:
        raise TypeError(f"terms: {error}") from error


def _expressions(term: object, k: int, degrees: int) -> dict[str, sympy.Expr]:
    if isinstance(term, (str, Mapping)) or not isinstance(term, Sequence):
        raise TypeError(
            f"terms[{k}]: expected a module, a torch function or a list of expressions, got {term!r}"
        )
    if len(term) != degrees:
        raise ValueError(
            f"terms[{k}]: expected {degrees} expressions, one for each position, got {len(term)}"
        )
    return {f"terms[{k}][{i}]": parse(e, f"terms[{k}][{i}]") for i, e in enumerate(term)}
