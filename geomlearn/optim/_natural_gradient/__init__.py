"""Inverse-free structured natural gradient of networks."""

from ._kronecker import KroneckerRule
from ._optimizer import StructuredNaturalGradient
from ._structure_fit import StructureFit, structure_fit

__all__ = ["KroneckerRule", "StructureFit", "StructuredNaturalGradient", "structure_fit"]
