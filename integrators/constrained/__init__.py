"""Methods for systems with holonomic constraints."""

from ._rattle import Rattle, Shake

__all__ = ["Rattle", "Shake"]
