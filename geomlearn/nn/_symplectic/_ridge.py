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
Weights = tuple[Tensor, Tensor | None, Tensor | None]


class RidgeLayer(SymplecticLayer):
    """A stack of ridge modules ``z -> z + strength phi'(w . z) Omega w``, one after another.

    Each is the exact flow of the Hamiltonian ``phi(w . z)`` over the time ``strength``, since ``w . z`` does
    not change along it: ``w . Omega w = 0``. A module couples positions and momenta, and sums of such
    Hamiltonians are dense, so that the first-order generator of a stack can be anything. With
    ``profile="tanh"`` the derivative of the profile is ``phi'(s) = a tanh(s + b)``, or with several units
    ``sum_j a_j tanh(v_j s + b_j)``; with a whole number ``n`` it is the polynomial
    ``a_1 + a_2 s + ... + a_n s^(n-1)``, which makes quadratic Hamiltonians exact for ``n = 2``.

    Source: Tapley, Symplectic neural networks based on dynamical systems, 2024, arXiv:2408.09821.

    Attributes:
        w: Directions ``(modules, 2 d)``.
        b: Biases ``(modules,)`` or ``(modules, units)``; ``None`` for polynomials, which need none.
        a: Amplitudes ``(modules,)`` or ``(modules, units)``, or coefficients ``(modules, n)``.
        v: Factors ``(modules, units)`` of several units, or ``None``.

    Example:
        >>> layer = RidgeLayer(degrees=2, modules=5, generator=torch.Generator().manual_seed(0))
        >>> z = torch.tensor([0.3, -0.2, 0.5, 0.7], dtype=torch.float64)
        >>> torch.allclose(layer.inverse(layer(z, 0.1), 0.1), z)
        True
    """

    w: nn.Parameter
    b: nn.Parameter | None
    a: nn.Parameter
    v: nn.Parameter | None

    def __init__(
        self,
        degrees: int,
        modules: int,
        profile: Slope = "tanh",
        units: int = 1,
        deviation: float = 0.1,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw directions and biases of the size of one, and small amplitudes.

        Args:
            degrees: Number ``d`` of positions, and of momenta.
            modules: Number of modules.
            profile: ``"tanh"``, ``"sigmoid"`` or ``"sin"``, or the degree of a polynomial.
            units: Hidden units of each profile that is no polynomial.
            deviation: Standard deviation of the amplitudes.
            dtype: Floating-point type.
            generator: Source of the random numbers.

        Raises:
            ValueError: If the profile is not known, or a polynomial has hidden units.
        """
        super().__init__(degrees)
        k = count("modules", modules)
        if isinstance(profile, bool) or not (profile in ACTIVATIONS or isinstance(profile, int)):
            raise ValueError(
                f"profile: expected one of {sorted(ACTIVATIONS)} or the degree of a polynomial, got"
                f" {profile!r}"
            )
        self.profile = profile if isinstance(profile, str) else count("profile", profile)
        self.length, self.units = k, count("units", units)
        if units > 1 and not isinstance(profile, str):
            raise ValueError(f"units: expected 1 for a polynomial, got {units}; give a higher degree")
        self.w = normal((k, 2 * degrees), 1.0, dtype, generator)
        self.b = self.v = None
        if isinstance(profile, str):
            size = (k,) if units == 1 else (k, units)
            self.a = normal(size, deviation, dtype, generator)
            self.b = normal(size, 1.0, dtype, generator)
            self.v = None if units == 1 else normal(size, 1.0, dtype, generator)
        else:
            self.a = normal((k, profile), deviation, dtype, generator)

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
        return self._through(z, strength, False)

    def inverse(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Apply the modules backwards with the opposite strength."""
        self.halves(z)
        return self._through(z, -strength, True)

    def _through(self, z: Tensor, strength: Strength, backwards: bool) -> Tensor:
        moves = self.turned() if isinstance(strength, Tensor) else strength * self.turned()
        modules = list(zip(self.w.unbind(0), moves.unbind(0), self._profiles()))
        for w, move, weights in reversed(modules) if backwards else modules:
            size = self._value(z @ w, *weights)
            if isinstance(strength, Tensor):
                size = strength * size
            z = torch.addcmul(z, size.unsqueeze(-1), move)
        return z

    def jacobian(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Compute the product of the matrices ``I + strength phi''(s) Omega w w^T``."""
        self.halves(z)
        total = torch.eye(2 * self.degrees, dtype=z.dtype, device=z.device)
        total = total.expand(*_batch(z, strength), -1, -1)
        for w, move, weights in zip(self.w.unbind(0), self.turned().unbind(0), self._profiles()):
            value, slope = self._both(z @ w, *weights)
            row = (strength * slope).unsqueeze(-1) * (w @ total)
            total = total + move.unsqueeze(-1) * row.unsqueeze(-2)
            z = z + (strength * value).unsqueeze(-1) * move
        return total

    def _profiles(self) -> list[Weights]:
        """Amplitudes, biases and factors of each module."""
        none = [None] * self.length
        b = none if self.b is None else list(self.b.unbind(0))
        v = none if self.v is None else list(self.v.unbind(0))
        return list(zip(self.a.unbind(0), b, v))

    def _value(self, s: Tensor, a: Tensor, b: Tensor | None, v: Tensor | None) -> Tensor:
        """``phi'(s)`` of one module."""
        shape = self._shape
        if shape is None or b is None:
            return _polynomial(s, a)
        return a * shape.value(s + b) if v is None else (a * shape.value(s.unsqueeze(-1) * v + b)).sum(-1)

    def _both(self, s: Tensor, a: Tensor, b: Tensor | None, v: Tensor | None) -> tuple[Tensor, Tensor]:
        """``phi'(s)`` and ``phi''(s)`` of one module."""
        shape = self._shape
        if shape is None or b is None:
            return _polynomial(s, a), _polynomial_slope(s, a)
        value, slope = shape.both(s + b if v is None else s.unsqueeze(-1) * v + b)
        if v is None:
            return a * value, a * slope
        return (a * value).sum(-1), (a * v * slope).sum(-1)

    def kernel_key(self) -> tuple[Any, ...]:
        """Give what the text of the kernel depends on."""
        return ("ridge", self.degrees, self.length, self.profile, self.units)

    def kernel_numbers(self) -> list[Tensor]:
        """Give the numbers of one module after another: direction, factors, biases, amplitudes."""
        own = [value.reshape(self.length, -1) for value in (self.v, self.b, self.a) if value is not None]
        return [torch.cat((self.w, *own), -1)]

    def emit_at(
        self, builder: KernelBuilder, z: Rows, place: str, strength: str, inverse: bool, control: Rows
    ) -> None:
        """Write a loop over the modules."""
        d, n = self.degrees, 2 * self.degrees
        width = self.kernel_numbers()[0].shape[1]
        last = width * (self.length - 1)
        at = f"{place} + {last} - {width} * i" if inverse else f"{place} + {width} * i"
        names = [f"a_{k}" for k in range(width - n)]
        sign, other = ("-", "+") if inverse else ("+", "-")
        with builder.loop("if L == 1:"):
            self._emit_single(builder, z, place, strength, inverse)
        with builder.loop("else:"), builder.loop(f"for i in range({self.length}):"):
            builder.line(f"module = {at}")
            for k in range(n):
                builder.line(f"w_{k} = P[module + {k}]")
            for k, name in enumerate(names):
                builder.line(f"{name} = P[module + {n + k}]")
            product = " + ".join(f"w_{k} * @{row}" for k, row in enumerate(z))
            builder.lanes(
                f"s = {product}",
                *self._code(names),
                f"y = {strength} * y",
                *[f"@{row} = @{row} {sign} w_{d + k} * y" for k, row in enumerate(z[:d])],
                *[f"@{row} = @{row} {other} w_{k} * y" for k, row in enumerate(z[d:])],
            )

    def _emit_single(self, builder: KernelBuilder, z: Rows, place: str, strength: str, inverse: bool) -> None:
        """One trajectory: a module waits for the one before by a single product.

        What the next module sees is ``w' . z + y (w' . Omega w)``, of which all but the slope ``y`` is there
        before the slope is.
        """
        d, n = self.degrees, 2 * self.degrees
        width = self.kernel_numbers()[0].shape[1]
        names = [f"a_{k}" for k in range(width - n)]
        step, first = (-width, width * (self.length - 1)) if inverse else (width, 0)
        sign, other = ("-", "+") if inverse else ("+", "-")
        shape, simple = self._shape, self.v is None and self.b is not None
        bias = f" + P[module + {n}]" if simple else ""
        builder.lanes(f"strength = {strength}", *[f"z_{k} = @{row}" for k, row in enumerate(z)])
        builder.line(f"module = {place} + {first}")
        for k in range(n):
            builder.line(f"w_{k} = P[module + {k}]")
        builder.line("seen = " + " + ".join(f"w_{k} * z_{k}" for k in range(n)) + bias)
        with builder.loop(f"for i in range({self.length}):"):
            for k, name in enumerate(names):
                builder.line(f"{name} = P[module + {n + k}]")
            builder.line(f"gain = strength * {names[1]}" if simple else "gain = strength")
            builder.line(f"module = module + ({step} if i < {self.length - 1} else 0)")
            for k in range(n):
                builder.line(f"u_{k} = P[module + {k}]")
            turned = " + ".join(f"u_{k} * w_{d + k} - u_{d + k} * w_{k}" for k in range(d))
            builder.line(f"coupling = gain * ({turned})")
            builder.line("early = " + " + ".join(f"u_{k} * z_{k}" for k in range(n)) + bias)
            builder.line("s = seen")
            for text in shape.code if simple and shape is not None else self._code(names):
                builder.line(text)
            builder.line(f"seen = early {sign} coupling * y")
            builder.line("y = gain * y")
            for k in range(d):
                builder.line(f"z_{k} = z_{k} {sign} w_{d + k} * y")
                builder.line(f"z_{d + k} = z_{d + k} {other} w_{k} * y")
            for k in range(n):
                builder.line(f"w_{k} = u_{k}")
        builder.lanes(*[f"@{row} = z_{k}" for k, row in enumerate(z)])

    def _code(self, names: list[str]) -> list[str]:
        """Statements that compute ``y = phi'(s)`` from the numbers of these names."""
        shape, m = self._shape, self.units
        if shape is None:
            return [f"y = {_horner(names)}"]
        if self.v is None:
            return [f"s = s + {names[0]}", *shape.code, f"y = {names[1]} * y"]
        statements = ["x = s", "total = 0.0"]
        for v, b, a in zip(names[:m], names[m : 2 * m], names[2 * m :]):
            statements += [f"s = {v} * x + {b}", *shape.code, f"total = total + {a} * y"]
        return [*statements, "y = total"]

    def config(self) -> dict[str, Any]:
        """Give a plain description; the numbers are weights."""
        own = {"degrees": self.degrees, "modules": self.length, "profile": self.profile}
        return {"type": "RidgeLayer", **own, "units": self.units}


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
