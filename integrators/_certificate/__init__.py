"""Measured structure of flow maps."""

from ._certify import certify
from ._drift import Drift, measure_drift
from ._result import Certificate, MomentumDrift

__all__ = ["Certificate", "Drift", "MomentumDrift", "certify", "measure_drift"]
