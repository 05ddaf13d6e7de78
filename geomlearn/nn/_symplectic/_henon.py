"""Hénon maps and layers."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from integrators.kernels import KernelBuilder, Rows

from ._draw import glorot
from ._layer import Strength, SymplecticLayer, along_last, block_matrix, count
from ._profiles import activation as find
from ._units import Units


class HenonMap(SymplecticLayer):
    """The Hénon map ``(x, y) -> (y + eta, -x + strength grad V(y))``.

    The potential has one hidden layer, ``V(y) = sum_j a_j sigma(w_j . y + b_j)``, and its gradient is written
    out. At strength 0 the map is no identity but, up to ``eta``, a quarter turn: four with the same ``eta``
    are one, see ``HenonLayer``.

    Source: Burby, Tang, Maulik, Fast neural Poincaré maps for toroidal magnetic fields, 2020,
    arXiv:2007.04496; with the factor on the potential Duruisseaux, Burby, Tang, 2023, arXiv:2210.05087.

    Attributes:
        potential: Holds ``w`` ``(d, units)``, ``a`` ``(units,)`` and ``b`` ``(units,)``.
        eta: The shift ``(d,)``.
        turns: How often the map is applied.

    Example:
        >>> layer = HenonMap(degrees=1, units=3, generator=torch.Generator().manual_seed(0))
        >>> z = torch.tensor([0.3, -0.2], dtype=torch.float64)
        >>> torch.allclose(layer.inverse(layer(z)), z)
        True
    """

    identity_at_zero: ClassVar[bool] = False
    turns: ClassVar[int] = 1
    eta: Tensor

    def __init__(
        self,
        degrees: int,
        units: int = 8,
        activation: str = "tanh",
        gain: float = 1.0,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw all weights, the biases and the shift included, from Glorot's normal distribution.

        Args:
            degrees: Number ``d`` of positions, and of momenta.
            units: Hidden units of the potential.
            activation: ``"tanh"``, ``"sigmoid"`` or ``"sin"``.
            gain: Factor on all of them; a small one starts near the map of no potential.
            dtype: Floating-point type.
            generator: Source of the random numbers.
        """
        super().__init__(degrees)
        m, d = count("units", units), self.degrees
        self.units, self.activation = m, activation
        w = glorot((d, m), (d, m), gain, dtype, generator)
        a = glorot((m,), (m, 1), gain, dtype, generator)
        b = glorot((m,), (1, m), gain, dtype, generator)
        self.potential = Units(find(activation)[1], w, a, b)
        self.eta = glorot((d,), (1, d), gain, dtype, generator)

    def normalise(self, centre: Tensor, diameter: Tensor) -> Self:
        """Let the potential see ``(y - centre) / diameter``; the map stays symplectic.

        Args:
            centre: Centre of the data ``(d,)``.
            diameter: Their diameters ``(d,)``.

        Returns:
            The layer.
        """
        self.potential.normalise(centre, diameter)
        return self

    def forward(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Apply the map."""
        x, y = self.halves(z)
        factor = along_last(strength)
        for _ in range(self.turns):
            x, y = y + self.eta, factor * self.potential.gradient(y) - x
        return torch.cat(torch.broadcast_tensors(x, y), -1)

    def inverse(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Undo the map: ``(X, Y) -> (strength grad V(X - eta) - Y, X - eta)``."""
        x, y = self.halves(z)
        factor = along_last(strength)
        for _ in range(self.turns):
            before = x - self.eta
            x, y = factor * self.potential.gradient(before) - y, before
        return torch.cat(torch.broadcast_tensors(x, y), -1)

    def jacobian(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Compute ``[[0, I], [-I, strength Hess V(y)]]``, multiplied over the turns."""
        x, y = self.halves(z)
        factor = along_last(strength)
        wide = factor.unsqueeze(-1) if isinstance(factor, Tensor) else factor
        eye = torch.eye(self.degrees, dtype=z.dtype, device=z.device)
        total: Tensor | None = None
        for _ in range(self.turns):
            hessian = wide * self.potential.hessian(y)
            one = block_matrix(torch.zeros_like(hessian), eye, -eye, hessian)
            total = one if total is None else one @ total
            x, y = y + self.eta, factor * self.potential.gradient(y) - x
        return z.new_zeros(()) if total is None else total

    def kernel_key(self) -> tuple[Any, ...]:
        """Give what the text of the kernel depends on."""
        return ("henon", self.turns, self.degrees, self.units, self.activation)

    def kernel_numbers(self) -> list[Tensor]:
        """Give the numbers of the potential and the shift."""
        return [*self.potential.numbers(), self.eta]

    def emit_at(
        self, builder: KernelBuilder, z: Rows, place: str, strength: str, inverse: bool, control: Rows
    ) -> None:
        """Write the map, in a loop over its turns where there are several."""
        if self.turns == 1:
            self._emit_map(builder, z, place, strength, inverse)
            return
        with builder.loop(f"for turn in range({self.turns}):"):
            self._emit_map(builder, z, place, strength, inverse)

    def _emit_map(self, builder: KernelBuilder, z: Rows, place: str, strength: str, inverse: bool) -> None:
        x, y = z[: self.degrees], z[self.degrees :]
        for k in range(self.degrees):
            builder.line(f"eta_{k} = P[{place} + {self.potential.size + k}]")
        if not inverse:
            gradient = self.potential.emit(builder, y, place, [])
            for k, (a, b) in enumerate(zip(x, y, strict=True)):
                move = f"@{a} = @{b} + eta_{k}"
                builder.lanes(f"y = {strength} * @{gradient[k]} - @{a}", move, f"@{b} = y", join=True)
            return
        for k, (a, b) in enumerate(zip(x, y, strict=True)):
            builder.lanes(f"y = @{b}", f"@{b} = @{a} - eta_{k}", f"@{a} = y", join=True)
        gradient = self.potential.emit(builder, y, place, [])
        builder.lanes(*[f"@{a} = {strength} * @{g} - @{a}" for a, g in zip(x, gradient, strict=True)])

    def config(self) -> dict[str, Any]:
        """Give a plain description; the numbers are weights."""
        return {
            "type": type(self).__name__,
            "degrees": self.degrees,
            "units": self.units,
            "activation": self.activation,
        }


class HenonLayer(HenonMap):
    """Four Hénon maps with one potential and one shift, which at strength 0 are the identity.

    ``(x, y) -> (y + eta, -x) -> (eta - x, -y - eta) -> (-y, x - eta) -> (x, y)``.

    Source: Duruisseaux, Burby, Tang, 2023, arXiv:2210.05087.

    Example:
        >>> layer = HenonLayer(degrees=2, generator=torch.Generator().manual_seed(0))
        >>> z = torch.tensor([0.3, -0.2, 0.5, 0.7], dtype=torch.float64)
        >>> torch.allclose(layer(z, strength=0.0), z)
        True
    """

    identity_at_zero: ClassVar[bool] = True
    turns: ClassVar[int] = 4
