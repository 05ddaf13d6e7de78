"""Flow maps made of flow maps: composition, symmetric compositions of high order, splittings."""

from ._composition import Composition, compose
from ._symmetric import symmetric_composition

__all__ = ["Composition", "compose", "symmetric_composition"]
