"""Recordings at equal time steps, and velocities estimated from poses."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.interpolate import CubicHermiteSpline, CubicSpline
from torch import Tensor

from integrators import StateSpace, configuration_space, rigid_body_space
from lie import SE3, SO3

from ._recording import Recording

_LARGEST_TURN = math.pi / 2


def resample(recording: Recording, h: float) -> Recording:
    """Interpolate a recording at equal steps, from its first stamp on.

    Group elements are interpolated along geodesics and vectors linearly, both with an error of second order
    in the spacing of the stamps; a position is interpolated by cubics, through its velocities where they are
    part of the state. A new control is the mean, over the new step, of the controls held in the recording.

    Args:
        recording: The recording; its stamps need not be equally spaced.
        h: The new step in seconds.

    Returns:
        The recording at ``t_0, t_0 + h, ...`` up to its last stamp.

    Raises:
        ValueError: If ``h`` is not positive or longer than the recording.
    """
    old = recording.times
    span = float(old[-1] - old[0])
    if not (math.isfinite(h) and 0 < h <= span):
        raise ValueError(
            f"h: expected a positive step of at most {span:g} s, the length of the recording, got {h}"
        )
    count = math.floor(span / h * (1 + 1e-12) + 1e-9)
    new = (old[0] + h * torch.arange(count + 1, dtype=torch.float64)).clamp(max=float(old[-1]))
    left = (torch.searchsorted(old, new, right=True) - 1).clamp(0, len(recording) - 2)
    share = ((new - old[left]) / (old[left + 1] - old[left])).to(recording.states.dtype)
    blocks = recording.space.view(recording.states)
    fresh = {}
    for part in recording.space.parts:
        block = blocks[part.name]
        if part.manifold is not None:
            fresh[part.name] = part.manifold.interpolate(block[left], block[left + 1], share)
        elif part.name == "x" and len(recording) > 3:
            fresh[part.name] = _cubic(old, block, blocks.get("v"), new)
        else:
            weight = share.reshape(-1, *(1 for _ in part.shape))
            fresh[part.name] = torch.lerp(block[left], block[left + 1], weight)
    controls = None if recording.controls is None else _mean_held(old, recording.controls, new)
    return Recording(
        new,
        recording.space.pack(**fresh),
        controls,
        recording.space,
        recording.control_space,
        recording.tol,
        recording.name,
    )


def _cubic(old: Tensor, x: Tensor, v: Tensor | None, new: Tensor) -> Tensor:
    """Positions ``(K, 3)`` at new times by cubics."""
    # Seconds since the start: spline coefficients in absolute stamps would lose digits.
    at, start = old.numpy() - old[0].item(), old[0].item()
    if v is None:
        curve = CubicSpline(at, x.double().numpy())
    else:
        curve = CubicHermiteSpline(at, x.double().numpy(), v.double().numpy())
    return torch.from_numpy(np.asarray(curve(new.numpy() - start))).to(x.dtype)


def _mean_held(old: Tensor, controls: Tensor, new: Tensor) -> Tensor:
    """Means ``(K-1, m)`` of held controls over new steps."""
    steps = old.diff().unsqueeze(-1)
    impulse = torch.cat(
        [torch.zeros(1, controls.shape[1], dtype=torch.float64), (steps * controls.double()).cumsum(0)]
    )
    left = (torch.searchsorted(old, new, right=True) - 1).clamp(0, len(old) - 2)
    at = impulse[left] + (new - old[left]).unsqueeze(-1) * controls.double()[left]
    return (at.diff(dim=0) / new.diff().unsqueeze(-1)).to(controls.dtype)


def estimate_velocities(recording: Recording) -> Recording:
    """Estimate velocities from poses, by differences that are central in time and taken on the group.

    They are estimates, exact to second order in the spacing of the stamps, and noise of size e in the poses
    becomes noise of about ``e / h`` in them. The first and last rows, which have no neighbour on one side,
    are dropped.

    Args:
        recording: Poses, with states ``[R]`` or ``[x, R]``.

    Returns:
        The recording without its first and last row, with states ``[R, omega]`` or ``[x, R, v, omega]``;
        ``v`` in the world frame, ``omega`` in the body frame.

    Raises:
        ValueError: If the states are not poses, there are fewer than four rows, or the body turns more than a
            quarter turn between two rows, so that its way cannot be told.
    """
    spaces: dict[StateSpace, StateSpace] = {
        configuration_space(group): rigid_body_space(group) for group in (SO3, SE3)
    }
    if recording.space not in spaces:
        raise ValueError(
            f"recording: expected poses, with states out of {list(spaces)}, got {recording.space}"
        )
    if len(recording) < 4:
        raise ValueError(f"recording: expected at least 4 rows, got {len(recording)}")
    blocks = recording.space.view(recording.states)
    turns = SO3.minus(blocks["R"][1:], blocks["R"][:-1])
    angle = turns.norm(dim=-1)
    worst = int(angle.argmax())
    if float(angle[worst]) > _LARGEST_TURN:
        raise ValueError(
            f"{recording.name}: between row {worst} and row {worst + 1} the body turns by"
            f" {float(angle[worst]):.3g} rad;"
            " sample faster, or the way between them cannot be told"
        )
    steps = recording.times.diff().to(recording.states.dtype).unsqueeze(-1)
    # Both increments are in the frame of the middle row: log(R_{k-1}^T R_k) = -log(R_k^T R_{k-1}).
    motion = {"omega": _central(turns, steps)}
    if "x" in blocks:
        motion["v"] = _central(blocks["x"].diff(dim=0), steps)
    inner = {key: block[1:-1] for key, block in blocks.items()}
    space = spaces[recording.space]
    return Recording(
        recording.times[1:-1],
        space.pack(**inner, **motion),
        None if recording.controls is None else recording.controls[1:-1],
        space,
        recording.control_space,
        recording.tol,
        f"{recording.name} (velocities estimated)",
    )


def _central(increments: Tensor, steps: Tensor) -> Tensor:
    """Slopes ``(T-2, 3)`` of parabolas through three points with increments ``(T-1, 3)``."""
    rates = increments / steps
    before, after = steps[:-1], steps[1:]
    return (after * rates[:-1] + before * rates[1:]) / (before + after)
