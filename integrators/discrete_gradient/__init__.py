"""Discrete-gradient methods: the energy is kept to rounding, or falls at every step."""

from ._average import AverageVectorField
from ._gonzalez import GonzalezMidpoint
from ._itoh_abe import ItohAbe, SymmetricItohAbe
from ._step import DiscreteGradient

__all__ = [
    "AverageVectorField",
    "DiscreteGradient",
    "GonzalezMidpoint",
    "ItohAbe",
    "SymmetricItohAbe",
]
