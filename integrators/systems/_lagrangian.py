"""Lagrangian systems from one symbolic expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import sympy
import torch
from torch import Tensor

from .._linear import solve
from .._state import StateSpace, vector
from ._coordinates import Names, coordinate_pairs, hint
from ._forcing import analyse, even, parse_forces
from ._function import SymbolicFunction
from ._identity import depends_on, vanishes
from ._inputs import parse_inputs, with_inputs
from ._lagrangian_kernel import LagrangianKernel
from ._parse import Expression, as_symbols, parse, require_distinct, require_known
from ._symbolic import TIME, parse_invariants

_STATES = 16


class Lagrangian(LagrangianKernel):
    """A system from its Lagrangian, quadratic in the velocities, for torch and for kernels.

    ``L = v M(q, t) v / 2 + b(q, t) v - V(q, t)`` is integrated as the Hamiltonian system of ``(q, p)`` with
    ``p = M v + b``: ``q' = v`` from a linear system with the mass matrix, ``p' = dL/dq``. Symbols
    ``q1, q2, ...`` are positions, ``v1, v2, ...`` velocities, ``t`` is time and all others are parameters.
    States are ``(..., 2 d)``, positions before momenta; ``state`` makes them of velocities. Where the mass
    matrix is constant and ``b = 0``, splitting methods apply.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, VI.1.

    Examples:
        >>> import torch
        >>> from integrators import Lagrangian
        >>> polar = Lagrangian("(v1**2 + q1**2*v2**2)/2 + 1/q1")
        >>> x = polar.state(torch.tensor([2.0, 0.0]).double(), torch.tensor([0.0, 0.5]).double())
        >>> x
        tensor([2., 0., 0., 2.], dtype=torch.float64)
        >>> polar.velocity_of(x)
        tensor([0.0000, 0.5000], dtype=torch.float64)
    """

    def __init__(
        self,
        expression: Expression,
        parameters: Mapping[str, float | Tensor] | None = None,
        positions: Names | None = None,
        velocities: Names | None = None,
        invariants: Mapping[str, Expression | Sequence[Expression]] | None = None,
        forces: Mapping[str, Expression] | None = None,
        inputs: Names = (),
        units: tuple[str, str] = ("1", "1"),
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Derive everything from the expression.

        Args:
            expression: ``L``, text or sympy.
            parameters: Values of the other symbols; an ``nn.Parameter`` is trained with the rest of a model.
            positions: Names of the positions in order; None finds ``q1, q2, ...``.
            velocities: Names of their velocities in order; None finds ``v1, v2, ...``.
            invariants: Conserved quantities beside the energy, of positions and velocities.
            forces: Generalised forces by the position on which they act, such as ``{"q1": "u1 - b*v1"}``:
                expressions of positions, velocities, time and inputs.
            inputs: Names of the controls in order.
            units: Units of positions and momenta, for files and plots.
            dtype: Floating-point type of the parameters.

        Raises:
            ValueError: If an expression cannot be read or has an unknown symbol, positions and velocities do
                not match, or ``L`` is not quadratic in the velocities with a positive definite mass matrix.
        """
        super().__init__()
        lagrangian = self.expression = parse(expression)
        given = dict(parameters or {})
        named, controls = as_symbols(list(given)), as_symbols(inputs)
        self.positions, self.velocities = coordinate_pairs(
            [lagrangian], [*named, *controls], positions, velocities, "v"
        )
        q, v = self.positions, self.velocities
        require_distinct(positions=q, velocities=v, inputs=controls, parameters=named)
        pushes = parse_forces(forces, q, "positions")
        self.forces, self.inputs = pushes, parse_inputs(inputs, pushes.values())
        quantities = parse_invariants(invariants)
        known = [*q, *v, TIME, *named]
        checked = {"expression": lagrangian}
        checked |= {f"invariants[{n!r}]": e for n, es in quantities.items() for e in es}
        require_known(checked, known, hint("v"))
        pushed = {f"forces[{n!r}]": e for n, e in pushes.items()}
        require_known(pushed, [*known, *controls], hint("v", inputs=True))
        self.degrees, self.control_size = len(q), len(controls)
        self.timed = any(TIME in e.free_symbols for e in (*checked.values(), *pushes.values()))
        self._set_values(given, dtype)
        self._derive(quantities)
        self._derive_forces([pushes.get(s.name, sympy.Integer(0)) for s in q])
        clock = [vector("t", 1)] if self.timed else []
        self.space = StateSpace(
            vector("q", self.degrees, unit=units[0]), vector("p", self.degrees, unit=units[1]), *clock
        )
        self._require_positive_mass()

    def _derive(self, quantities: Mapping[str, list[sympy.Expr]]) -> None:
        lagrangian, q, v = self.expression, self.positions, self.velocities
        d, own, time = self.degrees, self.parameter_symbols, [TIME] if self.timed else []
        rest = dict.fromkeys(v, sympy.Integer(0))
        momenta = [sympy.diff(lagrangian, s) for s in v]
        mass = [[sympy.diff(momenta[i], v[j]) for j in range(i + 1)] for i in range(d)]
        if any(depends_on(e, v) for row in mass for e in row):
            raise ValueError(
                f"expression: expected a Lagrangian quadratic in the velocities "
                f"{', '.join(s.name for s in v)}, got {lagrangian}; give such a system by its Hamiltonian"
            )
        mass = [[_plain(e.xreplace(rest)) for e in row] for row in mass]
        shift = [_plain(e.xreplace(rest)) for e in momenta]
        self._shifted = any(e != 0 for e in shift)
        self._constant = not any(depends_on(e, (*q, TIME)) for row in mass for e in row)
        self._diagonal = all(e == 0 for i, row in enumerate(mass) for e in row[:i])
        self._mass_expressions = mass
        self.separable = self.quadratic_kinetic = self._constant and not self._shifted
        energy = sum((s * e for s, e in zip(v, momenta, strict=True)), -lagrangian)
        self._set_observables(energy, quantities, [*q, *v, *time])
        self._mass = SymbolicFunction([e for row in mass for e in row], [*q, *time], own)
        self._shift = SymbolicFunction(shift, [*q, *time], own)
        self._pull = SymbolicFunction([sympy.diff(lagrangian, s) for s in q], [*q, *v, *time], own)
        if self.separable:
            self._set_force([e.xreplace(rest) for e in self._pull.outputs], q)

    def _derive_forces(self, pushes: Sequence[sympy.Expr]) -> None:
        q, v, time = self.positions, self.velocities, [TIME] if self.timed else []
        self.reversible = even(self.expression, {s: -s for s in (*v, TIME)})
        self.forced = bool(self.forces)
        if not self.forced:
            return
        self._push = SymbolicFunction(pushes, [*q, *v, *time, *self.inputs], self.parameter_symbols)
        own = as_symbols([f"momentum_{k}" for k in range(self.degrees)])
        if self._diagonal:
            own_speed = {s: m / row[-1] for s, m, row in zip(v, own, self._mass_expressions, strict=True)}
            self._set_kicks(analyse([e.xreplace(own_speed) for e in pushes], q, own))
            return
        forcing = analyse(pushes, q, v)
        still = not any(depends_on(e, v) for e in pushes)
        self._set_kicks(replace(forcing, exact=still))

    def _require_positive_mass(self) -> None:
        """Refuse a mass matrix that is positive definite at none of 16 random positions.

        Raises:
            ValueError: If it is so.
        """
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(_STATES, self.degrees + self.timed, generator=generator, dtype=torch.float64)
        mass = self.mass_matrix(
            x[:, : self.degrees].to(self.values()), x[:, self.degrees :].to(self.values())
        )
        mass = mass.detach()
        mass = mass[torch.isfinite(mass).all(-1).all(-1)]
        if len(mass) and not bool((torch.linalg.eigvalsh(mass)[:, 0] > 0).any()):
            idle = [s.name for k, s in enumerate(self.velocities) if bool((mass[:, k] == 0).all())]
            reason = f"no kinetic energy comes with {', '.join(idle)}" if idle else f"got {mass[0].tolist()}"
            raise ValueError(
                f"expression: expected a positive definite mass matrix, but {reason}; give such a system by "
                "its Hamiltonian, or leave the coordinate out"
            )

    def mass_matrix(self, q: Tensor, t: Tensor | None = None) -> Tensor:
        """Compute ``M`` at positions ``(..., d)`` and times ``(..., 1)``, shape ``(..., d, d)``."""
        d = self.degrees
        lower = self._mass(self._configuration(q, t), self.values())
        place = [max(i, j) * (max(i, j) + 1) // 2 + min(i, j) for i in range(d) for j in range(d)]
        return lower[..., place].unflatten(-1, (d, d))

    def momentum(self, q: Tensor, v: Tensor, t: Tensor | None = None) -> Tensor:
        """Compute ``p = dL/dv`` at positions and velocities ``(..., d)`` and times ``(..., 1)``."""
        q, v = torch.broadcast_tensors(q, v)
        shift = self._shift(self._configuration(q, t), self.values())
        return (self.mass_matrix(q, t) * v.unsqueeze(-2)).sum(-1) + shift

    def state(self, q: Tensor, v: Tensor, t: Tensor | None = None) -> Tensor:
        """Make states ``(..., n)`` of positions and velocities ``(..., d)``, at time zero or ``t``.

        Args:
            q: Positions.
            v: Velocities.
            t: Times ``(..., 1)``, where the system depends on time.

        Returns:
            Positions, momenta and time.
        """
        q, v = torch.broadcast_tensors(q, v)
        if not self.timed:
            return torch.cat((q, self.momentum(q, v)), -1)
        t = torch.zeros_like(q[..., :1]) if t is None else t.expand(*q.shape[:-1], 1)
        return torch.cat((q, self.momentum(q, v, t), t), -1)

    def velocity_of(self, x: Tensor) -> Tensor:
        """Compute the velocities ``(..., d)`` of states ``(..., n)``."""
        q, p, t = self._parts(x)
        if self.separable:
            return self.velocity(p)
        p = p - self._shift(self._configuration(q, t), self.values()) if self._shifted else p
        return p / self._diagonal_mass(q, t) if self._diagonal else solve(self.mass_matrix(q, t), p)

    def _diagonal_mass(self, q: Tensor, t: Tensor | None) -> Tensor:
        place = [i * (i + 3) // 2 for i in range(self.degrees)]
        return self._mass(self._configuration(q, t), self.values())[..., place]

    def _configuration(self, q: Tensor, t: Tensor | None) -> Tensor:
        if not self.timed:
            return q
        t = torch.zeros_like(q[..., :1]) if t is None else t
        return torch.cat((q, t.expand(*q.shape[:-1], 1)), -1)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        d = self.degrees
        return x[..., :d], x[..., d : 2 * d], x[..., 2 * d :] if self.timed else None

    def _moving(self, x: Tensor) -> Tensor:
        """Positions, velocities and time side by side."""
        return torch.cat((x[..., : self.degrees], self.velocity_of(x), x[..., 2 * self.degrees :]), -1)

    def energy(self, x: Tensor) -> Tensor:
        """Compute ``H = p v - L`` of states ``(..., n)``, shape ``(...)``."""
        return super().energy(self._moving(x))

    def invariant(self, name: str, x: Tensor) -> Tensor:
        """Compute a conserved quantity of states, shape ``(...)`` or ``(..., components)``."""
        return super().invariant(name, self._moving(x))

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute ``dH/dq = -dL/dq`` and ``dH/dp = v`` of states, each ``(..., d)``."""
        moving = self._moving(x)
        return -self._pull(moving, self.values()), moving[..., self.degrees : 2 * self.degrees]

    def velocity(self, p: Tensor) -> Tensor:
        """Compute ``M^-1 p`` of momenta ``(..., d)``, where the mass matrix is constant."""
        self._require_separable()
        zero = p.new_zeros(self.degrees)
        if self._diagonal:
            return p / self._diagonal_mass(zero, None)
        return solve(self.mass_matrix(zero), p)

    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute ``(v, dL/dq + forces)``, and one for time.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)``; None stands for zero.

        Returns:
            Shape ``(..., n)``.
        """
        d, moving = self.degrees, self._moving(x)
        pull = self._pull(moving, self.values())
        if self.forced:
            pull = pull + self._push(with_inputs(moving, control, self.control_size), self.values())
        batch = pull.shape[:-1]
        clock = [torch.ones_like(pull[..., :1])] if self.timed else []
        return torch.cat((moving[..., d : 2 * d].expand(*batch, d), pull, *clock), -1)


def _plain(e: sympy.Expr) -> sympy.Expr:
    return sympy.Integer(0) if vanishes(e) else e
