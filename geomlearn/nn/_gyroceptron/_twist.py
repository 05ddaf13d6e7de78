"""Rotations by an angle that depends on the moment: twist maps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from integrators.kernels import KernelBuilder, Rows

from .._symplectic._layer import Strength, SymplecticLayer
from ._circle import CircleAction


class TwistLayer(SymplecticLayer):
    r"""Rotation of the fast pairs by an angle that may depend on their moment, and on slow positions.

    The flow, for a time equal to the strength, of ``K(mu, s)`` with the moment ``mu`` of a circle action and
    the positions ``s`` of the pairs of weight 0. It keeps ``mu`` and ``s``, turns the fast pairs by
    ``n_i dK/dmu`` and kicks the slow momenta by ``-dK/ds``, so it is symplectic, explicit, and undone by the
    opposite strength. The angle is

    .. math:: \theta(\mu, s) = \theta_0 + \sum_{k=1}^{\text{degree}} c_k \mu^k
        + \sum_{j=1}^{\text{units}} a_j w_j \tanh(w_j \mu + u_j \cdot s + b_j),

    which starts as the rotation by ``theta_0``: all ``c_k`` and ``a_j`` are zero at first. A fast oscillator
    whose frequency changes with its amplitude needs such an angle, since a nearly periodic map in the strict
    sense turns all circles alike. With slow positions the rest of the state is not fixed any more when the
    perturbation vanishes: ``s`` is, and ``mu``, but the slow momenta move.

    Source: the flow of a function of an action, Arnold, Mathematical Methods of Classical Mechanics, 2nd ed.
    1989, section 50; for the oscillators see Burby, Hirvijoki, Leok, J. Nonlinear Sci. 33 (2023) 38.

    Example:
        >>> import torch
        >>> layer = TwistLayer((1,), angle=0.5, degree=1)
        >>> with torch.no_grad():
        ...     _ = layer.slopes.fill_(0.2)  # the flow of 0.5 mu + 0.1 mu^2
        >>> z = torch.tensor([[1.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
        >>> layer.angle_at(z)
        tensor([0.6000, 0.9000], dtype=torch.float64, grad_fn=<AddBackward0>)

    Attributes:
        action: The circle action.
        angle: ``theta_0`` in radians, for strength 1.
        degree: Highest power of the moment in the angle.
        units: Number of hyperbolic tangents in the angle.
        sees_slow: Whether they see the slow positions.
    """

    angle: Tensor

    def __init__(
        self,
        circle_weights: Iterable[int],
        angle: float,
        degree: int = 0,
        units: int = 0,
        sees_slow: bool = False,
        learn_angle: bool = False,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Set the angle and draw the hidden weights.

        Args:
            circle_weights: One integer ``n_i`` for each pair.
            angle: ``theta_0`` in radians.
            degree: Highest power of the moment in the angle.
            units: Number of hyperbolic tangents in the angle.
            sees_slow: Whether they see the positions of the pairs of weight 0, whose momenta are then kicked.
            learn_angle: Whether ``theta_0`` is a parameter.
            dtype: Floating-point type.
            generator: Source of the random weights; torch's global one by default.

        Raises:
            ValueError: If the angle is not finite, a number is negative, or there is nothing slow to see.
        """
        action = CircleAction(circle_weights)
        super().__init__(action.degrees)
        self.action = action
        if not math.isfinite(angle):
            raise ValueError(f"angle: expected a finite number of radians, got {angle}")
        if degree < 0 or units < 0:
            raise ValueError(f"degree, units: expected numbers of 0 or more, got {degree} and {units}")
        if sees_slow and not (self.action.slow and units):
            raise ValueError(
                f"sees_slow: expected pairs of weight 0 and units > 0, got {self.action} and units={units}"
            )
        self.degree, self.units, self.sees_slow = degree, units, sees_slow
        value = torch.tensor(float(angle), dtype=dtype)
        if learn_angle:
            self.angle = nn.Parameter(value)
        else:
            self.register_buffer("angle", value)
        self.slopes = nn.Parameter(torch.zeros(degree, dtype=dtype))
        seen = 1 + (len(self.action.slow) if sees_slow else 0)
        draw = torch.randn(units, seen + 1, dtype=dtype, generator=generator)
        self.weight, self.bias = nn.Parameter(draw[:, :seen].clone()), nn.Parameter(draw[:, seen].clone())
        self.height = nn.Parameter(torch.zeros(units, dtype=dtype))

    @property
    def constant(self) -> bool:
        """Whether the angle is the same everywhere."""
        return not (self.degree or self.units)

    def angle_at(self, z: Tensor) -> Tensor:
        """The angle by which pairs of weight 1 turn at strength 1.

        Args:
            z: States ``(..., 2 d)``.

        Returns:
            Radians ``(...)``.
        """
        return self._slopes(z)[0]

    def forward(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Turn states.

        Args:
            z: States ``(..., 2 d)``.
            strength: Time of the flow, a number or a tensor that broadcasts with the batch.
            control: Not used.

        Returns:
            States ``(..., 2 d)``.
        """
        self.halves(z)
        if self.constant:
            return self.action(z, strength * self.angle)
        theta, kick = self._slopes(z)
        turned = self.action(z, strength * theta)
        if kick is None:
            return turned
        return turned - torch.as_tensor(strength, dtype=z.dtype, device=z.device)[..., None] * self._place(
            kick
        )

    def inverse(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Turn back, by the opposite strength."""
        return self.forward(z, -strength)

    def jacobian(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Derivative of ``forward`` by the states, in closed form.

        Args:
            z: States ``(..., 2 d)``.
            strength: As in ``forward``.
            control: Not used.

        Returns:
            Matrices ``(..., 2 d, 2 d)``.
        """
        theta, _ = self._slopes(z)
        turned = self.action.matrix(z, strength * theta)
        if self.constant:
            return turned
        t = torch.as_tensor(strength, dtype=z.dtype, device=z.device)[..., None, None]
        by_mu, mixed, by_slow = self._curvatures(z)
        slope = by_mu[..., None] * self.action.moment_slope(z)
        if mixed is None or by_slow is None:
            velocity = self.action.generator(self.action(z, strength * theta))
            return turned + t * velocity[..., :, None] * slope[..., None, :]
        slope = slope + self._place(mixed, position=True)
        velocity = self.action.generator(self.action(z, strength * theta))
        kicks = mixed[..., :, None] * self.action.moment_slope(z)[..., None, :]
        kicks = kicks + self._place(by_slow, position=True)
        rows = self._place(kicks.mT).mT
        return turned + t * (velocity[..., :, None] * slope[..., None, :] - rows)

    def _slopes(self, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """``dK/dmu`` ``(...)`` and ``dK/ds`` ``(..., slow pairs)``."""
        theta = self.angle.expand(z.shape[:-1])
        if self.constant:
            return theta, None
        mu = self.action.moment(z)
        if self.degree:
            total = self.slopes[-1] * mu
            for k in range(self.degree - 2, -1, -1):
                total = (total + self.slopes[k]) * mu
            theta = theta + total
        if not self.units:
            return theta, None
        levels = self.height * torch.tanh(self._inputs(z, mu) @ self.weight.mT + self.bias)
        both = levels @ self.weight
        return theta + both[..., 0], both[..., 1:] if self.sees_slow else None

    def _curvatures(self, z: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """``d2K/dmu2`` ``(...)``, ``d2K/dmu ds`` ``(..., m)`` and ``d2K/ds2`` ``(..., m, m)``."""
        mu = self.action.moment(z)
        by_mu = torch.zeros_like(mu)
        for k in range(self.degree - 1, -1, -1):
            by_mu = by_mu * mu + (k + 1) * self.slopes[k]
        if not self.units:
            return by_mu, None, None
        level = torch.tanh(self._inputs(z, mu) @ self.weight.mT + self.bias)
        bend = self.height * (1 - level * level)
        second = (self.weight.mT * bend[..., None, :]) @ self.weight
        by_mu = by_mu + second[..., 0, 0]
        return (by_mu, second[..., 0, 1:], second[..., 1:, 1:]) if self.sees_slow else (by_mu, None, None)

    def _inputs(self, z: Tensor, mu: Tensor) -> Tensor:
        slow = z[..., self.action.slow] if self.sees_slow else z[..., :0]
        return torch.cat((mu[..., None], slow), -1)

    def _place(self, values: Tensor, position: bool = False) -> Tensor:
        """Put ``(..., slow pairs)`` at the slow momenta, or positions, of zero states ``(..., 2 d)``."""
        first = 0 if position else self.degrees
        columns = [first + i for i in self.action.slow]
        chosen = torch.zeros(len(columns), 2 * self.degrees, dtype=values.dtype, device=values.device)
        chosen[range(len(columns)), columns] = 1.0
        return values @ chosen

    def kernel_key(self) -> tuple[Any, ...]:
        """Give what the text of the kernel depends on."""
        return "TwistLayer", self.action.weights, self.degree, self.units > 0, self.sees_slow

    def kernel_numbers(self) -> list[Tensor]:
        """Give the numbers that the kernel reads: angle, number of units, powers, a row for each unit."""
        table = torch.cat((self.weight, self.bias[:, None], self.height[:, None]), -1)
        return [self.angle, torch.tensor([float(self.units)]), self.slopes, table]

    def emit_at(
        self, builder: KernelBuilder, z: Rows, place: str, strength: str, inverse: bool, control: Rows
    ) -> None:
        """Write the rotation of the rows, in place.

        Args:
            builder: The kernel under construction.
            z: Rows of positions and momenta.
            place: Where ``kernel_numbers`` begin in ``P``.
            strength: Text of the strength.
            inverse: Whether to turn back.
            control: None are used.
        """
        builder.line(f"turn_angle = P[{place}]")
        theta, time = "turn_angle", f"(-{strength})" if inverse else strength
        kicks: Rows = []
        if not self.constant:
            theta, kicks = self._emit_slopes(builder, z, place)
        names = {
            n: f"{n}".replace("-", "m") for n in sorted({self.action.weights[i] for i in self.action.fast})
        }
        statements = [f"turn = {time} * {theta}"]
        for n, name in names.items():
            angle = "turn" if n == 1 else f"{float(n)} * turn"
            statements += [f"turn_c{name} = cosine({angle})", f"turn_s{name} = sine({angle})"]
        for i in self.action.fast:
            name, q, p = names[self.action.weights[i]], z[i], z[self.degrees + i]
            statements += [
                f"turn_q = @{q}",
                f"@{q} = turn_c{name} * turn_q + turn_s{name} * @{p}",
                f"@{p} = turn_c{name} * @{p} - turn_s{name} * turn_q",
            ]
        momenta = [z[self.degrees + i] for i in self.action.slow]
        statements += [f"@{p} = @{p} - {time} * @{k}" for p, k in zip(momenta, kicks, strict=False)]
        builder.lanes(*statements)

    def _emit_slopes(self, builder: KernelBuilder, z: Rows, place: str) -> tuple[str, Rows]:
        """Write the slopes of ``K``: text of ``dK/dmu``, rows of ``dK/ds``."""
        mu, theta = builder.rows(2)
        kicks = builder.rows(len(self.action.slow) if self.sees_slow else 0)
        powers = [f"turn_slope_{k}" for k in range(self.degree)]
        for k, name in enumerate(powers):
            builder.line(f"{name} = P[{place} + {2 + k}]")
        horner = ""
        for name in reversed(powers):
            horner = f"({name} + {horner}) * @{mu}" if horner else f"{name} * @{mu}"
        builder.lanes(
            f"@{mu} = 0.5 * ({self.action.moment_text(z)})",
            f"@{theta} = turn_angle + {horner or '0.0'}",
            *[f"@{k} = 0.0" for k in kicks],
        )
        if self.units:
            seen = [mu, *(z[i] for i in self.action.slow if self.sees_slow)]
            weights = [f"turn_w_{k}" for k in range(len(seen))]
            names = [*weights, "turn_bias", "turn_height"]
            with builder.loop(f"for i in range(int(P[{place} + 1])):"):
                for k, name in enumerate(names):
                    builder.line(f"{name} = P[{place} + {2 + self.degree + k} + {len(names)} * i]")
                inside = " + ".join(f"{w} * @{row}" for w, row in zip(weights, seen, strict=True))
                sums = [theta, *kicks]
                builder.lanes(
                    f"level = turn_height * hyperbolic_tangent({inside} + turn_bias)",
                    *[f"@{row} = @{row} + {w} * level" for w, row in zip(weights, sums, strict=False)],
                )
        return f"@{theta}", kicks

    def config(self) -> dict[str, Any]:
        """Give a plain description."""
        return {
            "type": "TwistLayer",
            "circle_weights": list(self.action.weights),
            "angle": float(self.angle.detach()),
            "degree": self.degree,
            "units": self.units,
            "sees_slow": self.sees_slow,
            "learn_angle": isinstance(self.angle, nn.Parameter),
        }

    def extra_repr(self) -> str:
        """Show the weights and the form of the angle."""
        seen = ", sees_slow=True" if self.sees_slow else ""
        angle = float(self.angle.detach())
        return f"{self.action.weights}, angle={angle:.6g}, degree={self.degree}, units={self.units}{seen}"
