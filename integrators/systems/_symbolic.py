"""What systems from expressions share: values of the parameters, observed quantities, their kernel code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy
import torch
from torch import Tensor

from ..kernels import KernelBuilder, Rows
from ._function import SymbolicFunction
from ._parse import Expression, as_symbols, parse
from ._system import System
from ._values import register_values, stack_values

TIME = sympy.Symbol("t", real=True)


class SymbolicSystem(System):
    """A system whose functions come from expressions in the entries of the state and named parameters.

    Attributes:
        parameter_symbols: Symbols of the parameters, in the order of ``values``.
    """

    parameter_symbols: list[sympy.Symbol]
    _observables: dict[str, SymbolicFunction]

    def _set_values(self, given: Mapping[str, float | Tensor], dtype: torch.dtype) -> None:
        """Register the values of the parameters."""
        self._names = register_values(self, given, dtype)
        self.parameter_symbols = as_symbols(self._names)

    def _set_observables(
        self,
        energy: sympy.Expr | None,
        invariants: Mapping[str, Sequence[sympy.Expr]],
        state: Sequence[sympy.Symbol],
    ) -> None:
        """Compile the energy, if there is one, and the invariants."""
        own = self.parameter_symbols
        self.invariants = {name: len(es) for name, es in invariants.items()}
        self._observables = {} if energy is None else {"energy": SymbolicFunction([energy], state, own)}
        self._observables |= {name: SymbolicFunction(es, state, own) for name, es in invariants.items()}
        self.has_energy = energy is not None

    def values(self) -> Tensor:
        """Values of the parameters, shape ``(number of parameters,)``."""
        return stack_values(self, self._names)

    def energy(self, x: Tensor) -> Tensor:
        """Compute the energy of states ``(..., n)``, shape ``(...)``."""
        if not self.has_energy:
            return super().energy(x)
        return self._observables["energy"](x, self.values()).squeeze(-1)

    def invariant(self, name: str, x: Tensor) -> Tensor:
        """Compute a conserved quantity of states, shape ``(...)`` or ``(..., components)``."""
        if name not in self._observables:
            return super().invariant(name, x)
        value = self._observables[name](x, self.values())
        return value.squeeze(-1) if value.shape[-1] == 1 else value

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """Reserve room for the values of the parameters and return their offset."""
        return builder.parameter(self.values())

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write the energy or an invariant: one statement per component, ``{}`` for its value."""
        if name in self._observables:
            self._observables[name].emit(builder, x, offset, targets)
        else:
            super().emit_observable(builder, name, offset, x, targets)


def parse_invariants(
    invariants: Mapping[str, Expression | Sequence[Expression]] | None,
) -> dict[str, list[sympy.Expr]]:
    """Read conserved quantities.

    Args:
        invariants: One expression or several by name.

    Returns:
        Lists of expressions by name.
    """
    return {
        name: [parse(e, f"invariants[{name!r}]") for e in _listed(value)]
        for name, value in (invariants or {}).items()
    }


def _listed(value: Expression | Sequence[Expression]) -> list[Expression]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
