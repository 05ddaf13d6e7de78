"""Networks that are flow maps, and the learned parts they are made of."""

from ._direct import DirectFlow
from ._inertia import LogCholeskyInertia, RealisableInertia
from ._liefvin import GaugeWarning, LieFVIN
from ._mass import LearnedMass
from ._matrices import LearnedDamping, LearnedMatrix
from ._matrix_fields import NeuralDamping, NeuralGain
from ._mlp import MLP
from ._potential import NeuralPotential

__all__ = [
    "MLP",
    "DirectFlow",
    "GaugeWarning",
    "LearnedDamping",
    "LearnedMass",
    "LearnedMatrix",
    "LieFVIN",
    "LogCholeskyInertia",
    "NeuralDamping",
    "NeuralGain",
    "NeuralPotential",
    "RealisableInertia",
]
