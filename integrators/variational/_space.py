"""State and configuration spaces of a rigid body."""

from __future__ import annotations

from lie import SE3, SO3, LieGroup

from .._state import Part, StateSpace, vector


def rigid_body_space(group: LieGroup) -> StateSpace:
    """Layout of the states of a body that turns (SO(3)) or turns and moves (SE(3)).

    Args:
        group: ``lie.SO3`` or ``lie.SE3``.

    Returns:
        ``R`` (body to world) and ``omega`` (body frame, rad/s); on SE(3) preceded by ``x`` (world frame, m)
        and with ``v`` (world frame, m/s) before ``omega``.

    Raises:
        ValueError: If the group is another.
    """
    omega = vector("omega", 3, unit="rad/s", frame="body")
    if group == SO3:
        return StateSpace(Part("R", SO3), omega)
    if group == SE3:
        return StateSpace(*configuration_space(group).parts, vector("v", 3, unit="m/s", frame="world"), omega)
    raise ValueError(f"group: expected lie.SO3 or lie.SE3, got {group}")


def configuration_space(group: LieGroup) -> StateSpace:
    """Layout of poses without velocities.

    Args:
        group: ``lie.SO3`` or ``lie.SE3``.

    Returns:
        ``R``, on SE(3) preceded by ``x``.

    Raises:
        ValueError: If the group is another.
    """
    if group == SO3:
        return StateSpace(Part("R", SO3))
    if group == SE3:
        return StateSpace(vector("x", 3, unit="m", frame="world"), Part("R", SO3))
    raise ValueError(f"group: expected lie.SO3 or lie.SE3, got {group}")
