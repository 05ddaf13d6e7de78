"""Steps of variable length that keep the long-time behaviour of geometric integrators."""

from ._reversible import ReversibleVariableStep

__all__ = ["ReversibleVariableStep"]
