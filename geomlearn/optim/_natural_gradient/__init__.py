"""Inverse-free structured natural gradient of networks."""

from ._kronecker import KroneckerRule
from ._optimizer import StructuredNaturalGradient

__all__ = ["KroneckerRule", "StructuredNaturalGradient"]
