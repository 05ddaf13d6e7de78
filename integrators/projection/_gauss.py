"""Gauss's principle: states of positions and velocities under constraints of the positions."""

from __future__ import annotations

import torch
from torch import Tensor

from .._linear import apply
from ..kernels import KernelBuilder, Rows
from ..systems._mass import InverseMass
from ._constraint import Constraint
from ._kernel import Multipliers
from ._manifold import Manifold, emit_relative, less


class GaussManifold(Manifold):
    """``{g(q, t) = c, J v + dg/dt = 0}`` for ``q' = v``, ``v' = a``: the acceleration alone is corrected.

    ``a = a_f - M^-1 J^T (J M^-1 J^T)^-1 (J a_f + J' v)``, of all accelerations that the constraints admit the
    one next to ``a_f`` in the metric of the masses, is what d'Alembert's principle gives.
    """

    def __init__(self, constraint: Constraint, n: int, rank_deficient: bool, mass: InverseMass) -> None:
        """Bind.

        Args:
            constraint: Functions of the positions.
            n: Number of entries of a state but time.
            rank_deficient: Whether gradients may be dependent.
            mass: Masses.
        """
        super().__init__(constraint, n, rank_deficient)
        self.mass, self.d = mass, n // 2
        self.names = (*constraint.names, *(f"d{name}/dt" for name in constraint.names))

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        d = self.d
        return x[..., :d], x[..., d : 2 * d], x[..., 2 * d :]

    def functions(self, x: Tensor) -> Tensor:
        """Compute the constraints and their rates."""
        seen = self.seen(x)
        slope, rate = self.slopes(seen)
        velocity = apply(slope, x[..., self.d : 2 * self.d])
        return torch.cat((self.constraint(seen), velocity if rate is None else velocity + rate), -1)

    def tangent(self, x: Tensor, f: Tensor) -> Tensor:
        """Correct the accelerations; velocities are kept."""
        d, seen = self.d, self.seen(x)
        slope, _ = self.slopes(seen)
        v = x[..., d : 2 * d]
        along = torch.cat((v, torch.ones_like(seen[..., d:])), -1)
        bend = self.constraint.curvature(seen, along)
        acceleration = self.correct(slope, self.mass.velocity(slope).mT, f[..., d:], bend)[0]
        return torch.cat((f[..., :d], acceleration), -1)

    def moved(self, x: Tensor, level: Tensor, iterations: int) -> Tensor:
        """Move positions, then velocities, in the metric of the masses."""
        q, v, clock = self._parts(x)
        for _ in range(iterations):
            slope, reaction, _ = self._at(q, clock)
            off = self.constraint(self._seen_at(q, clock)) - level
            q = q + self.correct(slope, reaction, torch.zeros_like(q), off)[0]
        if iterations:
            slope, reaction, rate = self._at(q, clock)
            v = self.correct(slope, reaction, v, rate)[0]
        return torch.cat((q, v, clock), -1)

    def _seen_at(self, q: Tensor, clock: Tensor) -> Tensor:
        return torch.cat((q, clock), -1) if self.constraint.timed else q

    def _at(self, q: Tensor, clock: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        slope, rate = self.slopes(self._seen_at(q, clock))
        return slope, self.mass.velocity(slope).mT, rate

    def sizes(self, x: Tensor) -> Tensor:
        """Gradients times states."""
        q, v, _ = self._parts(x)
        length = self.slopes(self.seen(x))[0].abs().sum(-1)
        place, pace = q.abs().amax(-1, keepdim=True), v.abs().amax(-1, keepdim=True)
        return torch.cat((length * place, length * (place + pace)), -1)

    def emit_functions(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write the constraints and their rates."""
        self.constraint.emit(builder, self.seen_rows(x), targets[: self.levels])
        code, clock = self._emit_slopes(builder, x)
        for target, rate in zip(targets[self.levels :], self._rates(code, clock, x), strict=True):
            builder.lanes(target.format(f"({rate})"), join=True)

    def _emit_slopes(self, builder: KernelBuilder, x: Rows) -> tuple[Multipliers, list[str]]:
        """Write ``J`` and ``M^-1 J^T``; give them and the values of ``dg/dt``."""
        d, timed = self.d, self.constraint.timed
        known = [line[:d] for line in self.constraint.jacobian_pattern()]
        plain = self.mass().ndim < 2
        full = known if plain else [[True] * d for _ in known]

        def make() -> tuple[Multipliers, Rows]:
            return Multipliers(builder, full, full), builder.rows(len(full) * timed)

        code, clock = builder.shared(self, make)
        targets, merged = code.targets(), []
        for j in range(code.m):
            merged += [*targets[j * d : (j + 1) * d], *([f"@{clock[j]} = {{}}"] if timed else [])]
        self.constraint.emit_jacobian(builder, self.seen_rows(x), merged)
        for j in range(code.m):
            builder.lanes(*code.fill_reaction(j, self.mass.code(builder, code.row(j))), join=plain)
        return code, [f"@{row}" for row in clock]

    def _rates(self, code: Multipliers, clock: list[str], x: Rows) -> list[str]:
        v = [f"@{row}" for row in x[self.d : 2 * self.d]]
        return [f"{code.dot(j, v)}{f' + {clock[j]}' if clock else ''}" for j in range(code.m)]

    def emit_tangent(self, builder: KernelBuilder, offset: int, x: Rows, f: Rows) -> None:
        """Write the correction of the accelerations."""
        d = self.d
        code, _ = self._emit_slopes(builder, x)
        along: list[int | str] = [*x[d : 2 * d], *(["1.0"] if self.constraint.timed else [])]
        targets = [f"@{row} = {{}}" for row in code.right]
        self.constraint.emit_curvature(builder, self.seen_rows(x), along, targets)
        force = [f"@{row}" for row in f[d : 2 * d]]
        lines = [f"@{row} = @{row} + {code.dot(j, force)}" for j, row in enumerate(code.right)]
        builder.lanes(*lines, join=True)
        code.solve()
        pulls = [f"@{row} = @{row} - {code.pull(k)}" for k, row in enumerate(f[d : 2 * d])]
        builder.lanes(*pulls, join=True)

    def emit_moved(
        self, builder: KernelBuilder, offset: int, x: Rows, level: Rows, iterations: int, residual: int
    ) -> None:
        """Write the steps of positions, then that of velocities."""
        d = self.d
        q, v = x[:d], x[d : 2 * d]
        rows = builder.rows(self.levels)
        with builder.loop(f"for sweep in range({iterations}):"):
            code, _ = self._emit_slopes(builder, x)
            self._emit_off(builder, x, level, code.right)
            code.solve()
            builder.lanes(*[f"@{row} = @{row} - {code.pull(k)}" for k, row in enumerate(q)], join=True)
        code, clock = self._emit_slopes(builder, x)
        rates = self._rates(code, clock, x)
        builder.lanes(*[f"@{row} = {rate}" for row, rate in zip(code.right, rates, strict=True)], join=True)
        code.solve()
        builder.lanes(*[f"@{row} = @{row} - {code.pull(k)}" for k, row in enumerate(v)], join=True)
        self._emit_off(builder, x, level, rows)
        emit_relative(builder, rows, code, q, residual)

    def _emit_off(self, builder: KernelBuilder, x: Rows, level: Rows, rows: Rows) -> None:
        targets = [f"@{row} = {{}}{less(level, j)}" for j, row in enumerate(rows)]
        self.constraint.emit(builder, self.seen_rows(x), targets)
