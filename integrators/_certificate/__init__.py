"""Measured structure of flow maps."""

from ._certify import certify
from ._drift import Drift, measure_drift
from ._growth import Growth, measure_growth
from ._modified_energy import modified_energy
from ._result import Certificate, InvariantDrift, MomentumDrift

__all__ = [
    "Certificate",
    "Drift",
    "Growth",
    "InvariantDrift",
    "MomentumDrift",
    "certify",
    "measure_drift",
    "measure_growth",
    "modified_energy",
]
