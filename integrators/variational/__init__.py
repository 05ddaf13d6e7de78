"""Variational integrators on Lie groups."""

from ._body import RigidBodyCarry
from ._forced import Coefficients, ForcedIntegrator
from ._general import GroupCarry, GroupVariationalIntegrator
from ._planar import PlanarCarry, PlanarIntegrator
from ._position import PositionForm
from ._rigid_body import RigidBodyIntegrator
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
    "GroupCarry",
    "GroupVariationalIntegrator",
    "Inertia",
    "LinearPotential",
    "PlanarCarry",
    "PlanarIntegrator",
    "PositionForm",
    "Potential",
    "RigidBodyCarry",
    "RigidBodyIntegrator",
    "configuration_space",
    "rigid_body_space",
]
