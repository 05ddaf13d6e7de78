"""MuJoCo models: reading them, finding a rigid body, and its true parameters."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lie import SO3


def import_mujoco() -> ModuleType:
    """Import MuJoCo, which is optional.

    Returns:
        The module ``mujoco``.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import mujoco
    except ImportError as error:
        raise ImportError(
            "MuJoCo is needed to simulate and is not installed: pip install geomlearn[robotics]"
        ) from error
    return mujoco


def read_model(model: Any) -> Any:
    """Read a MuJoCo model, or copy one, so that the caller's stays as it is.

    Args:
        model: An ``mujoco.MjModel``, the XML text of one, or the path of an MJCF, URDF or MJB file.

    Returns:
        A new ``mujoco.MjModel``.

    Raises:
        FileNotFoundError: If a path leads nowhere.
        TypeError: If the argument is something else.
    """
    mujoco = import_mujoco()
    if isinstance(model, mujoco.MjModel):
        return copy.copy(model)
    if isinstance(model, str) and model.lstrip().startswith("<"):
        return mujoco.MjModel.from_xml_string(model)
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"model: expected an mujoco.MjModel, XML text or a path, got {type(model).__name__}")
    file = Path(model)
    if not file.is_file():
        raise FileNotFoundError(f"model: there is no file {file}; XML text has to begin with '<'")
    if file.suffix == ".mjb":
        return mujoco.MjModel.from_binary_path(str(file))
    return mujoco.MjModel.from_xml_path(str(file))


@dataclass(frozen=True)
class Jointed:
    """Where the numbers of one body with a ball or free joint lie in a model.

    Attributes:
        body: Number of the body.
        name: Its name.
        free: Whether the joint is free; else it is a ball joint.
        joint: Number of the joint.
        position: First entry of the joint in ``qpos``.
        velocity: First entry of the joint in ``qvel``.
    """

    body: int
    name: str
    free: bool
    joint: int
    position: int
    velocity: int


def find_body(model: Any, body: str | None) -> Jointed:
    """Find the body that a ball joint or a free joint moves relative to the world.

    Args:
        model: The ``mujoco.MjModel``.
        body: Its name; ``None`` if there is only one such body.

    Returns:
        Where its numbers lie.

    Raises:
        ValueError: If there is no such body, several, or it has other joints too.
    """
    mujoco = import_mujoco()
    kinds = {int(mujoco.mjtJoint.mjJNT_BALL): False, int(mujoco.mjtJoint.mjJNT_FREE): True}
    found = {}
    for joint in range(model.njnt):
        if int(model.jnt_type[joint]) in kinds:
            number = int(model.jnt_bodyid[joint])
            found[model.body(number).name or f"body {number}"] = (joint, number)
    if body is None and len(found) != 1:
        raise ValueError(
            f"body: expected a name, for these bodies have a ball or free joint: {sorted(found)}"
        )
    name = body if body is not None else next(iter(found))
    if name not in found:
        raise ValueError(f"body: expected one with a ball or free joint out of {sorted(found)}, got {name!r}")
    joint, number = found[name]
    if model.body_jntnum[number] != 1 or model.body_weldid[model.body_parentid[number]] != 0:
        raise ValueError(
            f"body: {name!r} is also moved by other joints; expected one ball or free joint between it and"
            " the world"
        )
    free = kinds[int(model.jnt_type[joint])]
    return Jointed(number, name, free, joint, int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint]))


def rotation_of(quaternion: Any) -> Tensor:
    """Rotation matrices of quaternions in MuJoCo's order.

    Args:
        quaternion: Unit quaternions ``(..., 4)``, wxyz.

    Returns:
        Rotations ``(..., 3, 3)``.
    """
    return SO3.from_quaternion(torch.as_tensor(quaternion, dtype=torch.float64).roll(-1, dims=-1))


def axes_at_rest(model: Any, body: int) -> Tensor:
    """Rotation from a body to the world when its joints and those of its parents are at zero.

    Args:
        model: The ``mujoco.MjModel``.
        body: Number of the body.

    Returns:
        Rotation ``(3, 3)``.
    """
    rotation = torch.eye(3, dtype=torch.float64)
    while body != 0:
        rotation = rotation_of(model.body_quat[body]) @ rotation
        body = int(model.body_parentid[body])
    return rotation


@dataclass(frozen=True)
class RigidBodyParameters:
    """What moves a rigid body in a simulation: the truth to which learned parameters can be compared.

    Attributes:
        mass: Mass of the body and all that is welded to it, kg.
        inertia: Inertia matrix ``(3, 3)`` in the body frame, kg m², about the pivot of a ball joint or the
            centre of mass of a free body.
        com: Centre of mass ``(3,)`` in the body frame, m, seen from the pivot of a ball joint or the origin
            of the frame of a free body.
        gravity: Acceleration ``(3,)`` in the world frame, m/s².
        damping: Coefficient of the joint's viscous friction, N m s/rad for a ball joint.
    """

    mass: float
    inertia: Tensor
    com: Tensor
    gravity: Tensor
    damping: float


def rigid_body_parameters(model: Any, body: str | None = None) -> RigidBodyParameters:
    """Read mass, inertia, centre of mass and gravity of a body out of a MuJoCo model.

    The body frame is the one that the body's orientation in ``simulate`` describes. Inertia that the joint
    adds (``armature``) is part of the inertia.

    Args:
        model: An ``mujoco.MjModel``, XML text or a path.
        body: Name of the body with a ball or free joint; ``None`` if there is only one.

    Returns:
        The parameters, in float64.

    Raises:
        ValueError: If the body is not rigid or something acts on it that these parameters do not tell.
    """
    mujoco = import_mujoco()
    own = read_model(model)
    where = find_body(own, body)
    dofs = slice(where.velocity, where.velocity + (6 if where.free else 3))
    armature, damping = own.dof_armature[dofs], own.dof_damping[dofs]
    welded = [b for b in range(own.nbody) if b != 0 and _lies_under(own, b, where.body)]
    _refuse_others(own, where, welded, armature)
    data = mujoco.MjData(own)
    mujoco.mj_kinematics(own, data)
    as_tensor = torch.as_tensor
    turn = as_tensor(data.xmat[where.body].copy()).reshape(3, 3)
    origin = as_tensor(data.xpos[where.body].copy())
    mass = float(sum(own.body_mass[b] for b in welded))
    centres = {b: turn.mT @ (as_tensor(data.xipos[b].copy()) - origin) for b in welded}
    com = (
        sum((float(own.body_mass[b]) * centres[b] for b in welded), torch.zeros(3, dtype=torch.float64))
        / mass
    )
    pivot = com if where.free else as_tensor(own.jnt_pos[where.joint].copy())
    inertia = (
        torch.diag(as_tensor(armature.copy())) if not where.free else torch.zeros(3, 3, dtype=torch.float64)
    )
    for b in welded:
        axes = turn.mT @ as_tensor(data.ximat[b].copy()).reshape(3, 3)
        arm = centres[b] - pivot
        inertia = inertia + axes @ torch.diag(as_tensor(own.body_inertia[b].copy())) @ axes.mT
        shift = arm.dot(arm) * torch.eye(3, dtype=torch.float64) - torch.outer(arm, arm)
        inertia = inertia + float(own.body_mass[b]) * shift
    enabled = not own.opt.disableflags & int(mujoco.mjtDisableBit.mjDSBL_GRAVITY)
    gravity = as_tensor(own.opt.gravity.copy()) * float(enabled)
    return RigidBodyParameters(
        mass, (inertia + inertia.mT) / 2, com if where.free else com - pivot, gravity, float(damping[0])
    )


def _lies_under(model: Any, body: int, root: int) -> bool:
    """Whether a body is ``root`` or hangs on it."""
    while body not in (0, root):
        body = int(model.body_parentid[body])
    return body == root


def _refuse_others(model: Any, where: Jointed, welded: Sequence[int], armature: Any) -> None:
    """Refuse bodies whose motion depends on more than mass, inertia, gravity and linear damping."""
    moving = [
        model.body(b).name or f"body {b}" for b in welded if b != where.body and model.body_jntnum[b] > 0
    ]
    if moving:
        raise ValueError(f"body: {where.name!r} is not one rigid body, {moving} move on it")
    joint = where.joint
    acting = {
        "joint stiffness": bool(model.jnt_stiffness[joint] != 0),
        "frictionloss": bool((model.dof_frictionloss[where.velocity : where.velocity + 3] != 0).any()),
        "gravcomp": bool(any(model.body_gravcomp[b] != 0 for b in welded)),
        "the density or viscosity of a medium": bool(model.opt.density != 0 or model.opt.viscosity != 0),
        "armature of a free joint": bool(where.free and (armature != 0).any()),
        "damping of a free joint": bool(
            where.free and (model.dof_damping[where.velocity : where.velocity + 6] != 0).any()
        ),
    }
    for what, acts in acting.items():
        if acts:
            raise ValueError(
                f"body: {where.name!r} is subject to {what}, which rigid_body_parameters does not describe"
            )


def spherical_pendulum_xml(
    mass: float = 1.0,
    com: Sequence[float] = (0.0, 0.0, -0.5),
    moments: Sequence[float] = (0.02, 0.03, 0.04),
    *,
    gravity: Sequence[float] = (0.0, 0.0, -9.81),
    damping: float = 0.0,
    timestep: float = 1e-3,
) -> str:
    """Write a MuJoCo model of a rigid body that turns about a fixed point, with a motor for each body axis.

    Args:
        mass: Mass, kg.
        com: Centre of mass ``(3,)`` in the body frame, seen from the pivot, m.
        moments: Principal moments of inertia ``(3,)`` about the centre of mass, along the body axes, kg m².
        gravity: Acceleration ``(3,)`` in the world frame, m/s².
        damping: Viscous friction, the torque per angular velocity, N m s/rad.
        timestep: Step of the simulation in seconds.

    Returns:
        MJCF text with body ``pendulum``, ball joint ``pivot`` and motors ``torque_x``, ``torque_y``,
        ``torque_z``, whose controls are torques in the body frame in N m.

    Raises:
        ValueError: If no body has that mass and those moments.
    """
    first, second, third = sorted(float(moment) for moment in moments)
    if not mass > 0 or not first > 0 or first + second < third:
        raise ValueError(
            "mass, moments: expected a positive mass and three positive moments of which no two sum to less"
            " than the"
            f" third, got {mass} and {tuple(moments)}"
        )
    size = 0.1 * max(sum(float(c) ** 2 for c in com) ** 0.5, 0.1)
    text = {
        name: " ".join(repr(float(v)) for v in values)
        for name, values in {"com": com, "moments": moments, "gravity": gravity}.items()
    }
    motors = "\n".join(
        f'    <motor name="torque_{axis}" joint="pivot" gear="{gear}"/>'
        for axis, gear in (("x", "1 0 0"), ("y", "0 1 0"), ("z", "0 0 1"))
    )
    return f"""<mujoco model="spherical pendulum">
  <option timestep="{timestep!r}" integrator="RK4" gravity="{text["gravity"]}">
    <flag contact="disable"/>
  </option>
  <worldbody>
    <light pos="0 0 3"/>
    <body name="pendulum">
      <joint name="pivot" type="ball" damping="{damping!r}"/>
      <inertial pos="{text["com"]}" mass="{mass!r}" diaginertia="{text["moments"]}"/>
      <geom type="sphere" size="{size!r}" pos="{text["com"]}" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
{motors}
  </actuator>
</mujoco>
"""
