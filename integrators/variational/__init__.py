"""Variational integrators on Lie groups."""

from ._forced import Coefficients, ForcedIntegrator
from ._rigid_body import RigidBodyCarry, RigidBodyIntegrator
from ._slots import (
    ConstantInertia,
    FunctionPotential,
    Inertia,
    LinearPotential,
    Potential,
)
from ._space import configuration_space, rigid_body_space

__all__ = [
    "Coefficients",
    "ConstantInertia",
    "ForcedIntegrator",
    "FunctionPotential",
    "Inertia",
    "LinearPotential",
    "Potential",
    "RigidBodyCarry",
    "RigidBodyIntegrator",
    "configuration_space",
    "rigid_body_space",
]
