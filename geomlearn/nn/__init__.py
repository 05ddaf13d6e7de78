"""Networks that are flow maps, and the learned parts they are made of."""

from ._direct import DirectFlow
from ._gyroceptron import (
    CircleAction,
    Gyroceptron,
    LimitReport,
    NearlyPeriodicMap,
    Resonance,
    ResonanceWarning,
    TwistLayer,
    measure_limit,
)
from ._inertia import LogCholeskyInertia, RealisableInertia
from ._liefvin import GaugeWarning, LieFVIN
from ._mass import LearnedMass
from ._matrices import LearnedDamping, LearnedMatrix
from ._matrix_fields import NeuralDamping, NeuralGain
from ._mlp import MLP
from ._potential import NeuralPotential
from ._projected import ProjectedField
from ._rattle_net import RattleNet
from ._scaled import ScaledFlow, SymplecticScaling
from ._symplectic import (
    ActivationShear,
    ExtendedLinear,
    GradientShear,
    HenonLayer,
    HenonMap,
    HenonNet,
    LinearShear,
    RidgeLayer,
    RidgeSymplectic,
    SymplecticFlow,
    SymplecticLayer,
    SympNet,
    TimeShear,
)
from ._velocity_flow import VelocityFlow

__all__ = [
    "MLP",
    "ActivationShear",
    "CircleAction",
    "DirectFlow",
    "ExtendedLinear",
    "GaugeWarning",
    "GradientShear",
    "Gyroceptron",
    "HenonLayer",
    "HenonMap",
    "HenonNet",
    "LearnedDamping",
    "LearnedMass",
    "LearnedMatrix",
    "LieFVIN",
    "LimitReport",
    "LinearShear",
    "LogCholeskyInertia",
    "NearlyPeriodicMap",
    "NeuralDamping",
    "NeuralGain",
    "NeuralPotential",
    "ProjectedField",
    "RattleNet",
    "RealisableInertia",
    "Resonance",
    "ResonanceWarning",
    "RidgeLayer",
    "RidgeSymplectic",
    "ScaledFlow",
    "SympNet",
    "SymplecticFlow",
    "SymplecticLayer",
    "SymplecticScaling",
    "TimeShear",
    "TwistLayer",
    "VelocityFlow",
    "measure_limit",
]
