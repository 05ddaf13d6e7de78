"""Hamiltonian systems from one symbolic expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy
import torch
from torch import Tensor, nn

from .._state import Part, StateSpace, vector
from ..kernels import KernelBuilder, Rows
from ._function import SymbolicFunction
from ._parse import Expression, as_symbols, numbered, parse, require_known
from ._system import HamiltonianSystem

_TIME = sympy.Symbol("t", real=True)
_HINT = (
    "name positions q1, q2, ... and momenta p1, p2, ..., or pass positions= and momenta=; "
    'give the others values with parameters={"name": value}'
)


class Hamiltonian(HamiltonianSystem):
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
        positions: str | Sequence[str | sympy.Symbol] | None = None,
        momenta: str | Sequence[str | sympy.Symbol] | None = None,
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
        self.positions = numbered("q", symbols - set(named)) if positions is None else as_symbols(positions)
        self.momenta = numbered("p", symbols - set(named)) if momenta is None else as_symbols(momenta)
        if positions is None and momenta is None:
            self._complete()
        if not self.momenta or len(self.positions) != len(self.momenta):
            raise ValueError(
                f"expression: expected as many positions as momenta, got {_names(self.positions)} and "
                f"{_names(self.momenta)} in {self.expression}; {_HINT}"
            )
        self.parameter_symbols = named
        quantities = {
            name: [parse(e, f"invariants[{name!r}]") for e in _listed(value)]
            for name, value in (invariants or {}).items()
        }
        known = [*self.positions, *self.momenta, _TIME, *named]
        checked = {"expression": self.expression}
        checked |= {f"invariants[{n!r}]": e for n, es in quantities.items() for e in es}
        require_known(checked, known, _HINT)
        self.degrees = len(self.positions)
        self.timed = _TIME in symbols
        self._set_values(given, dtype)
        self._derive(quantities)
        clock: tuple[Part, ...] = (vector("t", 1),) if self.timed else ()
        self.space = StateSpace(
            vector("q", self.degrees, unit=units[0]), vector("p", self.degrees, unit=units[1]), *clock
        )

    def _complete(self) -> None:
        """Add cyclic positions and absent momenta: p1, p2 and q2 alone make q1, q2."""
        stems = {s.name[1:] for s in (*self.positions, *self.momenta)}
        order = sorted(stems, key=lambda stem: int(stem.strip("_") or 0))
        self.positions = as_symbols([f"q{stem}" for stem in order])
        self.momenta = as_symbols([f"p{stem}" for stem in order])

    def _set_values(self, given: Mapping[str, float | Tensor], dtype: torch.dtype) -> None:
        values = {}
        for name, value in given.items():
            tensor = value if isinstance(value, Tensor) else torch.tensor(float(value), dtype=dtype)
            if tensor.numel() != 1 or not bool(torch.isfinite(tensor.detach()).all()):
                raise ValueError(f"parameters[{name!r}]: expected one finite number, got {value}")
            values[name] = tensor.to(dtype) if not isinstance(tensor, nn.Parameter) else tensor
        self._trained = [n for n, v in values.items() if isinstance(v, nn.Parameter)]
        for name, tensor in values.items():
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(f"value_{name}", tensor)
            else:
                self.register_buffer(f"value_{name}", tensor.detach().clone().reshape(()))
        self._names = list(values)
        if not values:
            self.register_buffer("_like", torch.zeros((), dtype=dtype))

    def _derive(self, quantities: Mapping[str, list[sympy.Expr]]) -> None:
        h, q, p = self.expression, self.positions, self.momenta
        slope_q, slope_p = [sympy.diff(h, s) for s in q], [sympy.diff(h, s) for s in p]
        time = [_TIME] if self.timed else []
        self.separable = all(sympy.simplify(sympy.diff(e, s)) == 0 for e in slope_q for s in p) and not any(
            sympy.diff(e, _TIME) != 0 for e in slope_p
        )
        second = [sympy.simplify(sympy.diff(e, s)) for e in slope_p for s in p]
        self.quadratic_kinetic = self.separable and not any(e.free_symbols & {*p, *q, _TIME} for e in second)
        if self.quadratic_kinetic and any(sympy.simplify(e.subs(dict.fromkeys(p, 0))) != 0 for e in slope_p):
            self.quadratic_kinetic = False
        state, own = [*q, *p, *time], self.parameter_symbols
        self.invariants = {name: len(es) for name, es in quantities.items()}
        self._observables = {"energy": SymbolicFunction([h], state, own)}
        self._observables |= {name: SymbolicFunction(es, state, own) for name, es in quantities.items()}
        self._gradient = SymbolicFunction([*slope_q, *slope_p], state, own)
        if self.separable:
            zero_p, zero_q = dict.fromkeys(p, 0), dict.fromkeys(q, 0)
            self._force = SymbolicFunction([-e.subs(zero_p) for e in slope_q], [*q, *time], own)
            self._velocity = SymbolicFunction([e.subs(zero_q) for e in slope_p], p, own)

    def values(self) -> Tensor:
        """Values of the parameters, shape ``(number of parameters,)``."""
        if not self._names:
            return self._like.new_zeros(0)  # type: ignore[operator]
        return torch.stack([getattr(self, f"value_{name}").reshape(()) for name in self._names])

    def energy(self, x: Tensor) -> Tensor:
        """Compute ``H`` of states ``(..., n)``, shape ``(...)``."""
        return self._observables["energy"](x, self.values()).squeeze(-1)

    def invariant(self, name: str, x: Tensor) -> Tensor:
        """Compute a conserved quantity of states, shape ``(...)`` or ``(..., components)``."""
        if name not in self._observables:
            return super().invariant(name, x)
        value = self._observables[name](x, self.values())
        return value.squeeze(-1) if value.shape[-1] == 1 else value

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

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """Reserve room for the values of the parameters and return their offset."""
        return builder.parameter(self.values())

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

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write the energy or an invariant: one statement per component, ``{}`` for its value."""
        self._observables[name].emit(builder, x, offset, targets)

    def extra_repr(self) -> str:
        """Show the expression."""
        return str(self.expression)


def _listed(value: Expression | Sequence[Expression]) -> list[Expression]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _names(symbols: Sequence[sympy.Symbol]) -> str:
    return "(" + ", ".join(s.name for s in symbols) + ")"
