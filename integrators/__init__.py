"""Flow maps: structure-preserving integrators, compiled rollouts and diagnostics."""

from ._flow import FlowMap
from ._rollout import Rollout, rollout
from ._state import Part, StateSpace, vector
from ._status import LargeStepWarning, Status, StepError
from .variational import (
    ConstantInertia,
    FunctionPotential,
    Inertia,
    LinearPotential,
    Potential,
    RigidBodyIntegrator,
    configuration_space,
    rigid_body_space,
)

__geomlearn_distribution__ = "geomlearn"

__all__ = [
    "ConstantInertia",
    "FlowMap",
    "FunctionPotential",
    "Inertia",
    "LargeStepWarning",
    "LinearPotential",
    "Part",
    "Potential",
    "RigidBodyIntegrator",
    "Rollout",
    "StateSpace",
    "Status",
    "StepError",
    "configuration_space",
    "rigid_body_space",
    "rollout",
    "vector",
]
