"""Symplectic layers and the networks made of them."""

from ._emit import emit_layers
from ._extended_linear import ExtendedLinear
from ._flow import SymplecticFlow
from ._henon import HenonLayer, HenonMap
from ._layer import SymplecticLayer
from ._nets import HenonNet, RidgeSymplectic, SympNet
from ._ridge import RidgeLayer
from ._shears import ActivationShear, GradientShear, LinearShear
from ._time_shear import TimeShear

__all__ = [
    "ActivationShear",
    "ExtendedLinear",
    "GradientShear",
    "HenonLayer",
    "HenonMap",
    "HenonNet",
    "LinearShear",
    "RidgeLayer",
    "RidgeSymplectic",
    "SympNet",
    "SymplecticFlow",
    "SymplecticLayer",
    "TimeShear",
    "emit_layers",
]
