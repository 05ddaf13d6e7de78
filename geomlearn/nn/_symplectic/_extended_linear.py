"""Linear symplectic maps with a shift that can depend on parameters."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from integrators.kernels import KernelBuilder, Rows

from ._draw import normal
from ._layer import Strength, SymplecticLayer, along_last, count
from ._linear_code import emit_matrix
from ._shear import DEVIATION
from ._shears import LinearShear


class ExtendedLinear(SymplecticLayer):
    """Alternating linear shears and a shift: ``z -> M z + strength (b + B c)`` with symplectic ``M``.

    The first shear changes p, the next q, and so on. Five of them represent every linear symplectic map, so
    more are of no use. The shift is applied last; with parameters ``c`` it is linear in them.

    Source: Jin, Zhang, Zhu, Tang, Karniadakis, SympNets, Neural Networks 132, 2020, arXiv:2001.03750; five
    shears are enough by Jin, Lin, Tang, Optimal unit triangular factorization of symplectic matrices, 2022.

    Attributes:
        shears: The shears, in order.
        b: The shift ``(2 d,)``.
        parameters_matrix: The matrix ``B`` ``(2 d, control_size)``, or ``None``.

    Example:
        >>> layer = ExtendedLinear(degrees=1, shears=3, generator=torch.Generator().manual_seed(0))
        >>> z = torch.tensor([0.3, -0.2], dtype=torch.float64)
        >>> torch.allclose(torch.det(layer.jacobian(z)), torch.tensor(1.0, dtype=torch.float64))
        True
    """

    parameters_matrix: nn.Parameter | None

    def __init__(
        self,
        degrees: int,
        shears: int = 5,
        parameters: int = 0,
        deviation: float = DEVIATION,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the shears; the shift is zero at first.

        Args:
            degrees: Number ``d`` of positions, and of momenta.
            shears: Number of shears.
            parameters: Number of parameters ``c``, given as ``control``.
            deviation: Standard deviation of the weights.
            dtype: Floating-point type.
            generator: Source of the random numbers.
        """
        super().__init__(degrees)
        self.control_size = count("parameters", parameters, 0)
        self.shears = nn.ModuleList(
            LinearShear(degrees, "pq"[k % 2], False, deviation, dtype, generator)
            for k in range(count("shears", shears))
        )
        self.b = nn.Parameter(torch.zeros(2 * degrees, dtype=dtype))
        matrix = normal((2 * degrees, parameters), deviation, dtype, generator) if parameters else None
        self.parameters_matrix = matrix

    @property
    def _shears(self) -> list[LinearShear]:
        return cast(list[LinearShear], list(self.shears))

    def _shift(self, control: Tensor | None) -> Tensor:
        control = self.seen(control)
        if control is None or self.parameters_matrix is None:
            return self.b
        return self.b + control @ self.parameters_matrix.mT

    def forward(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Apply the shears, then the shift."""
        for shear in self._shears:
            z = shear(z, strength)
        return z + along_last(strength) * self._shift(control)

    def inverse(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Take the shift back, then the shears in reverse order."""
        self.halves(z)
        z = z - along_last(strength) * self._shift(control)
        for shear in reversed(self._shears):
            z = shear.inverse(z, strength)
        return z

    def jacobian(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Multiply the matrices of the shears."""
        total: Tensor | None = None
        for shear in self._shears:
            one = shear.jacobian(z, strength)
            total = one if total is None else one @ total
        return z.new_zeros(()) if total is None else total

    def kernel_key(self) -> tuple[Any, ...]:
        """Give what the text of the kernel depends on."""
        return ("extended linear", self.degrees, len(self.shears), self.control_size)

    def kernel_numbers(self) -> list[Tensor]:
        """Give the matrices of the shears, the shift and the matrix of the parameters."""
        numbers = [number for shear in self._shears for number in shear.kernel_numbers()]
        matrix = self.parameters_matrix
        return [*numbers, self.b, *([] if matrix is None else [matrix])]

    def emit_at(
        self, builder: KernelBuilder, z: Rows, place: str, strength: str, inverse: bool, control: Rows
    ) -> None:
        """Write the shears and the shift, the other way round for the inverse."""
        shears = self._shears
        after = len(shears) * self.degrees**2
        if inverse:
            self._emit_shift(builder, z, f"{place} + {after}", ("-", strength), control)
        self._emit_shears(builder, z, place, strength, inverse)
        if not inverse:
            self._emit_shift(builder, z, f"{place} + {after}", ("+", strength), control)

    def _emit_shears(self, builder: KernelBuilder, z: Rows, place: str, strength: str, inverse: bool) -> None:
        """Write pairs of shears in a loop, and the one that is left over."""
        shears, size = self._shears, self.degrees**2
        pairs, rest = divmod(len(shears), 2)
        last = f"{place} + {2 * pairs * size}"
        if rest and inverse:
            shears[-1].emit_at(builder, z, last, strength, inverse, [])
        if pairs:
            pair = f"{2 * (pairs - 1)} - 2 * i" if inverse else "2 * i"
            with builder.loop(f"for i in range({pairs}):"):
                builder.line(f"shear = {place} + {size} * ({pair})")
                for k in (1, 0) if inverse else (0, 1):
                    shears[k].emit_at(builder, z, f"shear + {k * size}", strength, inverse, [])
        if rest and not inverse:
            shears[-1].emit_at(builder, z, last, strength, inverse, [])

    def _emit_shift(
        self, builder: KernelBuilder, z: Rows, place: str, factor: tuple[str, str], control: Rows
    ) -> None:
        if control:
            emit_matrix(builder, control, z, f"{place} + {len(z)}", place, factor)
            return
        for k in range(len(z)):
            builder.line(f"b_{k} = P[{place} + {k}]")
        builder.lanes(*[f"@{row} = @{row} {factor[0]} {factor[1]} * b_{k}" for k, row in enumerate(z)])

    def config(self) -> dict[str, Any]:
        """Give a plain description; the numbers are weights."""
        own = {"degrees": self.degrees, "shears": len(self.shears), "parameters": self.control_size}
        return {"type": "ExtendedLinear", **own}
