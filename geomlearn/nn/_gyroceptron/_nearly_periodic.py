"""What nearly periodic maps of the form of a gyroceptron know about themselves."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from integrators import FlowMap

from .._symplectic import SymplecticLayer
from ._circle import CircleAction
from ._invariant import circle_values, first_correction
from ._layers import run, run_back
from ._resonance import HARMONICS, Resonance, find_resonance, small_divisors
from ._twist import TwistLayer

_VANISHING = 1e-9


class NearlyPeriodicMap(FlowMap):
    """A circle action in some coordinates, and a part near the identity: the limit and the invariants.

    Attributes:
        epsilon: The small parameter, ``None`` where it is the last entry of the state.
        turn: The rotation, for strength 1 at the step ``angle_step``.
        angle_step: Step for which the angle was given.
        near: Layers of the part near the identity.
        psi: Layers of the change of coordinates, none where it is the identity.
        near_identity_last: Whether the part near the identity acts after the rotation, or before it.
    """

    epsilon: float | None
    turn: TwistLayer
    angle_step: float
    near: nn.ModuleList
    psi: nn.ModuleList
    near_identity_last: bool

    @property
    def degrees(self) -> int:
        """Number of positions, and of momenta."""
        return self.turn.degrees

    @property
    def action(self) -> CircleAction:
        """The circle action in the coordinates in which it is a rotation."""
        return self.turn.action

    @property
    def near_layers(self) -> list[SymplecticLayer]:
        """Layers of ``I`` in the order in which they are applied."""
        return cast(list[SymplecticLayer], list(self.near))

    @property
    def psi_layers(self) -> list[SymplecticLayer]:
        """Layers of ``psi`` in the order in which they are applied."""
        return cast(list[SymplecticLayer], list(self.psi))

    @property
    def _time(self) -> float:
        """Strength of the rotation: 1 at the step for which the angle was given."""
        return self.h / self.angle_step

    def _parts(self, x: Tensor) -> tuple[Tensor, float | Tensor]:
        """Canonical coordinates, and the strength of ``I``."""
        if self.epsilon is not None:
            return x, self.epsilon * self.h
        return x[..., :-1], x[..., -1] * self.h

    def _whole(self, z: Tensor, x: Tensor) -> Tensor:
        return z if self.epsilon is not None else torch.cat((z, x[..., -1:]), -1)

    def _limit(self, z: Tensor, direction: float = 1.0) -> Tensor:
        w = run_back(self.psi_layers, z, 1.0)
        return run(self.psi_layers, self.turn(w, direction * self._time), 1.0)

    def limit(self, x: Tensor) -> Tensor:
        """The map at ``epsilon = 0``: the rotation in the coordinates ``psi``.

        Args:
            x: States ``(..., n)``.

        Returns:
            States ``(..., n)``; an ``epsilon`` in them stays.
        """
        return self._whole(self._limit(self._parts(x)[0]), x)

    def circle(self, x: Tensor, angle: float | Tensor) -> Tensor:
        """The circle action ``psi o Phi_angle o psi^-1``; it is the identity at ``2 pi``.

        Args:
            x: States ``(..., n)``.
            angle: Radians, a number or a tensor that broadcasts with the batch.

        Returns:
            States ``(..., n)``.
        """
        w = self.to_normal(self._parts(x)[0])
        return self._whole(run(self.psi_layers, self.action(w, angle), 1.0), x)

    def to_normal(self, x: Tensor) -> Tensor:
        """``psi^-1``: the coordinates in which the circle action is a rotation.

        Args:
            x: States ``(..., n)``.

        Returns:
            Shape ``(..., 2 d)``.
        """
        return run_back(self.psi_layers, x[..., : 2 * self.degrees], 1.0)

    def adiabatic_invariant(self, x: Tensor) -> Tensor:
        """``mu_0 o psi^-1``, the leading term of the adiabatic invariant.

        Args:
            x: States ``(..., n)``.

        Returns:
            Shape ``(...)``.
        """
        return self.action.moment(self.to_normal(x))

    def corrected_invariant(self, x: Tensor, points: int = 128) -> Tensor:
        """``(mu_0 + epsilon mu_1) o psi^-1``, which changes by ``O(epsilon^2)``.

        ``mu_1`` comes from the rate at which the map changes ``mu_0`` on the circle through each state, by a
        Fourier series. Derivatives by ``epsilon`` are exact, by forward differentiation.

        Args:
            x: States ``(..., n)``.
            points: Samples on each circle; harmonics beyond half of them are lost, which shows as a change
                that is no longer of second order, on large circles first.

        Returns:
            Shape ``(...)``.

        Raises:
            ValueError: If the angle is a resonance of one of the harmonics, or depends on slow positions.
        """
        if self.turn.sees_slow:
            raise ValueError(
                "twist_sees_slow: expected an angle of mu_0 alone; with slow positions in it the limit of the"
                " map is no rotation, and the correction is not the one of nearly periodic maps"
            )
        if self.turn.constant:
            found = self.resonance(harmonics=max(1, (points - 1) // 2))
            if found.divisor <= _VANISHING:
                raise ValueError(
                    f"angle: expected one that is no resonance of a harmonic up to {points // 2}, got "
                    f"{found.angle:.6g}, for which exp(i k angle) = 1 at k = {found.harmonic}"
                )
        w = self.to_normal(x)
        theta = self._time * self.turn.angle_at(w)
        rates = circle_values(self.action, self._seen_from(w, theta), self._rate, points)
        mu_1 = first_correction(self.action, rates, theta)
        epsilon = x[..., -1] if self.epsilon is None else self.epsilon
        return self.action.moment(w) + epsilon * mu_1

    def rates_on_circle(self, x: Tensor, points: int = 128) -> Tensor:
        """Derivative of ``mu_0 o psi^-1 o F`` by ``epsilon`` at 0, on the circles through states.

        Their mean is zero, since the map is symplectic: the discrete theorem of Noether.

        Args:
            x: States ``(..., n)``.
            points: Samples on each circle.

        Returns:
            Shape ``(..., points)``.
        """
        w = self.to_normal(x)
        w = self._seen_from(w, self._time * self.turn.angle_at(w))
        return circle_values(self.action, w, self._rate, points)

    def _seen_from(self, w: Tensor, theta: Tensor) -> Tensor:
        """Where ``I`` finds a state: behind the rotation, or before it."""
        return self.action(w, theta) if self.near_identity_last else w

    def _rate(self, w: Tensor) -> Tensor:
        z = run(self.psi_layers, w, 1.0)

        def moment(epsilon: Tensor) -> Tensor:
            moved = run(self.near_layers, z, epsilon * self.h)
            return self.action.moment(run_back(self.psi_layers, moved, 1.0))

        zero = torch.zeros(w.shape[:-1], dtype=w.dtype, device=w.device)
        rate: Tensor = torch.func.jvp(moment, (zero,), (torch.ones_like(zero),))[1]
        return rate

    @property
    def strength(self) -> float | None:
        """``epsilon h``, ``None`` where epsilon is in the state."""
        return None if self.epsilon is None else self.epsilon * self.h

    def resonance(self, harmonics: int = HARMONICS) -> Resonance:
        """Find the harmonic to which the angle, where ``mu_0`` is 0, is nearest.

        Args:
            harmonics: How many are tried.

        Returns:
            The harmonic, its divisor ``|exp(i k angle) - 1|``, and whether it is too small.
        """
        angle = self._time * float(self.turn.angle.detach())
        return find_resonance(angle, self.strength, harmonics, self.action.divisor)

    def small_divisors(self, x: Tensor, harmonics: int = HARMONICS) -> Tensor:
        """Compute ``|exp(i k theta) - 1|`` for the angle at states.

        Args:
            x: States ``(..., n)``.
            harmonics: Number of harmonics.

        Returns:
            Shape ``(..., harmonics)``.
        """
        theta = self._time * self.turn.angle_at(self.to_normal(x))
        return small_divisors(theta, harmonics, self.action.divisor)
