"""Groups with compiled operations."""

from ._groups import fused

__all__ = ["fused"]
