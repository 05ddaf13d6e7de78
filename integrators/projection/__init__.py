"""Vector fields and steps projected onto the level sets of constraints."""

from ._acceleration import AccelerationField
from ._field import ProjectedField
from ._point import project_point
from ._step import ProjectedStep
from ._symmetric import SymmetricProjectedStep
from ._vector import DependentConstraintsError, project_vector

__all__ = [
    "AccelerationField",
    "DependentConstraintsError",
    "ProjectedField",
    "ProjectedStep",
    "SymmetricProjectedStep",
    "project_point",
    "project_vector",
]
