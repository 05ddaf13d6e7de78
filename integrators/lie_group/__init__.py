"""Integrators on Lie groups: Runge-Kutta methods for any group, and the splitting of the rigid body."""

from ._explicit import (
    RKMK4,
    CommutatorFree3,
    CommutatorFree4,
    CrouchGrossman3,
    CrouchGrossman4,
    LieEuler,
    LieRungeKutta,
)
from ._field import GroupField, GroupSystem
from ._midpoint import LieMidpoint
from ._rigid_splitting import RigidBodySplitting
from ._symbolic import SymbolicGroupField

__all__ = [
    "RKMK4",
    "CommutatorFree3",
    "CommutatorFree4",
    "CrouchGrossman3",
    "CrouchGrossman4",
    "GroupField",
    "GroupSystem",
    "LieEuler",
    "LieMidpoint",
    "LieRungeKutta",
    "RigidBodySplitting",
    "SymbolicGroupField",
]
