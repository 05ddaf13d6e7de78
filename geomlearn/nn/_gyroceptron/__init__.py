"""Symplectic gyroceptrons: networks that are nearly periodic symplectic maps."""

from ._circle import CircleAction
from ._gyroceptron import Gyroceptron
from ._limit_report import LimitReport, measure_limit
from ._nearly_periodic import NearlyPeriodicMap
from ._resonance import Resonance, ResonanceWarning
from ._twist import TwistLayer

__all__ = [
    "CircleAction",
    "Gyroceptron",
    "LimitReport",
    "NearlyPeriodicMap",
    "Resonance",
    "ResonanceWarning",
    "TwistLayer",
    "measure_limit",
]
