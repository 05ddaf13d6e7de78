"""Small divisors: how near an angle of rotation is to a resonance."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

HARMONICS = 8
MARGIN = 2.0
_ROUNDING = 1e-9


class ResonanceWarning(UserWarning):
    """The angle of rotation is too near a resonance for the adiabatic invariant to be one."""


def small_divisors(angle: Tensor, harmonics: int = HARMONICS, divisor: int = 1) -> Tensor:
    r"""Compute ``|exp(i k angle) - 1|``, by which the terms of an adiabatic invariant are divided.

    Source: Burby, Hirvijoki, Leok, J. Nonlinear Sci. 33 (2023) 38: a nearly periodic map has an adiabatic
    invariant where none of them vanishes.

    Example:
        >>> import torch
        >>> small_divisors(torch.tensor(torch.pi, dtype=torch.float64), 3).round(decimals=12)
        tensor([2., 0., 2.], dtype=torch.float64)

    Args:
        angle: Radians ``(...)``.
        harmonics: Number of harmonics.
        divisor: Greatest common divisor of the weights of the action; ``k`` runs through its multiples.

    Returns:
        Shape ``(..., harmonics)``, for ``k = 1, ..., harmonics`` times the divisor.
    """
    k = divisor * torch.arange(1, harmonics + 1, dtype=angle.dtype, device=angle.device)
    return 2 * torch.sin(0.5 * angle[..., None] * k).abs()


@dataclass(frozen=True)
class Resonance:
    """The smallest divisor of an angle, beside the strength of the perturbation.

    Attributes:
        angle: Radians.
        harmonic: The ``k`` of the smallest divisor.
        divisor: ``|exp(i k angle) - 1|``.
        strength: Strength of the perturbation in a step, ``epsilon h``; ``None`` where it is not known.
    """

    angle: float
    harmonic: int
    divisor: float
    strength: float | None

    @property
    def close(self) -> bool:
        """Whether the divisor is not well above the strength, which is what the invariant rests on.

        Nothing is close where the strength is zero: all circles are then kept.
        """
        if self.strength is None:
            return self.divisor <= _ROUNDING
        return self.strength != 0 and self.divisor <= max(MARGIN * abs(self.strength), _ROUNDING)

    def warn(self, stacklevel: int = 2) -> None:
        """Warn where the divisor is small.

        Args:
            stacklevel: Frames between the caller and the user.
        """
        if self.close:
            known = "" if self.strength is None else f", against a perturbation of {self.strength:.2g}"
            warnings.warn(
                f"angle: {self.angle:.6g} is near a resonance: |exp(i k angle) - 1| = {self.divisor:.2g} for "
                f"k = {self.harmonic}{known}. The adiabatic invariant is then not conserved; choose a step "
                "after which the angle is far from every 2 pi j / k with small k, or a smaller epsilon",
                ResonanceWarning,
                stacklevel=stacklevel + 1,
            )


def find_resonance(
    angle: float, strength: float | None, harmonics: int = HARMONICS, divisor: int = 1
) -> Resonance:
    """Find the harmonic with the smallest divisor.

    Args:
        angle: Radians.
        strength: Strength of the perturbation in a step, ``epsilon h``, or ``None``.
        harmonics: Number of harmonics that are tried.
        divisor: Greatest common divisor of the weights of the action.

    Returns:
        The harmonic and its divisor.

    Raises:
        ValueError: If there is no harmonic to try.
    """
    if harmonics < 1:
        raise ValueError(f"harmonics: expected at least 1, got {harmonics}")
    values = small_divisors(torch.tensor(angle, dtype=torch.float64), harmonics, divisor)
    k = int(values.argmin())
    return Resonance(angle, divisor * (k + 1), float(values[k]), strength)
