"""Ridge modules: exact flows of Hamiltonians that depend on one direction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from integrators.kernels import KernelBuilder, Rows

from ._draw import normal
from ._layer import Strength, SymplecticLayer, count
from ._profiles import ACTIVATIONS, Profile, activation

Slope = str | int


class RidgeLayer(SymplecticLayer):
    """A stack of ridge modules ``z -> z + strength phi'(w . z + b) Omega w``, one after another.

    Each is the exact flow of the Hamiltonian ``phi(w . z + b)`` over the time ``strength``, since ``w . z``
    does not change along it: ``w . Omega w = 0``. A module couples positions and momenta, and sums of such
    Hamiltonians are dense, so that the first-order generator of a stack can be anything. With
    ``profile="tanh"`` the derivative of the profile is ``phi'(s) = a tanh(s)``; with a whole number ``n`` it
    is the polynomial ``a_1 + a_2 s + ... + a_n s^(n-1)``, which makes quadratic Hamiltonians exact for
    ``n = 2``.

    Source: Tapley, Symplectic neural networks based on dynamical systems, 2024, arXiv:2408.09821.

    Attributes:
        w: Directions ``(modules, 2 d)``.
        b: Biases ``(modules,)``; ``None`` for polynomials, which need none.
        a: Amplitudes ``(modules,)``, or coefficients ``(modules, n)``.

    Example:
        >>> layer = RidgeLayer(degrees=2, modules=5, generator=torch.Generator().manual_seed(0))
        >>> z = torch.tensor([0.3, -0.2, 0.5, 0.7], dtype=torch.float64)
        >>> torch.allclose(layer.inverse(layer(z, 0.1), 0.1), z)
        True
    """

    w: nn.Parameter
    b: nn.Parameter | None
    a: nn.Parameter

    def __init__(
        self,
        degrees: int,
        modules: int,
        profile: Slope = "tanh",
        deviation: float = 0.1,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw directions and biases of the size of one, and small amplitudes.

        Args:
            degrees: Number ``d`` of positions, and of momenta.
            modules: Number of modules.
            profile: ``"tanh"``, ``"sigmoid"`` or ``"sin"``, or the degree of a polynomial.
            deviation: Standard deviation of the amplitudes.
            dtype: Floating-point type.
            generator: Source of the random numbers.

        Raises:
            ValueError: If the profile is not known.
        """
        super().__init__(degrees)
        k = count("modules", modules)
        if isinstance(profile, bool) or not (profile in ACTIVATIONS or isinstance(profile, int)):
            raise ValueError(
                f"profile: expected one of {sorted(ACTIVATIONS)} or the degree of a polynomial, got"
                f" {profile!r}"
            )
        self.profile = profile if isinstance(profile, str) else count("profile", profile)
        self.length = k
        self.w = normal((k, 2 * degrees), 1.0, dtype, generator)
        if isinstance(profile, str):
            self.a = normal((k,), deviation, dtype, generator)
            self.b = normal((k,), 1.0, dtype, generator)
        else:
            self.a = normal((k, profile), deviation, dtype, generator)
            self.b = None

    @property
    def _shape(self) -> Profile | None:
        return activation(self.profile)[0] if isinstance(self.profile, str) else None

    def turned(self) -> Tensor:
        """The directions ``Omega w = (w_p, -w_q)`` along which the modules move, ``(modules, 2 d)``."""
        d = self.degrees
        return torch.cat((self.w[:, d:], -self.w[:, :d]), -1)

    def forward(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Apply the modules."""
        self.halves(z)
        return self._through(z, strength, range(self.length))

    def inverse(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Apply the modules backwards with the opposite strength."""
        self.halves(z)
        return self._through(z, -strength, range(self.length - 1, -1, -1))

    def _through(self, z: Tensor, strength: Strength, order: range) -> Tensor:
        directions, moves = self.w.unbind(0), self.turned().unbind(0)
        amplitudes = self.a.unbind(0)
        biases = None if self.b is None else self.b.unbind(0)
        shape = self._shape
        for k in order:
            s = z @ directions[k] if biases is None else z @ directions[k] + biases[k]
            size = _polynomial(s, amplitudes[k]) if shape is None else amplitudes[k] * shape.value(s)
            z = z + (strength * size).unsqueeze(-1) * moves[k]
        return z

    def jacobian(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Compute the product of the matrices ``I + strength phi''(s) Omega w w^T``."""
        self.halves(z)
        total = torch.eye(2 * self.degrees, dtype=z.dtype, device=z.device)
        total = total.expand(*_batch(z, strength), -1, -1)
        moves, shape = self.turned(), self._shape
        for k in range(self.length):
            w, a = self.w[k], self.a[k]
            s = z @ w if self.b is None else z @ w + self.b[k]
            if shape is None:
                value, slope = _polynomial(s, a), _polynomial_slope(s, a)
            else:
                value, slope = (a * x for x in shape.both(s))
            row = (strength * slope).unsqueeze(-1) * (w @ total)
            total = total + moves[k].unsqueeze(-1) * row.unsqueeze(-2)
            z = z + (strength * value).unsqueeze(-1) * moves[k]
        return total

    def kernel_key(self) -> tuple[Any, ...]:
        """Give what the text of the kernel depends on."""
        return ("ridge", self.degrees, self.length, self.profile)

    def kernel_numbers(self) -> list[Tensor]:
        """Give the numbers of one module after another: direction, bias, amplitudes."""
        bias = [] if self.b is None else [self.b.unsqueeze(-1)]
        return [torch.cat((self.w, *bias, self.a.reshape(self.length, -1)), -1)]

    def emit_at(
        self, builder: KernelBuilder, z: Rows, place: str, strength: str, inverse: bool, control: Rows
    ) -> None:
        """Write a loop over the modules."""
        d, n = self.degrees, 2 * self.degrees
        shape = self._shape
        width = n + 2 if isinstance(self.profile, str) else n + self.profile
        at = (
            f"{place} + {width} * i"
            if not inverse
            else f"{place} + {width * (self.length - 1)} - {width} * i"
        )
        with builder.loop(f"for i in range({self.length}):"):
            builder.line(f"module = {at}")
            for k in range(n):
                builder.line(f"w_{k} = P[module + {k}]")
            for k in range(width - n):
                builder.line(f"a_{k} = P[module + {n + k}]")
            product = " + ".join(f"w_{k} * @{row}" for k, row in enumerate(z))
            if shape is None:
                value = _horner([f"a_{k}" for k in range(width - n)])
                statements = [f"s = {product}", f"y = {value}"]
            else:
                statements = [f"s = a_0 + {product}", *shape.code, "y = a_1 * y"]
            sign, other = ("-", "+") if inverse else ("+", "-")
            builder.lanes(
                *statements,
                f"y = {strength} * y",
                *[f"@{row} = @{row} {sign} w_{d + k} * y" for k, row in enumerate(z[:d])],
                *[f"@{row} = @{row} {other} w_{k} * y" for k, row in enumerate(z[d:])],
            )

    def config(self) -> dict[str, Any]:
        """Give a plain description; the numbers are weights."""
        own = {"degrees": self.degrees, "modules": self.length, "profile": self.profile}
        return {"type": "RidgeLayer", **own}


def _batch(z: Tensor, strength: Strength) -> tuple[int, ...]:
    own = strength.shape if isinstance(strength, Tensor) else ()
    return tuple(torch.broadcast_shapes(z.shape[:-1], own))


def _polynomial(s: Tensor, coefficients: Tensor) -> Tensor:
    *lower, value = coefficients.unbind(-1)
    total = value.expand(s.shape)
    for coefficient in reversed(lower):
        total = total * s + coefficient
    return total


def _polynomial_slope(s: Tensor, coefficients: Tensor) -> Tensor:
    if coefficients.shape[-1] == 1:
        return torch.zeros_like(s)
    powers = torch.arange(1, coefficients.shape[-1], dtype=s.dtype, device=s.device)
    return _polynomial(s, powers * coefficients[1:])


def _horner(names: list[str]) -> str:
    text = names[-1]
    for name in reversed(names[:-1]):
        text = f"({text}) * s + {name}"
    return text
