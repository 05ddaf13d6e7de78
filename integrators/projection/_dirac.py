"""Dirac's bracket: states of positions and momenta under constraints of the positions."""

from __future__ import annotations

import torch
from torch import Tensor

from .._fixed_point import jacobian
from .._linear import apply
from ..kernels import KernelBuilder, Rows
from ..systems import HamiltonianSystem
from ._constraint import Constraint, SymbolicConstraint
from ._kernel import Multipliers
from ._manifold import Manifold, emit_relative, less


class DiracManifold(Manifold):
    """``{g(q) = c, J H_p = 0}`` with the symplectic projection ``[I - S D^T (D S D^T)^-1 D] f``.

    ``D`` is the derivative of ``(g, J H_p)``. The equations for the multipliers split in two of ``m`` each:
    with ``C`` and ``R`` the derivatives of ``J H_p`` in ``q`` and ``p``, ``q' = f_q - R^T a`` with
    ``J q' = 0``, and ``p' = f_p + C^T a - J^T b`` with ``C q' + R p' = 0``.
    """

    def __init__(
        self, constraint: Constraint, n: int, rank_deficient: bool, system: HamiltonianSystem
    ) -> None:
        """Bind.

        Args:
            constraint: Functions of the positions.
            n: Number of entries of a state.
            rank_deficient: Whether gradients may be dependent.
            system: The Hamiltonian.
        """
        super().__init__(constraint, n, rank_deficient)
        self.system, self.d = system, n // 2
        self.names = (*constraint.names, *(f"d{name}/dt" for name in constraint.names))
        self.with_rates = constraint.with_rates()

    def rates(self, x: Tensor) -> Tensor:
        """Compute ``J H_p`` of states, shape ``(..., m)``."""
        return apply(self.constraint.jacobian(x[..., : self.d]), self.velocity(x))

    def velocity(self, x: Tensor) -> Tensor:
        """Compute ``H_p`` of states, shape ``(..., d)``."""
        if self.system.separable:
            return self.system.velocity(x[..., self.d : 2 * self.d])
        return self.system.gradient(x)[1]

    def functions(self, x: Tensor) -> Tensor:
        """Compute the constraints and their rates."""
        return torch.cat((self.constraint(x[..., : self.d]), self.rates(x)), -1)

    def tangent(self, x: Tensor, f: Tensor) -> Tensor:
        """Correct both halves of the slopes."""
        d = self.d
        slope = self.constraint.jacobian(x[..., :d])
        bend = jacobian(self.rates, x)
        c, r = bend[..., :d], bend[..., d : 2 * d]
        fast, a = self.correct(slope, r.mT, f[..., :d])
        push = f[..., d:] + (c * a.unsqueeze(-1)).sum(-2)
        force = self.correct(r, slope.mT, push, apply(c, fast))[0]
        return torch.cat((fast, force), -1)

    def moved(self, x: Tensor, level: Tensor, iterations: int) -> Tensor:
        """Move positions, then momenta, in the metric of the masses."""
        d = self.d
        q, p = x[..., :d], x[..., d:]
        for _ in range(iterations):
            slope = self.constraint.jacobian(q)
            reaction = self._mobility(q, p, slope)
            q = q + self.correct(slope, reaction.mT, torch.zeros_like(q), self.constraint(q) - level)[0]
        for _ in range(1 if self.system.quadratic_kinetic and iterations else iterations):
            slope = self.constraint.jacobian(q)
            reaction = self._mobility(q, p, slope)
            off = self.rates(torch.cat((q, p), -1))
            p = p + self.correct(reaction, slope.mT, torch.zeros_like(p), off)[0]
        return torch.cat((q, p), -1)

    def _mobility(self, q: Tensor, p: Tensor, slope: Tensor) -> Tensor:
        """``R = J H_pp``."""
        if self.system.quadratic_kinetic:
            return self.system.velocity(slope)
        return jacobian(self.rates, torch.cat((q, p), -1))[..., self.d :]

    def sizes(self, x: Tensor) -> Tensor:
        """Gradients times states."""
        length = self.constraint.jacobian(x[..., : self.d]).abs().sum(-1)
        place = x[..., : self.d].abs().amax(-1, keepdim=True)
        pace = self.velocity(x).abs().amax(-1, keepdim=True)
        return torch.cat((length * place, length * (place + pace)), -1)

    def require_code(self) -> None:
        """Refuse what has no kernel code."""
        super().require_code()
        if not self.system.quadratic_kinetic:
            raise TypeError("metric: 'symplectic' has kernel code for p M^-1 p / 2 + V(q) alone")
        if not isinstance(self.constraint, SymbolicConstraint):
            raise TypeError("constraints: a function in torch has no kernel code; give expressions")

    def _emit_at(self, builder: KernelBuilder, offset: int, x: Rows) -> tuple[Multipliers, Rows]:
        """Write ``J``, ``R`` and the velocity."""
        d = self.d

        def make() -> tuple[Multipliers, Rows]:
            full = [[True] * d] * self.levels
            return Multipliers(builder, full, full), builder.rows(d)

        code, velocity = builder.shared(self, make)
        self.constraint.emit_jacobian(builder, x[:d], code.targets())
        for j in range(code.m):
            targets = [f"@{row} = {{}}" for row in code.reaction[j * d : (j + 1) * d]]
            self.system.emit_velocity(builder, offset, code.row(j), targets)
        self.system.emit_velocity(builder, offset, x[d:], [f"@{row} = {{}}" for row in velocity])
        return code, velocity

    def emit_functions(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write the constraints and their rates."""
        code, velocity = self._emit_at(builder, offset, x)
        self.constraint.emit(builder, x[: self.d], targets[: self.levels])
        v = [f"@{row}" for row in velocity]
        for j, target in enumerate(targets[self.levels :]):
            builder.lanes(target.format(f"({code.dot(j, v)})"), join=True)

    def emit_tangent(self, builder: KernelBuilder, offset: int, x: Rows, f: Rows) -> None:
        """Write the correction of both halves."""
        d, m = self.d, self.levels
        code, velocity = self._emit_at(builder, offset, x)
        bend = builder.rows(m * d)
        targets = [""] * (m * 2 * d)
        for j in range(m):
            targets += [*[f"@{row} = {{}}" for row in bend[j * d : (j + 1) * d]], *[""] * d]
        self.with_rates.emit_jacobian(builder, [*x[:d], *velocity], targets)
        fast, force = f[:d], f[d : 2 * d]
        lines = [f"@{row} = {code.dot(j, [f'@{k}' for k in fast])}" for j, row in enumerate(code.right)]
        builder.lanes(*lines)
        code.solve()
        lines = [f"@{row} = @{row} - {code.pull(k)}" for k, row in enumerate(fast)]
        for k, row in enumerate(force):
            turned = " + ".join(f"@{bend[j * d + k]} * @{a}" for j, a in enumerate(code.right))
            lines.append(f"@{row} = @{row} + {turned}")
        builder.lanes(*lines, join=True)
        lines = []
        for j, row in enumerate(code.right):
            terms = [
                f"@{bend[j * d + k]} * @{fast[k]} + @{code.reaction[j * d + k]} * @{force[k]}"
                for k in range(d)
            ]
            lines.append(f"@{row} = {' + '.join(terms)}")
        builder.lanes(*lines, join=True)
        code.solve()
        builder.lanes(*self._pulls(code, force), join=True)

    def _pulls(self, code: Multipliers, rows: Rows) -> list[str]:
        """Statements that take ``J^T lambda`` away."""
        d, lines = self.d, []
        for k, row in enumerate(rows):
            pull = " + ".join(f"@{code.slope[j * d + k]} * @{a}" for j, a in enumerate(code.right))
            lines.append(f"@{row} = @{row} - ({pull})")
        return lines

    def emit_moved(
        self, builder: KernelBuilder, offset: int, x: Rows, level: Rows, iterations: int, residual: int
    ) -> None:
        """Write the steps of positions, then that of momenta."""
        d = self.d
        rows = builder.rows(self.levels)
        with builder.loop(f"for sweep in range({iterations}):"):
            code, _ = self._emit_at(builder, offset, x)
            self._emit_off(builder, x, level, code.right)
            code.solve()
            builder.lanes(*[f"@{row} = @{row} - {code.pull(k)}" for k, row in enumerate(x[:d])], join=True)
        code, velocity = self._emit_at(builder, offset, x)
        v = [f"@{row}" for row in velocity]
        builder.lanes(*[f"@{row} = {code.dot(j, v)}" for j, row in enumerate(code.right)])
        code.solve()
        builder.lanes(*self._pulls(code, x[d : 2 * d]), join=True)
        self._emit_off(builder, x, level, rows)
        emit_relative(builder, rows, code, x[:d], residual)

    def _emit_off(self, builder: KernelBuilder, x: Rows, level: Rows, rows: Rows) -> None:
        targets = [f"@{row} = {{}}{less(level, j)}" for j, row in enumerate(rows)]
        self.constraint.emit(builder, x[: self.d], targets)
