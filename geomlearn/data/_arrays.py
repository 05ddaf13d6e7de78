"""Recordings from arrays in the conventions of whoever measured them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from integrators import StateSpace, configuration_space, rigid_body_space
from lie import SE3, SO3

from ._checks import Place
from ._numbers import real_array
from ._orientation import rotations
from ._recording import Recording, check_increasing, row

QuaternionOrder = Literal["xyzw", "wxyz"]
Frame = Literal["body", "world"]


def from_arrays(
    times: ArrayLike | Tensor,
    orientation: ArrayLike | Tensor,
    position: ArrayLike | Tensor | None = None,
    velocity: ArrayLike | Tensor | None = None,
    angular_velocity: ArrayLike | Tensor | None = None,
    controls: ArrayLike | Tensor | None = None,
    *,
    quaternion: QuaternionOrder | None = None,
    angular_velocity_frame: Frame | None = None,
    velocity_frame: Frame | None = None,
    control_space: StateSpace | None = None,
    project: bool = False,
    tol: float | None = None,
    dtype: torch.dtype = torch.float64,
    name: str = "recording",
) -> Recording:
    """Make a recording of a rigid body from arrays, stating the convention of each.

    The states are ``[R]`` or ``[R, omega]`` without a position, ``[x, R]`` or ``[x, R, v, omega]`` with one.
    ``R`` turns body into world coordinates, ``x`` and ``v`` are stored in the world frame, ``omega`` in the
    body frame.

    Args:
        times: Time stamps ``(T,)`` in seconds.
        orientation: Rotation matrices ``(T, 3, 3)`` or ``(T, 9)`` row by row, body to world, or quaternions
            ``(T, 4)``.
        position: Positions ``(T, 3)`` in the world frame, m.
        velocity: Velocities ``(T, 3)``, m/s; needs a position.
        angular_velocity: Angular velocities ``(T, 3)``, rad/s.
        controls: Controls ``(T-1, m)`` or ``(T, m)``, row k held over ``[t_k, t_{k+1}]``.
        quaternion: Order of the quaternion's entries, ``"xyzw"`` (scipy, ROS) or ``"wxyz"`` (MuJoCo); must be
            said for quaternions and only then.
        angular_velocity_frame: Frame of ``angular_velocity``, ``"body"`` or ``"world"``; must be said with
            it.
        velocity_frame: Frame of ``velocity``, ``"world"`` or ``"body"``; must be said with it.
        control_space: Layout of the controls with units and frame.
        project: Replace each orientation by the nearest rotation, however far it is.
        tol: How far a matrix may be from a rotation; ``None`` for the tolerance of ``lie.SO3``. Without
            ``project``, quaternions may be off unit length by 1e-6 or ``tol``, and are scaled to it.
        dtype: ``torch.float64`` or ``torch.float32``, of states and controls.
        name: Source of the numbers, used in messages.

    Returns:
        The recording.

    Raises:
        ValueError: If a convention is missing, a shape is wrong, or a number is; the message names row and
            column.
        TypeError: If an array is not made of real numbers.
    """
    fields = Fields(times, orientation, position, velocity, angular_velocity, controls)
    conventions = Conventions(
        quaternion, angular_velocity_frame, velocity_frame, control_space, project, tol, dtype, name
    )
    return assemble(fields, conventions)


@dataclass
class Fields:
    """Arrays as the user gave them."""

    times: Any
    orientation: Any
    position: Any = None
    velocity: Any = None
    angular_velocity: Any = None
    controls: Any = None


@dataclass(frozen=True)
class Conventions:
    """How the arrays are to be read; the keywords of ``from_arrays``."""

    quaternion: QuaternionOrder | None = None
    angular_velocity_frame: Frame | None = None
    velocity_frame: Frame | None = None
    control_space: StateSpace | None = None
    project: bool = False
    tol: float | None = None
    dtype: torch.dtype = torch.float64
    name: str = "recording"


def assemble(fields: Fields, how: Conventions, place: Place = row) -> Recording:
    """Convert arrays to the conventions of the library and join them to a recording.

    Args:
        fields: The arrays.
        how: Their conventions.
        place: Names a row, for messages.

    Returns:
        The recording.

    Raises:
        ValueError: If something is missing or wrong.
        TypeError: If an array is not made of real numbers.
    """
    _check_conventions(fields, how)
    if how.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"dtype: expected torch.float64 or torch.float32, got {how.dtype}")
    times = real_array(fields.times, "times", ("T",), how.name, place)
    length = len(times)
    if length < 2:
        raise ValueError(f"{how.name}: expected at least 2 rows, got {length}")
    check_increasing(times, how.name, place)

    def read(values: Any, what: str) -> Tensor | None:
        return None if values is None else real_array(values, what, (length, 3), how.name, place)

    rotation = rotations(fields.orientation, length, how, place)
    x, v, omega = (
        read(fields.position, "position"),
        read(fields.velocity, "velocity"),
        read(fields.angular_velocity, "angular_velocity"),
    )
    if v is not None and how.velocity_frame == "body":
        v = SO3.act(rotation, v)
    if omega is not None and how.angular_velocity_frame == "world":
        omega = SO3.act(rotation.mT, omega)
    blocks = {"x": x, "R": rotation, "v": v, "omega": omega}
    group = SO3 if x is None else SE3
    space = configuration_space(group) if omega is None else rigid_body_space(group)
    states = space.pack(**{key: block for key, block in blocks.items() if block is not None}).to(how.dtype)
    controls = None
    if fields.controls is not None:
        controls = real_array(fields.controls, "controls", ("T", "m"), how.name, place).to(how.dtype)
    exact = how.project or how.quaternion is not None
    tol = None if exact else how.tol
    return Recording(times, states, controls, space, how.control_space, tol, how.name)


def _check_conventions(fields: Fields, how: Conventions) -> None:
    """Refuse combinations that leave a convention to be guessed."""
    for what, frame, given in (
        ("angular_velocity_frame", how.angular_velocity_frame, fields.angular_velocity is not None),
        ("velocity_frame", how.velocity_frame, fields.velocity is not None),
    ):
        data = what.removesuffix("_frame")
        if given and frame not in ("body", "world"):
            raise ValueError(f"{what}: expected 'body' or 'world' to say the frame of {data}, got {frame!r}")
        if not given and frame is not None:
            raise ValueError(f"{what}: expected None without {data}, got {frame!r}")
    if how.quaternion not in (None, "xyzw", "wxyz"):
        raise ValueError(f"quaternion: expected 'xyzw' or 'wxyz', got {how.quaternion!r}")
    if fields.velocity is not None and fields.position is None:
        raise ValueError("velocity: expected a position with it; leave it out for a body that only turns")
    if fields.position is not None and (fields.velocity is None) != (fields.angular_velocity is None):
        missing = "velocity" if fields.velocity is None else "angular_velocity"
        raise ValueError(
            f"{missing}: a moving body needs both velocity and angular_velocity, or neither; {missing} is"
            " missing"
            " (estimate_velocities computes both from poses)"
        )
