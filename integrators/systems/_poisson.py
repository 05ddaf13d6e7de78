"""Poisson systems from symbolic expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import sympy
import torch
from torch import Tensor

from .._state import StateSpace
from ..kernels import KernelBuilder, Rows
from ._function import SymbolicFunction
from ._layout import Units, variable_parts
from ._parse import Expression, as_symbols, numbered, parse, require_distinct, require_known
from ._poisson_checks import require_casimirs, require_jacobi, require_semidefinite, require_symmetry
from ._skew_gradient import SkewGradientSystem
from ._symbolic import TIME, SymbolicSystem, parse_invariants

Entries: TypeAlias = Sequence[Sequence[Expression]] | Mapping[tuple[int, int], Expression] | sympy.MatrixBase

_HINT = (
    "name the variables x1, x2, ... or pass variables=; give the others values with "
    'parameters={"name": value}'
)


class PoissonSystem(SymbolicSystem, SkewGradientSystem):
    """A Poisson system ``x' = B(x) grad H(x)`` from expressions, for torch and for kernels.

    ``B`` is skew and satisfies the Jacobi identity, ``sum_l (dB_ij/dx_l B_lk + cyclic) = 0`` for all
    ``i, j, k``, which is checked. Casimirs, ``B grad C = 0``, are checked too and become invariants. With
    a ``dissipation`` the system is ``x' = (B - D) grad H``, whose energy falls.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, VII.2.

    Examples:
        >>> import torch
        >>> from integrators import PoissonSystem
        >>> body = PoissonSystem(
        ...     "(x1**2/2 + x2**2 + x3**2/3)/2",
        ...     {(0, 1): "-x3", (0, 2): "x2", (1, 2): "-x1"},
        ...     casimirs={"squared_momentum": "x1**2 + x2**2 + x3**2"},
        ... )
        >>> body.field(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
        tensor([-4.0000,  0.5000,  1.0000], dtype=torch.float64)
    """

    def __init__(
        self,
        hamiltonian: Expression,
        structure: Entries,
        parameters: Mapping[str, float | Tensor] | None = None,
        variables: str | Sequence[str | sympy.Symbol] | None = None,
        casimirs: Mapping[str, Expression] | None = None,
        invariants: Mapping[str, Expression | Sequence[Expression]] | None = None,
        dissipation: Entries | None = None,
        check_jacobi: bool = True,
        units: Units = "1",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Derive the gradient and check the structure.

        Args:
            hamiltonian: ``H``, text or sympy.
            structure: ``B``: rows, or entries ``{(i, j): expression}`` counted from 0, of which one of
                ``(i, j)`` and ``(j, i)`` is enough; entries that are not given are zero.
            parameters: Values of the other symbols; an ``nn.Parameter`` is trained with the rest of a model.
            variables: Names of the variables in the order of the state; None finds ``x1, x2, ...``.
            casimirs: Quantities with ``B grad C = 0`` by name.
            invariants: Conserved quantities beside the energy and the Casimirs.
            dissipation: ``D``, given like ``structure``; symmetric, positive semidefinite.
            check_jacobi: Whether a structure without the Jacobi identity is refused. Without it the energy is
                kept all the same, as in nonholonomic mechanics, but there is no Poisson structure to keep.
            units: Unit of all variables, or units by name, for files and plots.
            dtype: Floating-point type of the parameters.

        Raises:
            ValueError: If an expression cannot be read or has an unknown symbol, ``B`` is not skew or fails
                the Jacobi identity, ``D`` is not symmetric or not semidefinite, or a Casimir is none.
        """
        super().__init__()
        given = dict(parameters or {})
        named = as_symbols(list(given))
        self.expression = parse(hamiltonian, "hamiltonian")
        quantities = parse_invariants(invariants)
        cores = {name: parse(e, f"casimirs[{name!r}]") for name, e in (casimirs or {}).items()}
        self.variables = _variables(variables, _size(structure), self.expression, named)
        n = len(self.variables)
        b = self.structure_expression = _matrix(structure, n, -1, "structure")
        d = None if dissipation is None else _matrix(dissipation, n, 1, "dissipation")
        checked = {"hamiltonian": self.expression} | {
            f"structure[{i}, {j}]": b[i, j] for i in range(n) for j in range(n)
        }
        checked |= (
            {} if d is None else {f"dissipation[{i}, {j}]": d[i, j] for i in range(n) for j in range(n)}
        )
        checked |= {f"casimirs[{name!r}]": e for name, e in cores.items()}
        checked |= {f"invariants[{name!r}]": e for name, es in quantities.items() for e in es}
        require_distinct(variables=self.variables, parameters=named)
        if any(TIME in e.free_symbols for e in checked.values()):
            raise ValueError(
                "hamiltonian: t stands for time, which a PoissonSystem does not take; VectorField does"
            )
        require_known(checked, [*self.variables, *named], _HINT)
        require_symmetry(b, -1, "structure")
        self.jacobi = require_jacobi(b, self.variables, refuse=check_jacobi)
        require_casimirs(b, self.variables, cores)
        self.casimirs, self.dissipative = tuple(cores), d is not None
        self._set_values(given, dtype)
        own = self.parameter_symbols
        self._set_observables(
            self.expression, {name: [e] for name, e in cores.items()} | quantities, self.variables
        )
        slopes = [sympy.diff(self.expression, s) for s in self.variables]
        self._gradient = SymbolicFunction(slopes, self.variables, own)
        self._structure = SymbolicFunction(list(b), self.variables, own)
        self._dissipation = self._operator = self._structure
        both = b
        if d is not None:
            require_symmetry(d, 1, "dissipation")
            both = b - d
            self._dissipation = SymbolicFunction(list(d), self.variables, own)
            self._operator = SymbolicFunction(list(both), self.variables, own)
            require_semidefinite(self.dissipation, n, self.values())
        field = [sum((both[i, j] * slopes[j] for j in range(n)), sympy.Integer(0)) for i in range(n)]
        self._field = SymbolicFunction(field, self.variables, own)
        self.space = StateSpace(*variable_parts(self.variables, units))

    def gradient(self, x: Tensor) -> Tensor:
        """Compute ``grad H`` of states ``(..., n)``, shape ``(..., n)``."""
        return self._gradient(x, self.values())

    def structure(self, x: Tensor) -> Tensor:
        """Compute the skew matrix ``B`` of states ``(..., n)``, shape ``(..., n, n)``."""
        return self._structure(x, self.values()).unflatten(-1, (x.shape[-1], x.shape[-1]))

    def dissipation(self, x: Tensor) -> Tensor:
        """Compute ``D`` of states ``(..., n)``, shape ``(..., n, n)``; zero where there is none."""
        if not self.dissipative:
            return super().dissipation(x)
        return self._dissipation(x, self.values()).unflatten(-1, (x.shape[-1], x.shape[-1]))

    def operator(self, x: Tensor) -> Tensor:
        """Compute ``B - D`` of states ``(..., n)``, shape ``(..., n, n)``."""
        return self._operator(x, self.values()).unflatten(-1, (x.shape[-1], x.shape[-1]))

    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute ``(B - D) grad H``, shape ``(..., n)``."""
        return self._field(x, self.values())

    def emit_field(
        self, builder: KernelBuilder, offset: int, x: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write ``(B - D) grad H``: one statement per component, ``{}`` standing for its value."""
        self._field.emit(builder, x, offset, targets)

    def emit_gradient(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``grad H``: one statement per component, ``{}`` standing for its value."""
        self._gradient.emit(builder, x, offset, targets)

    def emit_structure(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``B`` row by row: one statement for each of ``n * n`` entries, ``{}`` for its value."""
        self._structure.emit(builder, x, offset, targets)

    def emit_operator(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``B - D`` row by row: one statement for each of ``n * n`` entries, ``{}`` for its value."""
        self._operator.emit(builder, x, offset, targets)

    def extra_repr(self) -> str:
        """Show the energy."""
        return f"H = {self.expression}"


def _size(structure: Entries) -> int:
    """Number of variables that the structure tells, at least."""
    if isinstance(structure, Mapping):
        return max((max(i, j) + 1 for i, j in structure), default=0)
    return len(_rows(structure))


def _rows(entries: Sequence[Sequence[Expression]] | sympy.MatrixBase) -> list[list[Expression]]:
    rows = entries.tolist() if isinstance(entries, sympy.MatrixBase) else entries
    return [list(row) for row in rows]


def _variables(
    names: str | Sequence[str | sympy.Symbol] | None,
    count: int,
    hamiltonian: sympy.Expr,
    named: Sequence[sympy.Symbol],
) -> list[sympy.Symbol]:
    if names is not None:
        return as_symbols(names)
    found = numbered("x", hamiltonian.free_symbols - set(named))
    largest = max((int(s.name.strip("x_") or 0) for s in found), default=0)
    return as_symbols([f"x{k + 1}" for k in range(max(count, largest))])


def _matrix(entries: Entries, n: int, sign: int, name: str) -> sympy.Matrix:
    """Read a skew (``sign = -1``) or symmetric matrix."""
    if not isinstance(entries, Mapping):
        rows = _rows(entries)
        if len(rows) != n or any(len(row) != n for row in rows):
            sizes = sorted({len(row) for row in rows})
            raise ValueError(
                f"{name}: expected {n} rows of {n} expressions, got {len(rows)} rows of "
                f"{' or '.join(map(str, sizes))}"
            )
        return sympy.Matrix(
            [[parse(e, f"{name}[{i}, {j}]") for j, e in enumerate(row)] for i, row in enumerate(rows)]
        )
    matrix = sympy.zeros(n, n)
    for (i, j), e in entries.items():
        if not (0 <= i < n and 0 <= j < n):
            raise ValueError(f"{name}: expected entries from 0 to {n - 1}, got ({i}, {j})")
        value = parse(e, f"{name}[{i}, {j}]")
        matrix[i, j] = value
        if (j, i) not in entries:
            matrix[j, i] = sign * value
    return matrix
