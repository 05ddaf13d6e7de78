"""Inverse-free structured natural gradient of networks."""

from ._kronecker import KroneckerRule
from ._optimizer import StructuredNaturalGradient
from ._spectrum import LayerSpectrum
from ._structure_fit import StructureFit, structure_fit

__all__ = ["KroneckerRule", "LayerSpectrum", "StructureFit", "StructuredNaturalGradient", "structure_fit"]
