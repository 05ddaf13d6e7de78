"""The midpoint discrete gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ._step import DiscreteGradient, EnergyCode

NOISE = 2.0


class GonzalezMidpoint(DiscreteGradient):
    """Gradient at the mean, corrected along the step: order 2, symmetric, keeps the energy to rounding.

    ``g = grad H(m) + (H(z1) - H(z0) - grad H(m) . d) d / |d|^2`` with ``m = (z0 + z1) / 2``, ``d = z1 - z0``.
    Where the bracket is rounding of the energies alone, near an equilibrium, the correction is left out.

    Source: Gonzalez, J. Nonlinear Sci. 6 (1996) 449.
    """

    order = 2

    def discrete_gradient(self, z0: Tensor, z1: Tensor, clock: Tensor | None) -> Tensor:
        """Compute the midpoint discrete gradient, ``(..., k)``."""
        gradient = self.gradient_at(0.5 * (z0 + z1), clock)
        before, after = self.energy_at(z0, clock), self.energy_at(z1, clock)
        d = z1 - z0
        missing = (after - before) - (gradient * d).sum(-1)
        noise = NOISE * torch.finfo(d.dtype).eps * (before.abs() + after.abs())
        square = (d * d).sum(-1)
        counts = (missing.abs() > noise) & (square > 0)
        factor = torch.where(counts, missing / torch.where(counts, square, 1.0), 0.0)
        return gradient + factor.unsqueeze(-1) * d

    def emit_discrete_gradient(self, rows: EnergyCode) -> Callable[[], None]:
        """Write the energy at the beginning, and give what writes the discrete gradient."""
        code, b, system = rows.code, rows.code.builder, self.system
        before, after = b.rows(2)
        system.emit_observable(b, "energy", code.offset, [*rows.first, *rows.clock], [f"@{before} = {{}}"])
        eps = torch.finfo(torch.float64).eps

        def write() -> None:
            targets = [f"@{row} = {{}}" for row in rows.slope]
            self.emit_gradient_at(code, [*rows.middle, *rows.clock], targets)
            system.emit_observable(b, "energy", code.offset, [*rows.last, *rows.clock], [f"@{after} = {{}}"])
            ends = list(zip(rows.slope, rows.last, rows.first, strict=True))
            b.lanes(
                f"missing = @{after} - @{before}\nsquare = 0.0\nchange = 0.0",
                *[f"d = @{z1} - @{z0}\nchange += @{g} * d\nsquare += d * d" for g, z1, z0 in ends],
                "missing = missing - change",
                f"noise = {NOISE * eps!r} * (abs(@{before}) + abs(@{after}))",
                "missing = missing if abs(missing) > noise else 0.0",
                "factor = missing / (square if square > 0.0 else 1.0)",
                *[f"@{g} = @{g} + factor * (@{z1} - @{z0})" for g, z1, z0 in ends],
            )

        return write
