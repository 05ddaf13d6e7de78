"""Integrators on Lie groups: Runge-Kutta methods for any group, and splittings of the rigid body."""

from ._rigid_splitting import RigidBodySplitting

__all__ = ["RigidBodySplitting"]
