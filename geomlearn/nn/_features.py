"""What a network sees of a configuration."""

from __future__ import annotations

import torch
from torch import Tensor

from integrators.kernels import KernelBuilder, Rows
from lie import SO3


def matrix_features(q: tuple[Tensor, ...]) -> Tensor:
    """The nine entries of ``R``, after ``x`` where there is one.

    Args:
        q: ``(R,)`` or ``(x, R)``.

    Returns:
        ``(..., 9)`` or ``(..., 12)``.
    """
    flat = q[-1].flatten(-2)
    return flat if len(q) == 1 else torch.cat((q[0], flat), dim=-1)


def quaternion_features(q: tuple[Tensor, ...], sign: float) -> Tensor:
    """The unit quaternion (xyzw) of ``R`` or its negative, after ``x`` where there is one.

    A function of the rotation results only from a mean over both signs.

    Args:
        q: ``(R,)`` or ``(x, R)``.
        sign: 1 or -1.

    Returns:
        ``(..., 4)`` or ``(..., 7)``.
    """
    quaternion = sign * SO3.to_quaternion(q[-1])
    return quaternion if len(q) == 1 else torch.cat((q[0], quaternion), dim=-1)


def torque_of_quaternion_slope(quaternion: Tensor, slope: Tensor) -> Tensor:
    """Body torque ``-dU/dR`` from the derivative with respect to the quaternion.

    A body rotation by ``eta`` moves the quaternion by ``q * (eta, 0) / 2``.

    Args:
        quaternion: Unit quaternions xyzw ``(..., 4)``.
        slope: ``dU/dq`` ``(..., 4)``.

    Returns:
        Torques ``(..., 3)``.
    """
    u, w = quaternion[..., :3], quaternion[..., 3:]
    slope_u, slope_w = slope[..., :3], slope[..., 3:]
    return -0.5 * (w * slope_u + torch.linalg.cross(slope_u, u) - slope_w * u)


def slope_of_torque(rotation: Tensor, torque: Tensor) -> Tensor:
    """A gradient ``dU/dR`` with a given body torque, tangent to the group: ``-R S(torque) / 2``.

    Args:
        rotation: ``(..., 3, 3)``.
        torque: ``(..., 3)``.

    Returns:
        ``(..., 3, 3)``.
    """
    return 0.5 * torch.linalg.cross(torque.unsqueeze(-2), rotation)


def emit_quaternion(builder: KernelBuilder, rotation: Rows, sign_rows: tuple[Rows, Rows]) -> None:
    """Add kernel code for the unit quaternion of ``R`` and its negative.

    Args:
        builder: The kernel under construction.
        rotation: Rows of ``R``.
        sign_rows: Four rows each for ``q`` and ``-q``.
    """
    r = [f"@{row}" for row in rotation]
    trace = f"({r[0]} + {r[4]} + {r[8]})"
    skew = (f"({r[7]} - {r[5]})", f"({r[2]} - {r[6]})", f"({r[3]} - {r[1]})")
    pivot_w = (*skew, f"1.0 + {trace}")
    pivot_x = (f"1.0 + {r[0]} - {r[4]} - {r[8]}", f"{r[1]} + {r[3]}", f"{r[2]} + {r[6]}", skew[0])
    pivot_y = (f"{r[1]} + {r[3]}", f"1.0 - {r[0]} + {r[4]} - {r[8]}", f"{r[5]} + {r[7]}", skew[1])
    pivot_z = (f"{r[2]} + {r[6]}", f"{r[5]} + {r[7]}", f"1.0 - {r[0]} - {r[4]} + {r[8]}", skew[2])
    lines = [f"best = max(max({trace}, {r[0]}), max({r[4]}, {r[8]}))"]
    for k in range(4):
        lines.append(
            f"q{k} = ({pivot_w[k]}) if {trace} == best else (({pivot_x[k]}) if {r[0]} == best"
            f" else (({pivot_y[k]}) if {r[4]} == best else ({pivot_z[k]})))"
        )
    lines.append("scale = 1.0 / math.sqrt(q0 * q0 + q1 * q1 + q2 * q2 + q3 * q3)")
    for k in range(4):
        lines.append(f"@{sign_rows[0][k]} = q{k} * scale\n@{sign_rows[1][k]} = -q{k} * scale")
    builder.lanes(*lines)
