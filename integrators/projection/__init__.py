"""Vector fields and steps projected onto the level sets of constraints."""

from ._acceleration import AccelerationField
from ._field import ProjectedField
from ._step import ProjectedStep
from ._vector import DependentConstraintsError, project_vector

__all__ = [
    "AccelerationField",
    "DependentConstraintsError",
    "ProjectedField",
    "ProjectedStep",
    "project_vector",
]
