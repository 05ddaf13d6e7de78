"""Kernel code of Lagrangian systems."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ..kernels import KernelBuilder, Rows, symmetric_solve
from ._function import SymbolicFunction
from ._symbolic_hamiltonian import SymbolicHamiltonian


class LagrangianKernel(SymbolicHamiltonian):
    """The kernel code of ``L = v M v / 2 + b v - V``: velocities by a linear system with the mass matrix."""

    _mass: SymbolicFunction
    _shift: SymbolicFunction
    _pull: SymbolicFunction
    _push: SymbolicFunction
    _shifted: bool
    _diagonal: bool

    @abstractmethod
    def mass_matrix(self, q: Tensor, t: Tensor | None = None) -> Tensor:
        """Compute ``M`` at positions ``(..., d)`` and times ``(..., 1)``, shape ``(..., d, d)``."""

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """Reserve room for the values of the parameters, then for ``M^-1`` where it is constant."""
        values = [self.values()]
        if self.separable and not self._diagonal:
            zero = values[0].new_zeros(self.degrees)
            values.append(torch.linalg.inv_ex(self.mass_matrix(zero))[0].reshape(-1))
        return builder.parameter(torch.cat(values))

    def _emit_velocities(self, builder: KernelBuilder, offset: int, q: Rows, p: Rows, t: Rows) -> list[str]:
        """Write the velocities into variables of the lane and return their names."""
        d = self.degrees
        names = [f"velocity_{i}" for i in range(d)]
        if self.separable and not self._diagonal:
            first = offset + len(self.parameter_symbols)
            entries = [[builder.number(first + i * d + j) for j in range(d)] for i in range(d)]
            terms = [[f"{m} * @{row}" for m, row in zip(entry, p, strict=True)] for entry in entries]
            builder.lanes(*[f"{v} = {' + '.join(t)}" for v, t in zip(names, terms, strict=True)], join=True)
            return names
        mass = [[f"mass_{i}_{j}" for j in range(i + 1)] for i in range(d)]
        self._mass.emit(builder, [*q, *t], offset, [f"{m} = {{}}" for row in mass for m in row])
        if self._shifted:
            targets = [f"{v} = @{row} - {{}}" for v, row in zip(names, p, strict=True)]
            self._shift.emit(builder, [*q, *t], offset, targets)
        else:
            builder.lanes(*[f"{v} = @{row}" for v, row in zip(names, p, strict=True)], join=True)
        if self._diagonal:
            divisions = [f"{v} = {v} / {row[-1]}" for v, row in zip(names, mass, strict=True)]
            builder.lanes(*divisions, join=True)
        else:
            builder.lanes(*symmetric_solve(mass, names), join=True)
        return names

    def _emit_moving(self, builder: KernelBuilder, offset: int, x: Rows) -> list[int | str]:
        d = self.degrees
        velocities = self._emit_velocities(builder, offset, x[:d], x[d : 2 * d], x[2 * d :])
        return [*x[:d], *velocities, *x[2 * d :]]

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write the energy or an invariant: one statement per component, ``{}`` for its value."""
        self._observables[name].emit(builder, self._emit_moving(builder, offset, x), offset, targets)

    def emit_velocity(self, builder: KernelBuilder, offset: int, p: Rows, targets: list[str]) -> None:
        """Write ``M^-1 p``: one statement per component, ``{}`` standing for its value."""
        self._require_separable()
        names = self._emit_velocities(builder, offset, p, p, p[:0])
        builder.lanes(*[t.format(v) for t, v in zip(targets, names, strict=True)], join=True)

    def emit_gradient(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``dH/dq`` then ``dH/dp``: one statement per component, ``{}`` standing for its value."""
        d, moving = self.degrees, self._emit_moving(builder, offset, x)
        self._pull.emit(builder, moving, offset, [f"pull_{i} = -{{}}" for i in range(d)])
        values = [*(f"pull_{i}" for i in range(d)), *(str(v) for v in moving[d : 2 * d])]
        builder.lanes(*[t.format(v) for t, v in zip(targets, values, strict=True)], join=True)

    def emit_field(
        self, builder: KernelBuilder, offset: int, x: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write ``(v, dL/dq + forces)``, and one for time: a statement each, ``{}`` for its value."""
        d, moving = self.degrees, self._emit_moving(builder, offset, x)
        self._pull.emit(builder, moving, offset, [f"pull_{i} = {{}}" for i in range(d)])
        if self.forced:
            sums = [f"pull_{i} = pull_{i} + {{}}" for i in range(d)]
            self._push.emit(builder, [*moving, *control], offset, sums)
        values = [*(str(v) for v in moving[d : 2 * d]), *(f"pull_{i}" for i in range(d))]
        values += ["1.0"] * self.timed
        builder.lanes(*[t.format(v) for t, v in zip(targets, values, strict=True)], join=True)
