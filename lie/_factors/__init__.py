"""Structured factors of SPD matrices: patterns that are groups, their projection, charts and storage."""

from ._factor import StructuredFactor
from ._manifold import StructuredSPD
from ._names import structured_factor

__all__ = ["StructuredFactor", "StructuredSPD", "structured_factor"]
