"""What a metric makes of constraints: tangent fields, and points moved onto level sets."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ..kernels import KernelBuilder, Rows
from ..systems._mass import InverseMass
from ._constraint import Constraint
from ._kernel import Multipliers
from ._vector import correct


class Manifold(nn.Module, ABC):
    """Level sets of constraints in a state space with a metric.

    States ``x`` have ``n`` entries, and time last where ``timed``. Levels are those of the first ``m``
    functions; others, rates of these, are zero on the manifold.

    Attributes:
        constraint: The functions ``g``, of the first entries of the state and of time.
        names: Names of all functions, rates among them.
        levels: Number ``m`` of functions that have a level.
        n: Number of entries of a state but time.
        rank_deficient: Whether gradients may be dependent.
    """

    def __init__(self, constraint: Constraint, n: int, rank_deficient: bool) -> None:
        """Keep the constraints."""
        super().__init__()
        self.constraint, self.n, self.rank_deficient = constraint, n, rank_deficient
        self.names: tuple[str, ...] = constraint.names
        self.levels = len(constraint.names)

    @abstractmethod
    def functions(self, x: Tensor) -> Tensor:
        """Compute all functions of states, rates last, shape ``(..., k)``."""

    @abstractmethod
    def tangent(self, x: Tensor, f: Tensor) -> Tensor:
        """Project slopes ``(..., n)`` at states ``(..., n)`` or, with time, ``(..., n + 1)``."""

    @abstractmethod
    def moved(self, x: Tensor, level: Tensor, iterations: int) -> Tensor:
        """Move states onto level sets by Gauss-Newton steps."""

    @abstractmethod
    def sizes(self, x: Tensor) -> Tensor:
        """Gradients times states, ``(..., k)``, to which residuals are compared."""

    def residual(self, x: Tensor, level: Tensor) -> Tensor:
        """Compute the functions less their levels, shape ``(..., k)``."""
        values = self.functions(x)
        off = values[..., : self.levels] - level
        return torch.cat((off, values[..., self.levels :].expand(*off.shape[:-1], -1)), -1)

    def relative_residual(self, x: Tensor, level: Tensor) -> Tensor:
        """Compute the largest residual relative to gradients times states, shape ``(...)``."""
        sizes = self.sizes(x)
        return (self.residual(x, level).abs() / torch.where(sizes > 0, sizes, 1.0)).amax(-1)

    def level(self, x: Tensor) -> Tensor:
        """Compute the levels of states, shape ``(..., m)``."""
        return self.constraint(self.seen(x))[..., : self.levels]

    def seen(self, x: Tensor) -> Tensor:
        """The entries of states that the constraints read."""
        first = x[..., : self.constraint.size]
        return torch.cat((first, x[..., self.n :]), -1) if self.constraint.timed else first

    def slopes(self, seen: Tensor) -> tuple[Tensor, Tensor | None]:
        """Jacobian ``(..., m, n)`` and derivative in time ``(..., m)``, if there is one."""
        whole = self.constraint.jacobian(seen)
        if not self.constraint.timed:
            return whole, None
        return whole[..., :-1], whole[..., -1]

    def correct(
        self, slope: Tensor, reaction: Tensor, vector: Tensor, rate: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Correct a vector and give the multipliers."""
        return correct(slope, reaction, vector, rate, self.rank_deficient, self.constraint.names)

    def seen_rows(self, x: Rows) -> Rows:
        """The rows that the constraints read."""
        return [*x[: self.constraint.size], *(x[self.n :] if self.constraint.timed else [])]

    @abstractmethod
    def emit_functions(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write all functions: one statement each, ``{}`` standing for its value."""

    @abstractmethod
    def emit_tangent(self, builder: KernelBuilder, offset: int, x: Rows, f: Rows) -> None:
        """Write the projection of slopes, in place."""

    @abstractmethod
    def emit_moved(
        self, builder: KernelBuilder, offset: int, x: Rows, level: Rows, iterations: int, residual: int
    ) -> None:
        """Write Gauss-Newton steps in place, and the largest relative residual after them into a row.

        Without rows of levels these are zero.
        """

    def require_code(self) -> None:
        """Refuse what has no kernel code."""
        if self.rank_deficient:
            raise TypeError("rank_deficient: the pseudoinverse has no kernel code")


class LevelSet(Manifold):
    """Level sets of functions of the whole state, in the Euclidean metric or one of given weights."""

    def __init__(
        self,
        constraint: Constraint,
        n: int,
        rank_deficient: bool,
        weights: InverseMass | None,
        rates: int = 0,
    ) -> None:
        """Bind.

        Args:
            constraint: The functions.
            n: Number of entries of a state but time.
            rank_deficient: Whether gradients may be dependent.
            weights: The metric; None for the Euclidean one.
            rates: How many of the functions, the last ones, are rates.
        """
        super().__init__(constraint, n, rank_deficient)
        self.weights, self.levels = weights, len(constraint.names) - rates

    def functions(self, x: Tensor) -> Tensor:
        """Compute all functions of states."""
        value: Tensor = self.constraint(self.seen(x))
        return value

    def _reaction(self, slope: Tensor) -> Tensor:
        return slope.mT if self.weights is None else self.weights.velocity(slope).mT

    def tangent(self, x: Tensor, f: Tensor) -> Tensor:
        """Project slopes: ``f - G^+ (G f + dg/dt)``."""
        slope, rate = self.slopes(self.seen(x))
        return self.correct(slope, self._reaction(slope), f, rate)[0]

    def pull(self, x: Tensor, residual: Tensor) -> Tensor:
        """Compute ``-G^+ r`` at states, which leads a residual ``r`` to zero."""
        slope, _ = self.slopes(self.seen(x))
        return self.correct(slope, self._reaction(slope), torch.zeros_like(x[..., : self.n]), residual)[0]

    def moved(self, x: Tensor, level: Tensor, iterations: int) -> Tensor:
        """Move states onto level sets."""
        for _ in range(iterations):
            step = self.pull(x, self.residual(x, level))
            x = torch.cat((x[..., : self.n] + step, x[..., self.n :]), -1)
        return x

    def sizes(self, x: Tensor) -> Tensor:
        """Gradients times states."""
        slope, _ = self.slopes(self.seen(x))
        return slope.abs().sum(-1) * x[..., : self.n].abs().amax(-1, keepdim=True)

    def emit_functions(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write all functions."""
        self.constraint.emit(builder, self.seen_rows(x), targets)

    def _emit_slopes(self, builder: KernelBuilder, x: Rows) -> tuple[Multipliers, list[str]]:
        """Write ``G`` and ``B``; give them and the values of ``dg/dt``."""
        n, timed, weights = self.n, self.constraint.timed, self.weights
        known = [line[:n] for line in self.constraint.jacobian_pattern()]
        full = [[True] * n for _ in known]

        def make() -> tuple[Multipliers, Rows]:
            plain = weights is None
            code = Multipliers(builder, known if plain else full, None if plain else full)
            return code, builder.rows(code.m * timed)

        code, clock = builder.shared(self, make)
        targets = code.targets()
        merged: list[str] = []
        for j in range(code.m):
            merged += targets[j * n : (j + 1) * n]
            merged += [f"@{clock[j]} = {{}}"] if timed else []
        self.constraint.emit_jacobian(builder, self.seen_rows(x), merged)
        if weights is not None:
            for j in range(code.m):
                builder.lanes(*code.fill_reaction(j, weights.code(builder, code.row(j))))
        return code, [f"@{row}" for row in clock]

    def emit_tangent(self, builder: KernelBuilder, offset: int, x: Rows, f: Rows) -> None:
        """Write the projection of slopes."""
        code, clock = self._emit_slopes(builder, x)
        vector = [f"@{row}" for row in f]
        sums = [f"{code.dot(j, vector)}{f' + {clock[j]}' if clock else ''}" for j in range(code.m)]
        builder.lanes(*[f"@{row} = {text}" for row, text in zip(code.right, sums, strict=True)], join=True)
        code.solve()
        builder.lanes(*[f"@{row} = @{row} - {code.pull(k)}" for k, row in enumerate(f)], join=True)

    def emit_pull(
        self, builder: KernelBuilder, offset: int, x: Rows, level: Rows, f: Rows, factor: str
    ) -> None:
        """Write the addition of ``-factor G^+ (g - level)`` to rows."""
        code, _ = self._emit_slopes(builder, x)
        self._emit_residual(builder, offset, x, level, code.right)
        code.solve()
        moves = [f"@{row} = @{row} - {factor}{code.pull(k)}" for k, row in enumerate(f)]
        builder.lanes(*moves, join=True)

    def _emit_residual(self, builder: KernelBuilder, offset: int, x: Rows, level: Rows, rows: Rows) -> None:
        self.emit_functions(
            builder, offset, x, [f"@{row} = {{}}{less(level, j)}" for j, row in enumerate(rows)]
        )

    def emit_moved(
        self, builder: KernelBuilder, offset: int, x: Rows, level: Rows, iterations: int, residual: int
    ) -> None:
        """Write Gauss-Newton steps in place, and the largest relative residual after them into a row."""
        n = self.n
        rows = builder.rows(len(self.constraint.names))
        with builder.loop(f"for sweep in range({iterations}):"):
            code, _ = self._emit_slopes(builder, x)
            self._emit_residual(builder, offset, x, level, code.right)
            code.solve()
            builder.lanes(*[f"@{row} = @{row} - {code.pull(k)}" for k, row in enumerate(x[:n])], join=True)
        self._emit_residual(builder, offset, x, level, rows)
        emit_relative(builder, rows, code, x[:n], residual)


def less(level: Rows, j: int) -> str:
    """Text that takes a level away, where there is one."""
    return f" - @{level[j]}" if j < len(level) else ""


def emit_relative(builder: KernelBuilder, rows: Rows, code: Multipliers, x: Rows, residual: int) -> None:
    """Write the larger of a row and residuals relative to gradients times states.

    Args:
        builder: The kernel.
        rows: Rows of residuals.
        code: Holds the gradients.
        x: Rows of the entries of the state that the gradients belong to.
        residual: The row.
    """
    lines = ["big = 0.0", *[f"big = max(big, abs(@{row}))" for row in x]]
    for j, row in enumerate(rows):
        lines += [
            f"size = {code.length(j)} * big",
            "size = size if size > 0.0 else 1.0",
            f"@{residual} = max(@{residual}, abs(@{row}) / size)",
        ]
    builder.lanes(*lines)
