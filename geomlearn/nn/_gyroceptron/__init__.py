"""Symplectic gyroceptrons: networks that are nearly periodic symplectic maps."""

from ._circle import CircleAction
from ._gyroceptron import Gyroceptron
from ._resonance import Resonance, ResonanceWarning
from ._twist import TwistLayer

__all__ = [
    "CircleAction",
    "Gyroceptron",
    "Resonance",
    "ResonanceWarning",
    "TwistLayer",
]
