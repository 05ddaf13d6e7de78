"""Shears whose potential depends on time, which is their strength."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from integrators.kernels import KernelBuilder, Rows

from ._draw import normal
from ._layer import Strength
from ._profiles import activation as find
from ._scratch import Scratch
from ._shear import DEVIATION, Factor, UnitsShear
from ._units import Units


class TimeShear(UnitsShear):
    """A shear ``p += g(q, t) - g(q, 0)`` with ``g(q, t) = K (a * sigma(K^T q + v t + b))``.

    The strength is no factor but the time ``t`` inside the potential, so that a network of such shears is a
    time-dependent Hamiltonian flow that can bend in time, and need not be linear in it layer by layer. It is
    for maps that are trained at several steps.

    Source: Canizares, Murari, Schönlieb, Sherry, Shumaylov, Symplectic neural flows, 2024, arXiv:2412.16787.

    Attributes:
        potential: Holds ``w``, the matrix ``K`` ``(d, units)``, ``a`` and ``b`` ``(units,)``, and ``v``
            ``(1, units)``.

    Example:
        >>> layer = TimeShear(2, 5, generator=torch.Generator().manual_seed(0))
        >>> z = torch.tensor([0.3, -0.2, 0.5, 0.7], dtype=torch.float64)
        >>> torch.equal(layer(z, strength=0.0), z)
        True
    """

    def __init__(
        self,
        degrees: int,
        units: int,
        updates: str = "p",
        activation: str = "tanh",
        deviation: float = DEVIATION,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the matrix, the amplitudes and the weights of time; the biases are zero at first.

        Args:
            degrees: Number ``d`` of positions, and of momenta.
            units: Number of hidden units.
            updates: The half that changes, ``"p"`` or ``"q"``.
            activation: ``"tanh"``, ``"sigmoid"`` or ``"sin"``.
            deviation: Standard deviation of the amplitudes; all other weights have one of size 1.
            dtype: Floating-point type.
            generator: Source of the random numbers.
        """
        super().__init__(degrees, updates, units, activation)
        m = self.units
        w = normal((degrees, m), 1.0, dtype, generator)
        a = normal((m,), deviation, dtype, generator)
        v = normal((1, m), 1.0, dtype, generator)
        b = nn.Parameter(torch.zeros(m, dtype=dtype))
        self.potential = Units(find(activation)[0], w, a, b, v)

    def added(self, x: Tensor, strength: Strength, control: Tensor | None) -> Tensor:
        """Compute ``g(x, t) - g(x, 0)``."""
        t = torch.as_tensor(strength, dtype=x.dtype, device=x.device).unsqueeze(-1)
        return self.potential.gradient(x, t) - self.potential.gradient(x, torch.zeros_like(t))

    def added_slope(self, x: Tensor, strength: Strength, control: Tensor | None) -> Tensor:
        """Compute the difference of the derivatives of ``g``."""
        t = torch.as_tensor(strength, dtype=x.dtype, device=x.device).unsqueeze(-1)
        return self.potential.hessian(x, t) - self.potential.hessian(x, torch.zeros_like(t))

    def gradient(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute what is added at time 1."""
        return self.added(x, 1.0, control)

    def hessian(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute its derivative."""
        return self.added_slope(x, 1.0, control)

    def _emit(
        self,
        builder: KernelBuilder,
        source: Rows,
        target: Rows,
        place: str,
        factor: Factor,
        control: Rows,
    ) -> None:
        sign, strength = factor
        time = Scratch.rows(builder, "time", 1)
        for now, own in ((strength, sign), ("0.0", "-" if sign == "+" else "+")):
            builder.lanes(f"@{time[0]} = {now}")
            gradient = self.potential.emit(builder, source, place, time)
            pairs = zip(target, gradient, strict=True)
            builder.lanes(*[f"@{row} = @{row} {own} @{g}" for row, g in pairs])
