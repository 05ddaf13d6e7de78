"""Recordings of rigid bodies simulated by MuJoCo."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from integrators import StateSpace, rigid_body_space, vector
from lie import SE3, SO3

from ._mujoco_model import Jointed, axes_at_rest, find_body, import_mujoco, read_model, rotation_of
from ._recording import Recording

_LARGEST_CONTROL = 1e10
_RUNAWAY = ("mjWARN_BADQPOS", "mjWARN_BADQVEL", "mjWARN_BADQACC", "mjWARN_BADCTRL")


def simulate(
    model: Any,
    initial: Tensor,
    steps: int,
    h: float,
    controls: Tensor | None = None,
    *,
    body: str | None = None,
    substeps: int | None = None,
    control_space: StateSpace | None = None,
) -> list[Recording]:
    """Simulate a rigid body in MuJoCo from several initial states, recorded in the library's conventions.

    The body has a ball joint (states ``[R, omega]``) or a free joint (states ``[x, R, v, omega]``, where
    ``x`` and ``v`` are those of the centre of mass, in the world frame). ``R`` turns the axes of the MuJoCo
    body into those of the world, ``omega`` is in the body frame. MuJoCo's own conventions, quaternions wxyz
    and for a free joint the origin of the body frame instead of the centre of mass, are converted. The
    integrator is MuJoCo's Runge-Kutta method of order 4, whatever the model says; the caller's model is not
    changed. Other bodies of the model start at its reference configuration, at rest.

    Args:
        model: An ``mujoco.MjModel``, the XML text of one, or the path of an MJCF, URDF or MJB file.
        initial: States ``(N, n)`` or ``(n,)`` at time 0, with n = 12 for a ball joint and 18 for a free
            joint.
        steps: Number of samples after the initial one.
        h: Time between samples in seconds.
        controls: Inputs of all actuators of the model, held between samples: ``(m,)``, ``(steps, m)`` or
            ``(N, steps, m)``; zero by default.
        body: Name of the body; ``None`` if only one has a ball or free joint.
        substeps: Steps of the simulation between samples; by default as many of the model's own time step,
            which then has to divide ``h``.
        control_space: Layout of the controls; by default the names of the actuators.

    Returns:
        One recording of ``steps + 1`` samples per initial state.

    Raises:
        ImportError: If MuJoCo is not installed.
        TypeError: If ``initial`` is not float64.
        ValueError: If an argument does not fit the model, or the simulation diverges.
    """
    mujoco = import_mujoco()
    own = read_model(model)
    where = find_body(own, body)
    space = rigid_body_space(SE3 if where.free else SO3)
    if isinstance(initial, Tensor) and initial.dtype != torch.float64:
        raise TypeError(f"initial: expected float64, in which MuJoCo computes, got {initial.dtype}")
    space.check(initial, name="initial")
    starts = initial.detach().reshape(-1, space.size)
    if initial.ndim > 2 or steps < 1:
        raise ValueError(
            f"initial, steps: expected (N, {space.size}), steps >= 1, got {tuple(initial.shape)}, {steps}"
        )
    inputs = _inputs(own, controls, len(starts), steps)
    layout = _control_layout(own, control_space) if controls is not None else None
    inner = _substeps(own, h, substeps)
    own.opt.timestep = h / inner
    own.opt.integrator = mujoco.mjtIntegrator.mjINT_RK4
    own.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    positions, velocities = _integrate(own, where, to_mujoco(own, where, starts), inputs, inner)
    states = from_mujoco(own, where, torch.from_numpy(positions), torch.from_numpy(velocities))
    times = h * torch.arange(steps + 1, dtype=torch.float64)
    recorded = None if controls is None else torch.tensor(inputs)
    return [
        Recording(
            times,
            states[i],
            None if recorded is None else recorded[i].clone(),
            space,
            layout,
            name=f"{where.name} {i}",
        )
        for i in range(len(starts))
    ]


def _integrate(
    model: Any, where: Jointed, start: tuple[np.ndarray, np.ndarray], inputs: np.ndarray, inner: int
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates ``(N, steps+1, 4 or 7)`` and velocities ``(N, steps+1, 3 or 6)`` of the joint."""
    mujoco = import_mujoco()
    data = mujoco.MjData(model)
    (qpos, qvel), (count, steps) = start, inputs.shape[:2]
    positions = np.empty((count, steps + 1, qpos.shape[-1]))
    velocities = np.empty((count, steps + 1, qvel.shape[-1]))
    positions[:, 0], velocities[:, 0] = qpos, qvel
    at = slice(where.position, where.position + qpos.shape[-1])
    moving = slice(where.velocity, where.velocity + qvel.shape[-1])
    for i in range(count):
        mujoco.mj_resetData(model, data)
        data.qpos[at], data.qvel[moving] = qpos[i], qvel[i]
        for k in range(steps):
            data.ctrl[:] = inputs[i, k]
            mujoco.mj_step(model, data, nstep=inner)
            positions[i, k + 1], velocities[i, k + 1] = data.qpos[at], data.qvel[moving]
            if not (np.isfinite(data.qpos).all() and np.isfinite(data.qvel).all() and _calm(mujoco, data)):
                raise ValueError(
                    f"simulate: trajectory {i} diverges between samples {k} and {k + 1}; take a step"
                    f" shorter than {model.opt.timestep:g} s (substeps) or smaller controls"
                )
    return positions, velocities


def to_mujoco(model: Any, where: Jointed, states: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Convert states to the joint's entries of ``qpos`` and ``qvel``.

    Args:
        model: The ``mujoco.MjModel``.
        where: The body.
        states: States ``(N, n)``.

    Returns:
        Arrays ``(N, 4)`` and ``(N, 3)`` for a ball joint, ``(N, 7)`` and ``(N, 6)`` for a free joint.
    """
    parts = rigid_body_space(SE3 if where.free else SO3).view(states)
    rotation, omega = parts["R"], parts["omega"]
    if not where.free:
        rotation = axes_at_rest(model, where.body).mT @ rotation
    quaternion = SO3.to_quaternion(rotation).roll(1, dims=-1)
    if not where.free:
        return quaternion.numpy(), omega.numpy()
    com = _centre_of_mass(model, where)
    x = parts["x"] - SO3.act(rotation, com)
    v = parts["v"] - SO3.act(rotation, torch.linalg.cross(omega, com.expand_as(omega)))
    return torch.cat([x, quaternion], -1).numpy(), torch.cat([v, omega], -1).numpy()


def from_mujoco(model: Any, where: Jointed, qpos: Tensor, qvel: Tensor) -> Tensor:
    """Convert the joint's entries of ``qpos`` and ``qvel`` to states.

    Args:
        model: The ``mujoco.MjModel``.
        where: The body.
        qpos: Coordinates ``(..., 4)`` or ``(..., 7)``.
        qvel: Velocities ``(..., 3)`` or ``(..., 6)``.

    Returns:
        States ``(..., n)``.
    """
    space = rigid_body_space(SE3 if where.free else SO3)
    rotation, omega = rotation_of(qpos[..., -4:]), qvel[..., -3:]
    if not where.free:
        return space.pack(R=axes_at_rest(model, where.body) @ rotation, omega=omega)
    com = _centre_of_mass(model, where)
    x = qpos[..., :3] + SO3.act(rotation, com)
    v = qvel[..., :3] + SO3.act(rotation, torch.linalg.cross(omega, com.expand_as(omega)))
    return space.pack(x=x, R=rotation, v=v, omega=omega)


def _centre_of_mass(model: Any, where: Jointed) -> Tensor:
    """Centre of mass ``(3,)``, in the body frame, of a body and all that hangs on it, joints at reference."""
    mujoco = import_mujoco()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    offset = torch.as_tensor(data.subtree_com[where.body] - data.xpos[where.body])
    return torch.as_tensor(data.xmat[where.body].copy()).reshape(3, 3).mT @ offset


def _inputs(model: Any, controls: Tensor | None, count: int, steps: int) -> np.ndarray:
    """Controls ``(N, steps, m)`` within the limits of the actuators."""
    size = int(model.nu)
    if controls is None:
        return np.zeros((count, steps, size))
    shapes = ((size,), (steps, size), (count, steps, size))
    if not isinstance(controls, Tensor) or tuple(controls.shape) not in shapes or size == 0:
        got = tuple(controls.shape) if isinstance(controls, Tensor) else type(controls).__name__
        raise ValueError(
            f"controls: expected a tensor of shape {', '.join(map(str, shapes))} for {size} actuators,"
            f" got {got}"
        )
    values = np.broadcast_to(controls.detach().double().cpu().numpy(), (count, steps, size))
    if not (np.abs(values) <= _LARGEST_CONTROL).all():
        raise ValueError(
            f"controls: expected finite numbers of size {_LARGEST_CONTROL:g} at most; MuJoCo takes others"
            " as zero"
        )
    low, high = model.actuator_ctrlrange.T
    out = model.actuator_ctrllimited.astype(bool) & ((values < low) | (values > high))
    if out.any():
        i, k, a = (int(j) for j in np.argwhere(out)[0])
        raise ValueError(
            f"controls: {values[i, k, a]} of actuator {a} in trajectory {i}, step {k} is outside its range"
            f" [{low[a]}, {high[a]}], to which MuJoCo would clip it"
        )
    return values


def _control_layout(model: Any, given: StateSpace | None) -> StateSpace:
    """The layout of the controls, by default one part per actuator."""
    if given is not None:
        return given
    return StateSpace(*(vector(model.actuator(a).name or f"u{a}", 1) for a in range(model.nu)))


def _substeps(model: Any, h: float, substeps: int | None) -> int:
    """Steps of the simulation per sample."""
    if not h > 0:
        raise ValueError(f"h: expected a positive number of seconds, got {h}")
    if substeps is not None:
        if substeps < 1:
            raise ValueError(f"substeps: expected at least 1, got {substeps}")
        return substeps
    ratio = h / model.opt.timestep
    whole = round(ratio)
    if whole < 1 or abs(ratio - whole) > 1e-6 * ratio:
        raise ValueError(
            f"h: expected a multiple of the time step of the model, {model.opt.timestep:g} s, got {h} s;"
            " pass substeps="
            " to set the number of simulation steps per sample"
        )
    return whole


def _calm(mujoco: Any, data: Any) -> bool:
    """Whether MuJoCo has not warned of numbers that run away."""
    return all(data.warning[int(getattr(mujoco.mjtWarning, kind))].number == 0 for kind in _RUNAWAY)
