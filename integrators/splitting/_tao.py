"""Explicit symplectic integration of Hamiltonians that are not separable, in a phase space of two copies."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._method import HamiltonianMethod, StepCode
from .._state import StateSpace, vector
from .._status import LargeStepWarning
from ..kernels import KernelBuilder, Rows
from ..systems import HamiltonianSystem
from . import _table
from ._scheme import Scheme, composed

OMEGA = 20.0
_SOURCE = "Tao, Phys. Rev. E 94 (2016) 043303"
_WEIGHTS = {
    2: (1.0,),
    4: _table.SUZUKI_4,
    6: _table.KAHAN_LI_6,
    8: _table.KAHAN_LI_8,
}


class TaoCarry(NamedTuple):
    """Two copies of a state.

    Attributes:
        q: Positions ``(..., d)``.
        p: Momenta ``(..., d)``.
        x: Positions of the second copy.
        y: Momenta of the second copy.
    """

    q: Tensor
    p: Tensor
    x: Tensor
    y: Tensor


class Tao(HamiltonianMethod):
    """Tao's method: explicit for every Hamiltonian, on two copies of the state bound by a rotation.

    The copies ``(q, p)`` and ``(x, y)`` move with ``H(q, y) + H(x, p) + omega (|q - x|^2 + |p - y|^2) / 2``,
    whose three parts have exact flows: ``A(h/2) B(h/2) C(h) B(h/2) A(h/2)``, composed symmetrically for
    higher orders. The map of both copies is symplectic and symmetric. With ``extended``, states are both,
    ``(..., 4 d)``, and ``copy_distance`` can be observed. Without, the states are ``(q, p)`` and the copies
    start equal; a rollout carries the second copy along, so that its orbit is that of the symplectic map, but
    a single step ``(q, p) -> (q, p)`` is symplectic and reversible only up to its error, and says so.

    Copies that are too weakly bound drift apart, above all on chaotic orbits; ``h`` must be well below
    ``omega^(-1/order)``.

    Source: Tao, Phys. Rev. E 94 (2016) 043303.

    Example:
        >>> import torch
        >>> from integrators import Hamiltonian, Tao
        >>> flow = Tao(Hamiltonian("(q**2 + 1)*(p**2 + 1)/2"), h=0.01, order=4)
        >>> x = torch.tensor([0.5, 0.0], dtype=torch.float64)
        >>> bool((flow.energy(flow(x)) - flow.energy(x)).abs() < 1e-8)
        True
    """

    def __init__(
        self,
        system: HamiltonianSystem,
        h: float,
        omega: float = OMEGA,
        order: int = 2,
        extended: bool = False,
    ) -> None:
        """Bind.

        Args:
            system: Any Hamiltonian that does not depend on time.
            h: Step; negative steps go back in time.
            omega: How strongly the copies are bound, a frequency. The default, the value of Tao's examples,
                suits systems whose frequencies are of order one with positions and momenta of like size; take
                it larger in proportion to the fastest frequency.
            order: 2, 4 (5 steps of order 2), 6 (9 steps) or 8 (17 steps).
            extended: Whether states are both copies ``(q, p, x, y)``; ``extend`` makes them.

        Raises:
            ValueError: If the system depends on time or has other forces, or an argument is not one of those.
        """
        super().__init__(system, h)
        if system.timed:
            raise ValueError(
                f"system: Tao needs a Hamiltonian that does not depend on time, which {system!r} does; "
                "GaussLegendre and LobattoPair treat it"
            )
        if system.forced:
            raise ValueError(
                f"system: Tao needs a Hamiltonian without other forces, which {system!r} has; GaussLegendre "
                "and RungeKutta4 treat any forces"
            )
        if order not in _WEIGHTS:
            raise ValueError(f"order: expected one of {tuple(_WEIGHTS)}, got {order!r}")
        if not 0 < omega < math.inf:
            raise ValueError(f"omega: expected a positive number, got {omega}")
        if abs(h) > omega ** (-1 / order):
            warnings.warn(
                f"h={h}: the copies of Tao's method are held together only where h is well below "
                f"omega^(-1/order) = {omega ** (-1 / order):.3g}; take a smaller h, or GaussLegendre",
                LargeStepWarning,
                stacklevel=2,
            )
        self.omega, self.order, self.extended = float(omega), order, extended
        self.scheme: Scheme = composed(f"Tao {order}", order, _WEIGHTS[order], True, _SOURCE)
        self.evaluations = 3 * len(self.scheme.drifts) + 1
        self.symplectic = self.symmetric = extended
        self.reversible = extended and system.reversible
        if extended:
            d, parts = system.degrees, {part.name: part.unit for part in system.space.parts}
            units = [parts.get("q", "1"), parts.get("p", "1")]
            self.space = StateSpace(*(vector(n, d, unit=u) for n, u in zip("qpxy", units * 2, strict=True)))
            self.observables = system.observables | {"copy_distance": 1}

    def __getattr__(self, name: str) -> Any:
        """Give the system's energy and invariants, of the first copy, as methods."""
        value = super().__getattr__(name)
        system = self.__dict__["_modules"].get("system")
        if self.__dict__.get("extended") and name in system.observables:
            return lambda z: value(z[..., : 2 * system.degrees])
        return value

    def extend(self, x: Tensor) -> Tensor:
        """Make two equal copies ``(..., 4 d)`` of states ``(..., 2 d)``."""
        return torch.cat((x, x), -1)

    def copy_distance(self, z: Tensor) -> Tensor:
        """Compute the distance ``(...)`` of the copies in extended states ``(..., 4 d)``."""
        half = z.shape[-1] // 2
        return torch.linalg.vector_norm(z[..., :half] - z[..., half:], dim=-1)

    def flip_velocities(self, x: Tensor) -> Tensor:
        """Change the sign of the momenta, of both copies where there are two."""
        q, p, *others = x.split(self.system.degrees, -1)
        signed = [-part if k % 2 else part for k, part in enumerate(others)]
        return torch.cat((q, -p, *signed), -1)

    def phase_derivative(self, x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Derivative of a step, and the symplectic form, of both copies where there are two, around it."""
        if not self.extended:
            return super().phase_derivative(x, control)
        derivative = torch.func.vmap(torch.func.jacrev(self.forward))(x)
        d = self.system.degrees
        turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=x.dtype, device=x.device)
        one = torch.kron(turn, torch.eye(d, dtype=x.dtype, device=x.device))
        form = torch.block_diag(one, one)
        return derivative, form, form

    def start(self, x: Tensor, constants: None) -> TaoCarry:
        """Split extended states, or copy plain ones."""
        d = self.system.degrees
        q, p = x[..., :d], x[..., d : 2 * d]
        if not self.extended:
            return TaoCarry(q, p, q, p)
        return TaoCarry(q, p, x[..., 2 * d : 3 * d], x[..., 3 * d :])

    def advance(self, carry: TaoCarry, control: Tensor | None, constants: None) -> TaoCarry:
        """Apply the flows of one step; the outer ones of neighbouring factors are joined."""
        q, p, x, y = carry
        for kind, weight in self.scheme.factors:
            step = weight * self.h
            if kind == "kick":
                slope_q, slope_p = self.system.gradient(torch.cat((q, y), -1))
                p, x = p - step * slope_q, x + step * slope_p
                continue
            for half in range(2):
                slope_q, slope_p = self.system.gradient(torch.cat((x, p), -1))
                q, y = q + 0.5 * step * slope_p, y - 0.5 * step * slope_q
                if not half:
                    q, p, x, y = self._turn(q, p, x, y, step)
        return TaoCarry(q, p, x, y)

    def _turn(self, q: Tensor, p: Tensor, x: Tensor, y: Tensor, step: float) -> tuple[Tensor, ...]:
        """Rotate the difference of the copies; their sum stays."""
        c, s = math.cos(2 * self.omega * step), math.sin(2 * self.omega * step)
        u, v = c * (q - x) + s * (p - y), c * (p - y) - s * (q - x)
        return 0.5 * (q + x + u), 0.5 * (p + y + v), 0.5 * (q + x - u), 0.5 * (p + y - v)

    def finish(self, carry: TaoCarry, constants: None) -> Tensor:
        """Read out both copies, or the first."""
        return torch.cat(tuple(carry) if self.extended else (carry.q, carry.p), -1)

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step, of both copies.

        Args:
            y: Extended states ``(..., 4 d)``.
            control: None.

        Returns:
            The states one step before.

        Raises:
            NotImplementedError: If the states are not extended.
        """
        if not self.extended:
            raise NotImplementedError("Tao: a step of one copy alone has no inverse; use extended=True")
        return super().inverse(y, control)

    def emit_observable(self, code: StepCode, name: str, targets: list[str]) -> None:
        """Write a quantity of the first copy, or the distance of the copies."""
        d = self.system.degrees
        if name != "copy_distance":
            self.system.emit_observable(code.builder, name, code.offset, code.state[: 2 * d], targets)
            return
        pairs = zip(code.state[: 2 * d], code.state[2 * d :], strict=True)
        square = " + ".join(f"(@{a} - @{b}) * (@{a} - @{b})" for a, b in pairs)
        code.builder.lanes(f"square = {square}", targets[0].format("math.sqrt(square)"))

    def emit_carried(self, builder: KernelBuilder) -> Rows:
        """Reserve rows for the second copy, where it is not part of the state."""
        return builder.rows(0 if self.extended else 2 * self.system.degrees)

    def _copies(self, code: StepCode) -> tuple[Rows, Rows, Rows, Rows]:
        d = self.system.degrees
        rows = [*code.state, *code.carried]
        return rows[:d], rows[d : 2 * d], rows[2 * d : 3 * d], rows[3 * d :]

    def emit_start(self, code: StepCode) -> None:
        """Write the second copy."""
        pairs = zip(code.carried, code.state, strict=False)
        code.builder.lanes(*[f"@{copy} = @{row}" for copy, row in pairs])

    def emit_step(self, code: StepCode) -> None:
        """Write the first flow and, in a loop over the factors, the others; all numbers are parameters."""
        b, d = code.builder, self.system.degrees
        q, p, x, y = self._copies(code)
        numbers = []
        for drift, kick in zip(self.scheme.drifts, self.scheme.kicks[1:], strict=True):
            angle = 2 * self.omega * self.h * drift
            numbers += [0.5 * self.h * drift, math.cos(angle), math.sin(angle), self.h * kick]
        place = b.parameter(torch.tensor([self.h * self.scheme.kicks[0], *numbers], dtype=torch.float64))

        def first(weight: str) -> None:
            targets = [f"@{row} = @{row} - {weight} * {{}}" for row in p]
            targets += [f"@{row} = @{row} + {weight} * {{}}" for row in x]
            self.system.emit_gradient(b, code.offset, [*q, *y], targets)

        def second(weight: str) -> None:
            targets = [f"@{row} = @{row} - {weight} * {{}}" for row in y]
            targets += [f"@{row} = @{row} + {weight} * {{}}" for row in q]
            self.system.emit_gradient(b, code.offset, [*x, *p], targets)

        def turn() -> None:
            for k in range(d):
                b.lanes(
                    f"gap = @{q[k]} - @{x[k]}\nslip = @{p[k]} - @{y[k]}\n"
                    f"centre = @{q[k]} + @{x[k]}\nmean = @{p[k]} + @{y[k]}\n"
                    "u = cosine_ * gap + sine_ * slip\nv = cosine_ * slip - sine_ * gap\n"
                    f"@{q[k]} = 0.5 * (centre + u)\n@{x[k]} = 0.5 * (centre - u)\n"
                    f"@{p[k]} = 0.5 * (mean + v)\n@{y[k]} = 0.5 * (mean - v)",
                    join=True,
                )

        first(b.number(place))
        with b.loop(f"for factor in range({len(self.scheme.drifts)}):"):
            for k, name in enumerate(("half", "cosine_", "sine_", "outer")):
                b.line(f"{name} = P[{place + 1 + k} + 4 * factor]")
            second("half")
            turn()
            second("half")
            first("outer")
