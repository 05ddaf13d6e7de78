"""Coordinate increments."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..kernels import Rows
from ..systems import System
from ._step import DiscreteGradient, EnergyCode, largest


def smallest_increment(dtype: torch.dtype) -> float:
    """Change of a coordinate, relative to the state, below which its derivative replaces its increment."""
    return float(torch.finfo(dtype).eps ** (1 / 3))


class ItohAbe(DiscreteGradient):
    """Increments of the energy, one coordinate after the other: order 1, keeps the energy to rounding.

    ``g_i = (H(b_1 .. b_i, a_i+1 ..) - H(b_1 .. b_i-1, a_i ..)) / (b_i - a_i)`` with ``a = z0``, ``b = z1``,
    or the other way round for the adjoint. It needs no derivatives, but for coordinates that hardly change:
    there the increment is lost in rounding and the partial derivative at the mean takes its place.
    Where the energy is a sum of functions of one variable each the step is symmetric, and the order 2.

    Source: Itoh, Abe, J. Comput. Phys. 76 (1988) 85.
    """

    order = 1
    symmetric = False

    def __init__(self, system: System, h: float, compensated: bool = False, backwards: bool = False) -> None:
        """Bind.

        Args:
            system: A ``HamiltonianSystem`` or a ``SkewGradientSystem``; it may dissipate.
            h: Step; negative steps go back in time.
            compensated: Whether the rounding errors of the states are carried along.
            backwards: Whether the coordinates change from the end of the step to its beginning: the adjoint.
        """
        super().__init__(system, h, compensated)
        self.backwards = backwards

    def adjoint(self) -> DiscreteGradient:
        """Give the adjoint map, the inverse of the step with ``-h``."""
        return ItohAbe(self.system, self.h, self.compensated, not self.backwards)

    def discrete_gradient(self, z0: Tensor, z1: Tensor, clock: Tensor | None) -> Tensor:
        """Compute the increments, ``(..., k)``."""
        ends = (z1, z0) if self.backwards else (z0, z1)
        return self._increments(*ends, clock)

    def emit_discrete_gradient(self, rows: EnergyCode) -> Callable[[], None]:
        """Give what writes the increments."""
        write = self._emitter(rows)
        ends = (rows.last, rows.first) if self.backwards else (rows.first, rows.last)
        return lambda: write(*ends, "@{slope} = {value}")

    def _increments(self, a: Tensor, b: Tensor, clock: Tensor | None) -> Tensor:
        """Increments on the way from ``a`` to ``b``."""
        k = a.shape[-1]
        number = torch.arange(k + 1, device=a.device).reshape(-1, *(1,) * a.ndim)
        column = torch.arange(k, device=a.device)
        corners = torch.where(column < number, b, a)
        middles = torch.where(column == number[:k], 0.5 * (a + b), corners[:k])
        rise = self.energy_at(corners, clock).diff(dim=0).movedim(0, -1)
        slopes = self.gradient_at(middles, clock).diagonal(dim1=0, dim2=-1)
        change = b - a
        scale = a.abs().amax(-1, keepdim=True) + b.abs().amax(-1, keepdim=True)
        small = change.abs() <= smallest_increment(a.dtype) * scale
        return torch.where(small, slopes, rise / torch.where(small, 1.0, change))

    def _emitter(self, rows: EnergyCode) -> Callable[[Rows, Rows, str], None]:
        """Reserve rows, and give what writes the increments between two ends, coordinate by coordinate."""
        code, b, k = rows.code, rows.code.builder, len(rows.first)
        corner, gradient = b.rows(k), b.rows(k)
        before, after, scale = b.rows(3)
        point = [*corner, *rows.clock]
        bound = smallest_increment(torch.float64)

        def write(start: Rows, end: Rows, target: str) -> None:
            b.lanes(
                *[f"@{c} = @{a}" for c, a in zip(corner, start, strict=True)],
                f"@{scale} = {largest(start)} + {largest(end)}",
            )
            self.system.emit_observable(b, "energy", code.offset, point, [f"@{before} = {{}}"])
            with b.loop(f"for i in range({k}):"):
                here, first, last, slope, result = (
                    f"A[({r[0]} + i) * L + l]" for r in (corner, start, end, gradient, rows.slope)
                )
                b.lanes(f"{here} = 0.5 * ({first} + {last})")
                self.emit_gradient_at(code, point, [f"@{g} = {{}}" for g in gradient])
                b.lanes(f"{here} = {last}")
                self.system.emit_observable(b, "energy", code.offset, point, [f"@{after} = {{}}"])
                b.lanes(
                    f"d = {last} - {first}",
                    f"small = abs(d) <= {bound!r} * @{scale}",
                    f"rise = (@{after} - @{before}) / (1.0 if small else d)",
                    f"value = {slope} if small else rise",
                    f"@{before} = @{after}",
                    target.replace("@{slope}", result).replace("{value}", "value"),
                )

        return write


class SymmetricItohAbe(ItohAbe):
    """Mean of the increments there and back: order 2, symmetric, keeps the energy to rounding.

    Source: McLachlan, Quispel, Robidoux, Phil. Trans. R. Soc. A 357 (1999) 1021.
    """

    order = 2
    symmetric = True

    def __init__(self, system: System, h: float, compensated: bool = False) -> None:
        """Bind.

        Args:
            system: A ``HamiltonianSystem`` or a ``SkewGradientSystem``; it may dissipate.
            h: Step; negative steps go back in time.
            compensated: Whether the rounding errors of the states are carried along.
        """
        super().__init__(system, h, compensated)

    def adjoint(self) -> DiscreteGradient:
        """Give the map itself."""
        return self

    def discrete_gradient(self, z0: Tensor, z1: Tensor, clock: Tensor | None) -> Tensor:
        """Compute the mean of both increments, ``(..., k)``."""
        there, back = self._increments(z0, z1, clock), self._increments(z1, z0, clock)
        return 0.5 * (there + back)

    def emit_discrete_gradient(self, rows: EnergyCode) -> Callable[[], None]:
        """Give what writes the mean of both increments."""
        write = self._emitter(rows)

        def both() -> None:
            write(rows.first, rows.last, "@{slope} = 0.5 * {value}")
            write(rows.last, rows.first, "@{slope} = @{slope} + 0.5 * {value}")

        return both
