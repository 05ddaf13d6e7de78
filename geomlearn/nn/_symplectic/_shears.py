"""Shears of phase space: one half of the state moves along the gradient of a potential of the other."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from integrators.kernels import KernelBuilder, Rows

from ._draw import normal
from ._layer import Strength, SymplecticLayer, along_last, block_matrix, count
from ._linear_code import emit_matrix
from ._profiles import activation as find
from ._units import Units

Factor = tuple[str, str]
DEVIATION = 0.01
"""Of the first weights, as in the code of Jin et al."""


class Shear(SymplecticLayer):
    """A map that adds ``strength g(x)`` to one half of the state, where ``x`` is the other half.

    It is symplectic because ``g`` is a gradient: its derivative is symmetric. The words "up" and "low" are
    used both ways round in the literature; here ``updates`` names the half that changes.

    Attributes:
        updates: The half that changes, ``"p"`` or ``"q"``.
    """

    def __init__(self, degrees: int, updates: str) -> None:
        """Say which half changes.

        Args:
            degrees: Number ``d`` of positions, and of momenta.
            updates: ``"p"`` or ``"q"``.

        Raises:
            ValueError: If it is neither.
        """
        super().__init__(degrees)
        if updates not in ("p", "q"):
            raise ValueError(f"updates: expected 'p' or 'q', the half that changes, got {updates!r}")
        self.updates = updates

    @abstractmethod
    def gradient(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute what is added at strength 1.

        Args:
            x: The half that stays ``(..., d)``.
            control: Parameters ``(..., control_size)``.

        Returns:
            Shape ``(..., d)``.
        """

    @abstractmethod
    def hessian(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the derivative of ``gradient``, a symmetric matrix.

        Args:
            x: The half that stays ``(..., d)``.
            control: Parameters ``(..., control_size)``.

        Returns:
            Shape ``(..., d, d)``.
        """

    def added(self, x: Tensor, strength: Strength, control: Tensor | None) -> Tensor:
        """Compute what is added.

        Args:
            x: The half that stays ``(..., d)``.
            strength: Factor on the potential.
            control: Parameters ``(..., control_size)``.

        Returns:
            Shape ``(..., d)``.
        """
        return along_last(strength) * self.gradient(x, control)

    def added_slope(self, x: Tensor, strength: Strength, control: Tensor | None) -> Tensor:
        """Compute the derivative of ``added`` with respect to ``x``.

        Args:
            x: The half that stays ``(..., d)``.
            strength: Factor on the potential.
            control: Parameters ``(..., control_size)``.

        Returns:
            Symmetric matrices ``(..., d, d)``.
        """
        return along_last(along_last(strength)) * self.hessian(x, control)

    def forward(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Add to one half."""
        q, p = self.halves(z)
        control = self.seen(control)
        if self.updates == "p":
            p = p + self.added(q, strength, control)
        else:
            q = q + self.added(p, strength, control)
        return _joined(q, p)

    def inverse(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Subtract from the same half."""
        q, p = self.halves(z)
        control = self.seen(control)
        if self.updates == "p":
            p = p - self.added(q, strength, control)
        else:
            q = q - self.added(p, strength, control)
        return _joined(q, p)

    def jacobian(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Compute the identity with a symmetric matrix in one corner."""
        q, p = self.halves(z)
        block = self.added_slope(q if self.updates == "p" else p, strength, self.seen(control))
        block = block.expand(*torch.broadcast_shapes(block.shape[:-2], z.shape[:-1]), -1, -1)
        eye, zero = torch.eye(self.degrees, dtype=z.dtype, device=z.device), torch.zeros_like(block)
        lower = self.updates == "p"
        return block_matrix(eye, zero, block, eye) if lower else block_matrix(eye, block, zero, eye)

    def emit_at(
        self, builder: KernelBuilder, z: Rows, place: str, strength: str, inverse: bool, control: Rows
    ) -> None:
        """Write the shear; its inverse subtracts."""
        q, p = z[: self.degrees], z[self.degrees :]
        source, target = (q, p) if self.updates == "p" else (p, q)
        self._emit(builder, source, target, place, ("-" if inverse else "+", strength), control)

    @abstractmethod
    def _emit(
        self,
        builder: KernelBuilder,
        source: Rows,
        target: Rows,
        place: str,
        factor: Factor,
        control: Rows,
    ) -> None:
        """Add the gradient at the rows ``source`` to the rows ``target``; ``factor`` is a sign and a text."""


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


class GradientShear(Shear):
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
        super().__init__(degrees, updates)
        m = count("units", units)
        self.units, self.activation = m, activation
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

    def kernel_key(self) -> tuple[Any, ...]:
        """Give what the text of the kernel depends on."""
        return ("gradient", self.degrees, self.units, self.updates, self.activation, self.control_size)

    def kernel_numbers(self) -> list[Tensor]:
        """Give the numbers of the potential."""
        return self.potential.numbers()

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
        return {
            "type": "GradientShear",
            "degrees": self.degrees,
            "units": self.units,
            "updates": self.updates,
            "activation": self.activation,
            "parameters": self.control_size,
        }


def _joined(q: Tensor, p: Tensor) -> Tensor:
    batch = torch.broadcast_shapes(q.shape[:-1], p.shape[:-1])
    return torch.cat((q.expand(*batch, -1), p.expand(*batch, -1)), -1)
