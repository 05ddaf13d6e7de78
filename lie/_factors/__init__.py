"""Structured factors of SPD matrices: patterns that are groups, their projection, charts and storage."""

from ._factor import StructuredFactor
from ._names import structured_factor

__all__ = ["StructuredFactor", "structured_factor"]
