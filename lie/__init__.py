"""Lie groups on plain tensors."""

from ._group import LieGroup
from ._se3 import SE3
from ._so3 import SO3

__geomlearn_distribution__ = "geomlearn"

__all__ = ["SE3", "SO3", "LieGroup"]
