"""Shears of phase space: one half of the state moves along the gradient of a potential of the other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from integrators.kernels import KernelBuilder, Rows

from ._draw import normal
from ._layer import count
from ._linear_code import emit_matrix
from ._profiles import activation as find
from ._shear import DEVIATION, Factor, Shear, UnitsShear
from ._units import Units


class LinearShear(Shear):
    """A linear shear ``p += strength (A q + b)`` with ``A = S + S^T``, or the same with q and p exchanged.

    Source: Jin, Zhang, Zhu, Tang, Karniadakis, SympNets, Neural Networks 132, 2020, arXiv:2001.03750.

    Attributes:
        s: The matrix ``S`` ``(d, d)``.
        b: The bias ``(d,)``, or ``None``.

    Example:
        >>> layer = LinearShear(2, "q", generator=torch.Generator().manual_seed(0))
        >>> z = torch.tensor([0.3, -0.2, 0.5, 0.7], dtype=torch.float64)
        >>> torch.equal(layer(z)[2:], z[2:])
        True
    """

    def __init__(
        self,
        degrees: int,
        updates: str = "p",
        bias: bool = False,
        deviation: float = DEVIATION,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the matrix; the bias is zero at first.

        Args:
            degrees: Number ``d`` of positions, and of momenta.
            updates: The half that changes, ``"p"`` or ``"q"``.
            bias: Whether there is one.
            deviation: Standard deviation of the entries of ``S``.
            dtype: Floating-point type.
            generator: Source of the random numbers.
        """
        super().__init__(degrees, updates)
        self.s = normal((degrees, degrees), deviation, dtype, generator)
        self.b = nn.Parameter(torch.zeros(degrees, dtype=dtype)) if bias else None

    def gradient(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute ``A x + b``."""
        return torch.nn.functional.linear(x, self.s + self.s.mT, self.b)

    def hessian(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Give ``A``."""
        return (self.s + self.s.mT).expand(*x.shape[:-1], -1, -1)

    def kernel_key(self) -> tuple[Any, ...]:
        """Give what the text of the kernel depends on."""
        return ("linear", self.degrees, self.updates, self.b is not None)

    def kernel_numbers(self) -> list[Tensor]:
        """Give ``A`` and ``b``."""
        return [self.s + self.s.mT, *([] if self.b is None else [self.b])]

    def _emit(
        self,
        builder: KernelBuilder,
        source: Rows,
        target: Rows,
        place: str,
        factor: Factor,
        control: Rows,
    ) -> None:
        bias = None if self.b is None else f"{place} + {self.degrees**2}"
        emit_matrix(builder, source, target, place, bias, factor)

    def config(self) -> dict[str, Any]:
        """Give a plain description; the numbers are weights."""
        own = {"degrees": self.degrees, "updates": self.updates, "bias": self.b is not None}
        return {"type": "LinearShear", **own}


class ActivationShear(Shear):
    """A shear ``p += strength a * sigma(q)``, entry by entry, or the same with q and p exchanged.

    Source: Jin, Zhang, Zhu, Tang, Karniadakis, SympNets, Neural Networks 132, 2020, arXiv:2001.03750.

    Attributes:
        a: The amplitudes ``(d,)``.
    """

    def __init__(
        self,
        degrees: int,
        updates: str = "p",
        activation: str = "sigmoid",
        deviation: float = DEVIATION,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the amplitudes.

        Args:
            degrees: Number ``d`` of positions, and of momenta.
            updates: The half that changes, ``"p"`` or ``"q"``.
            activation: ``"tanh"``, ``"sigmoid"`` or ``"sin"``.
            deviation: Standard deviation of the amplitudes.
            dtype: Floating-point type.
            generator: Source of the random numbers.
        """
        super().__init__(degrees, updates)
        self.activation, self._profile = activation, find(activation)[0]
        self.a = normal((degrees,), deviation, dtype, generator)

    def gradient(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute ``a * sigma(x)``."""
        return self.a * self._profile.value(x)

    def hessian(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Give the diagonal matrix of ``a * sigma'(x)``."""
        return torch.diag_embed(self.a * self._profile.both(x)[1])

    def kernel_key(self) -> tuple[Any, ...]:
        """Give what the text of the kernel depends on."""
        return ("activation", self.degrees, self.updates, self.activation)

    def kernel_numbers(self) -> list[Tensor]:
        """Give the amplitudes."""
        return [self.a]

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
        with builder.loop(f"for row in range({self.degrees}):"):
            builder.line(f"a_0 = P[{place} + row]")
            add = f"A[({target[0]} + row) * L + l] {sign}= {strength} * (a_0 * y)"
            builder.lanes(f"s = A[({source[0]} + row) * L + l]", *self._profile.code, add)

    def config(self) -> dict[str, Any]:
        """Give a plain description; the numbers are weights."""
        own = {"degrees": self.degrees, "updates": self.updates, "activation": self.activation}
        return {"type": "ActivationShear", **own}


class GradientShear(UnitsShear):
    """A shear ``p += strength K (a * sigma(K^T q + V^T c + b))``, or the same with q and p exchanged.

    With parameters ``c`` it is the extended module, which lets the map depend on them; for each value of the
    parameters it is symplectic in ``(q, p)``.

    Source: Jin, Zhang, Zhu, Tang, Karniadakis, SympNets, Neural Networks 132, 2020, arXiv:2001.03750; the
    parameters as in the code that its authors call learner.

    Attributes:
        potential: Holds ``w``, the matrix ``K`` ``(d, units)``, ``a`` and ``b`` ``(units,)``, and ``v``,
            the matrix ``V`` ``(control_size, units)``.
    """

    def __init__(
        self,
        degrees: int,
        units: int,
        updates: str = "p",
        activation: str = "sigmoid",
        parameters: int = 0,
        deviation: float = DEVIATION,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the matrices and the amplitudes; the biases are zero at first.

        Args:
            degrees: Number ``d`` of positions, and of momenta.
            units: Number of hidden units.
            updates: The half that changes, ``"p"`` or ``"q"``.
            activation: ``"tanh"``, ``"sigmoid"`` or ``"sin"``.
            parameters: Number of parameters ``c``, given as ``control``.
            deviation: Standard deviation of the weights.
            dtype: Floating-point type.
            generator: Source of the random numbers.
        """
        super().__init__(degrees, updates, units, activation)
        m = self.units
        self.control_size = count("parameters", parameters, 0)
        w = normal((degrees, m), deviation, dtype, generator)
        a = normal((m,), deviation, dtype, generator)
        v = normal((parameters, m), deviation, dtype, generator) if parameters else None
        b = nn.Parameter(torch.zeros(m, dtype=dtype))
        self.potential = Units(find(activation)[0], w, a, b, v)

    def gradient(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute ``K (a * sigma(K^T x + V^T c + b))``."""
        return self.potential.gradient(x, control)

    def hessian(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Give ``K diag(a * sigma'(...)) K^T``."""
        return self.potential.hessian(x, control)

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
        gradient = self.potential.emit(builder, source, place, control)
        pairs = zip(target, gradient, strict=True)
        builder.lanes(*[f"@{row} = @{row} {sign} {strength} * @{g}" for row, g in pairs])

    def config(self) -> dict[str, Any]:
        """Give a plain description; the numbers are weights."""
        return super().config() | {"parameters": self.control_size}
