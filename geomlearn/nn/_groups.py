"""The groups of a rigid body, by name."""

from __future__ import annotations

from lie import SE3, SO3, LieGroup

GROUPS: dict[str, LieGroup] = {"SO3": SO3, "SE3": SE3}


def group_name(group: LieGroup) -> str:
    """Name of a rigid body's group in configurations.

    Args:
        group: ``lie.SO3`` or ``lie.SE3``.

    Returns:
        ``"SO3"`` or ``"SE3"``.

    Raises:
        ValueError: If it is another group.
    """
    for name, known in GROUPS.items():
        if group is known:
            return name
    raise ValueError(f"group: expected lie.SO3 or lie.SE3, got {group}")


def force_count(group: LieGroup) -> int:
    """Number of generalised forces on a body: 3 torques on SO(3), 3 forces and 3 torques on SE(3).

    Args:
        group: ``lie.SO3`` or ``lie.SE3``.

    Returns:
        3 or 6.
    """
    return 6 if group_name(group) == "SE3" else 3
