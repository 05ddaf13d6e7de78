"""Systems on Lie groups from expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import sympy
import torch
from torch import Tensor

from lie import SE3, SO3, LieGroup, MatrixLieGroup, UnitQuaternion

from .._state import vector
from ..kernels import KernelBuilder, Rows
from ..systems._function import SymbolicFunction
from ..systems._inputs import parse_inputs, with_inputs
from ..systems._parse import Expression, as_symbols, parse, require_known
from ..systems._symbolic import TIME, SymbolicSystem, parse_invariants
from ._field import GroupSystem


class SymbolicGroupField(SymbolicSystem, GroupSystem):
    """A system on a Lie group from expressions, for torch and for kernels.

    The entries of the group element have names: on SO(3) ``R11, R12, ... R33`` if the part is called ``R``,
    likewise on every matrix group; on SE(3) ``R11 ... R33`` and ``x1, x2, x3`` for rotation and translation;
    unit quaternions called ``q`` have ``qx, qy, qz, qw``. The entries of a vector ``Pi`` are ``Pi1, Pi2,
    ...``. Kernels there are for SO(3), SE(3) and unit quaternions.

    Examples:
        >>> from integrators import SymbolicGroupField
        >>> from lie import SO3
        >>> top = SymbolicGroupField(
        ...     SO3,
        ...     ["Pi1/I1", "Pi2/I2", "Pi3/I3"],
        ...     vectors={"Pi": ["Pi2*Pi3*(1/I3 - 1/I2)", "Pi3*Pi1*(1/I1 - 1/I3)", "Pi1*Pi2*(1/I2 - 1/I1)"]},
        ...     parameters={"I1": 2.0, "I2": 1.0, "I3": 0.5},
        ...     energy="Pi1**2/(2*I1) + Pi2**2/(2*I2) + Pi3**2/(2*I3)",
        ... )
        >>> top.space
        StateSpace(R: 3x3, Pi: 3)
    """

    def __init__(
        self,
        group: LieGroup,
        expressions: Sequence[Expression],
        vectors: Mapping[str, Sequence[Expression]] | None = None,
        parameters: Mapping[str, float | Tensor] | None = None,
        inputs: str | Sequence[str | sympy.Symbol] = (),
        trivialization: str = "left",
        energy: Expression | None = None,
        invariants: Mapping[str, Expression | Sequence[Expression]] | None = None,
        name: str | None = None,
        units: Mapping[str, str] | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Read the slopes.

        Args:
            group: A matrix group of ``lie``, or its unit quaternions.
            expressions: One expression for each tangent coordinate of the group.
            vectors: For each vector that belongs to the state the expressions of its slopes.
            parameters: Values of the other symbols; an ``nn.Parameter`` is trained with the rest of a model.
            inputs: Names of the controls in order.
            trivialization: ``"left"`` for ``Y' = Y hat(xi)``, ``"right"`` for ``Y' = hat(xi) Y``.
            energy: An energy, to be observed.
            invariants: Conserved quantities, expressions in the same symbols.
            name: Name of the group's part of the state: by default ``R`` for rotations, ``q`` for unit
                quaternions, ``g`` for others.
            units: Units of the vectors by name.
            dtype: Floating-point type of the parameters.

        Raises:
            TypeError: If the entries of the group's elements have no names.
            ValueError: If an expression cannot be read, has an unknown symbol, or there are too many or few.
        """
        super().__init__()
        name = name or {SO3: "R", UnitQuaternion: "q"}.get(group, "g")
        entries = element_symbols(group, name)
        if len(expressions) != group.dim:
            raise ValueError(
                f"expressions: expected {group.dim}, the tangent coordinates of {group.name}, "
                f"got {len(expressions)}"
            )
        listed = {n: list(es) for n, es in (vectors or {}).items()}
        names = [f"{n}{k + 1}" for n, es in listed.items() for k in range(len(es))]
        checked = {f"expressions[{k}]": parse(e, f"expressions[{k}]") for k, e in enumerate(expressions)}
        checked |= {
            f"vectors[{n!r}][{k}]": parse(e, f"vectors[{n!r}][{k}]")
            for n, es in listed.items()
            for k, e in enumerate(es)
        }
        slopes = list(checked.values())
        given = dict(parameters or {})
        self.inputs = parse_inputs(inputs, slopes)
        quantities = parse_invariants(invariants)
        total = None if energy is None else parse(energy, "energy")
        observed = {f"invariants[{n!r}]": e for n, es in quantities.items() for e in es}
        observed |= {} if total is None else {"energy": total}
        state = as_symbols([*entries, *names])
        hint = (
            f"the entries of the state are {', '.join([*(e for e in entries if e[0] != '_'), *names])}; "
            'give the others values with parameters={"name": value}'
        )
        require_known(checked, [*state, *self.inputs, *as_symbols(list(given)), TIME], hint)
        require_known(observed, [*state, *as_symbols(list(given)), TIME], hint)
        self.timed = any(TIME in e.free_symbols for e in (*slopes, *observed.values()))
        self.control_size = len(self.inputs)
        parts = [vector(n, len(es), unit=(units or {}).get(n, "1")) for n, es in listed.items()]
        self._set_layout(group, name, parts, trivialization)
        self._set_values(given, dtype)
        clock = [TIME] if self.timed else []
        self._set_observables(total, quantities, [*state, *clock])
        one = [sympy.Integer(1)] if self.timed else []
        self._state = [*state, *clock, *self.inputs]
        self._slopes = SymbolicFunction([*slopes, *one], self._state, self.parameter_symbols)

    def slopes(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the tangent coordinates of the group and the slopes of the vectors, and one for time."""
        return self._slopes(with_inputs(x, control, self.control_size), self.values())

    def emit_slopes(
        self, builder: KernelBuilder, offset: int, x: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write the slopes: one statement per component, ``{}`` standing for its value."""
        self._slopes.emit(builder, [*x, *control], offset, targets)

    @cached_property
    def _derivative(self) -> SymbolicFunction:
        """Time derivative of the entries of the state."""
        outputs, dim, size = self._slopes.outputs, self.group.dim, self.space.parts[0].size
        entries = element_derivative(self.group, self._state[:size], outputs[:dim], self.trivialization)
        return SymbolicFunction([*entries, *outputs[dim:]], self._state, self.parameter_symbols)

    def emit_field(
        self, builder: KernelBuilder, offset: int, x: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write the time derivative of the entries: one statement for each, ``{}`` for its value."""
        self._derivative.emit(builder, [*x, *control], offset, targets)

    def extra_repr(self) -> str:
        """Show the equations."""
        return ", ".join(str(e) for e in self._slopes.outputs)


def element_symbols(group: LieGroup, name: str) -> list[str]:
    """Name the entries of the elements of a group, row by row.

    Args:
        group: The group.
        name: Name of the element.

    Returns:
        The names; those of entries that are constant begin with an underscore.

    Raises:
        TypeError: If it is neither a matrix group nor that of the unit quaternions.
    """
    if group == SE3:
        moving = [[f"R{i}1", f"R{i}2", f"R{i}3", f"x{i}"] for i in (1, 2, 3)]
        return [entry for row in moving for entry in row] + [f"_constant{k}" for k in range(4)]
    if group == UnitQuaternion:
        return [f"{name}{axis}" for axis in "xyzw"]
    if isinstance(group, MatrixLieGroup):
        n = range(1, group.matrix_dim + 1)
        return [f"{name}{i}{j}" for i in n for j in n]
    raise TypeError(
        f"group: expected a matrix group or lie.UnitQuaternion, whose entries have names, got {group.name}; "
        "GroupField takes a function on any group"
    )


def element_derivative(
    group: LieGroup, entries: Sequence[sympy.Expr], xi: Sequence[sympy.Expr], trivialization: str
) -> list[sympy.Expr]:
    """Derivative of the entries of an element that moves with given tangent coordinates.

    Args:
        group: A matrix group, or that of the unit quaternions.
        entries: The element, row by row.
        xi: Tangent coordinates.
        trivialization: ``"left"`` or ``"right"``.

    Returns:
        One expression for each entry.
    """
    if not isinstance(group, MatrixLieGroup):
        q, half = list(entries), [e / 2 for e in xi]
        sign = 1 if trivialization == "left" else -1
        turned = [
            q[3] * half[i] + sign * (q[(i + 1) % 3] * half[(i + 2) % 3] - q[(i + 2) % 3] * half[(i + 1) % 3])
            for i in range(3)
        ]
        return [*turned, -sum(a * b for a, b in zip(q[:3], half, strict=True))]
    n = group.matrix_dim
    element = sympy.Matrix(n, n, list(entries))
    if group == SE3:
        element[3, :] = sympy.Matrix([[0, 0, 0, 1]])
    hat = sympy.zeros(n, n)
    for coordinate, generator in zip(xi, group.basis(torch.float64).tolist(), strict=True):
        hat += coordinate * sympy.Matrix(n, n, [_exact(v) for row in generator for v in row])
    return list(element * hat if trivialization == "left" else hat * element)


def _exact(value: float) -> sympy.Expr:
    return sympy.Integer(int(value)) if value == int(value) else sympy.Float(value)
