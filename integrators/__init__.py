"""Flow maps: structure-preserving integrators, compiled rollouts and diagnostics."""

from ._certificate import Certificate, Drift, MomentumDrift, certify, measure_drift
from ._flow import FlowMap
from ._fused import fused
from ._plain import runs_plainly
from ._rollout import Rollout, load_rollout, rollout
from ._state import Part, StateSpace, vector
from ._status import LargeStepWarning, Status, StepError
from .variational import (
    ConstantInertia,
    FunctionPotential,
    GroupVariationalIntegrator,
    Inertia,
    LinearPotential,
    PlanarIntegrator,
    PositionForm,
    Potential,
    RigidBodyIntegrator,
    configuration_space,
    rigid_body_space,
)

__geomlearn_distribution__ = "geomlearn"

__all__ = [
    "Certificate",
    "ConstantInertia",
    "Drift",
    "FlowMap",
    "FunctionPotential",
    "GroupVariationalIntegrator",
    "Inertia",
    "LargeStepWarning",
    "LinearPotential",
    "MomentumDrift",
    "Part",
    "PlanarIntegrator",
    "PositionForm",
    "Potential",
    "RigidBodyIntegrator",
    "Rollout",
    "StateSpace",
    "Status",
    "StepError",
    "certify",
    "configuration_space",
    "fused",
    "load_rollout",
    "measure_drift",
    "rigid_body_space",
    "rollout",
    "runs_plainly",
    "vector",
]
