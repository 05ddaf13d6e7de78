"""The two Bregman families and what a step of a method on them is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, TypeAlias

from ._scalars import Scalar, exponential, power

Family: TypeAlias = Literal["exponential", "polynomial"]
Restart: TypeAlias = Literal["gradient", "function", "speed"]
Looping: TypeAlias = bool | Literal["continuous"]
Scheme: TypeAlias = Literal["slc", "bravo", "htvi"]


class FamilyDefaults(NamedTuple):
    """Step h, constant C and order (η or p) that a family starts with."""

    h: float
    C: float
    order: float


DEFAULTS: dict[str, FamilyDefaults] = {
    "exponential": FamilyDefaults(h=4.0, C=1.0, order=0.01),
    "polynomial": FamilyDefaults(h=0.01, C=0.1, order=6.0),
}


@dataclass(frozen=True)
class BregmanRule:
    """A discretized Bregman flow: which family, which scheme, when it restarts, when its clock loops.

    The Hamiltonians are H = ½ a(t)‖r‖² + b(t) f(q) with

    - exponential: a = η e^{−ηt}, b = C η e^{2ηt}, of rate O(e^{−ηt}) along the exact flow;
    - polynomial: a = p t^{−p−1}, b = C p t^{2p−1}, of rate O(t^{−p}).

    ``C``, ``h`` and ``beta`` may be 0-dim tensors, under ``torch.func.vmap`` one for each run of a sweep;
    nothing here branches on their values.

    Attributes:
        h: Time step, what the optimizers call ``lr``.
        C: Constant C > 0 of the family.
        family: ``"exponential"`` or ``"polynomial"``.
        order: η of the exponential family, p of the polynomial one.
        beta: Factor β by which looping sets the clock back.
        restart: Test that sets the momentum to zero, or None.
        temporal_looping: Whether the clock loops; ``"continuous"`` keeps the velocity, not the momentum.
        scheme: ``"slc"`` (drift at the middle of the step, half a kick first, tests with the new gradient),
            ``"bravo"`` (no half kick, tests with the gradient of the step just made) or ``"htvi"``
            (symplectic Euler, tests as in ``"slc"``).
        adaptive: p̊ of the time-adaptive form of ``"htvi"``, or None.
    """

    h: Scalar
    C: Scalar
    family: Family = "exponential"
    order: float = 0.01
    beta: Scalar = 0.8
    restart: Restart | None = "gradient"
    temporal_looping: Looping = True
    scheme: Scheme = "slc"
    adaptive: float | None = None

    @classmethod
    def from_step_and_momentum(
        cls, step: float, momentum: float, *, family: Family = "exponential", order: float | None = None
    ) -> Self:
        """Choose C and h by the first gradient step and the first momentum factor.

        Written in displacements Δ the method is heavy ball, Δ_k = μ_k Δ_{k−1} − ε_k ∇f, with a step ε_k that
        grows until looping sets it back. At the clock's start t = 1 the pair (ε, μ) and the pair (C, h)
        determine each other.

        Args:
            step: ε of the first full kick (the very first one of ``"slc"`` is half of it).
            momentum: μ of the first step, in (0, 1).
            family: ``"exponential"`` or ``"polynomial"``.
            order: η or p; 0.01 or 6 by default.

        Returns:
            The rule with that C and h and otherwise the defaults.

        Raises:
            ValueError: If step or momentum is out of range. The polynomial family has momentum above
                3^{−p−1} only.
        """
        order = DEFAULTS[family].order if order is None else order
        if not step > 0:
            raise ValueError(f"step: expected a positive number, got {step}")
        if not 0 < momentum < 1:
            raise ValueError(f"momentum: expected a number between 0 and 1, got {momentum}")
        h: Scalar
        if family == "exponential":
            h = -math.log(momentum) / order
        else:
            ratio = momentum ** (1 / (order + 1))
            if not 3 * ratio > 1:
                raise ValueError(
                    f"momentum: expected more than 3^-(p+1) = {3 ** -(order + 1):.3g} for p = {order}"
                )
            h = 2 * (1 - ratio) / (3 * ratio - 1)
        unit = cls(h=h, C=1.0, family=family, order=order)
        return cls(h=h, C=step / (h * unit.kick(1.0)), family=family, order=order)

    def drift_time(self, t: Scalar) -> Scalar:
        """Compute the time at which the kinetic coefficient of the drift after a kick at t is taken."""
        return t if self.scheme == "htvi" else t + 0.5 * self.h

    def later(self, t: Scalar) -> Scalar:
        """Compute the clock a step after t."""
        if self.adaptive is None:
            return t + self.h
        ratio = self.order / self.adaptive
        return t + self.h * ratio * power(t, 1 - 1 / ratio)

    def momentum(self, before: Scalar, after: Scalar) -> Scalar:
        """Compute a(after)/a(before), the factor of the velocity between drifts at these times."""
        if self.family == "exponential":
            return exponential(self.order * (before - after))
        exponent = self.order + 1 if self.adaptive is None else self.order + self.adaptive / self.order
        return power(before / after, exponent)

    def kick(self, t: Scalar) -> Scalar:
        """Compute κ = h a b, by which a kick at t changes the velocity of the drift: −κ∇f."""
        s = self.drift_time(t)
        if self.family == "exponential":
            return self.C * self.h * self.order**2 * exponential(self.order * (2 * t - s))
        if self.adaptive is None:
            scale, p = self.C * self.order**2, self.order
            return self.h * scale * power(t / s, p + 1) * power(t, p - 2)
        scale = self.C * self.order**4 / self.adaptive**2
        return self.h * scale * power(t, self.order - 2 * self.adaptive / self.order)

    def looping_weight(self, t: Scalar) -> Scalar:
        """Compute w(t) of the looping test w‖∇f‖ > ‖velocity‖, t the clock as the scheme's test reads it."""
        # Published, here divided by h: C h η² e^{η(t−h)} with the new gradient, C h η² e^{η(t+h)} in the
        # stochastic order; C h p² (t+h)^{p+1}/t for polynomials. The adaptive form has none: it takes the
        # kick itself, which the others approximate.
        if self.adaptive is not None:
            return self.kick(t)
        scale = self.C * self.h * self.order**2
        if self.family == "exponential":
            return scale * exponential(self.order * (t + self.h if self.scheme == "bravo" else t - self.h))
        return scale * power(t + self.h, self.order + 1) / t
