"""Flow maps made of flow maps: composition, symmetric compositions of high order, splittings."""

from ._composition import Composition, compose
from ._exact import ExactFlow
from ._gyroscopic import GyroscopicFlow, GyroscopicSplitting
from ._linear import LinearFlow
from ._partial import DriftFlow, KickFlow
from ._splitting import LieTrotter, Strang
from ._symmetric import symmetric_composition

__all__ = [
    "Composition",
    "DriftFlow",
    "ExactFlow",
    "GyroscopicFlow",
    "GyroscopicSplitting",
    "KickFlow",
    "LieTrotter",
    "LinearFlow",
    "Strang",
    "compose",
    "symmetric_composition",
]
