"""The planar pendulum of the LieFVIN paper, made again from its recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from integrators import StateSpace, rigid_body_space, vector
from lie import SO3

from ._recording import Recording, windows
from ._windows import Windows


def planar_pendulum_windows(
    seed: int,
    *,
    trajectories: int = 64,
    samples: int = 20,
    length: int = 10,
    h: float = 0.02,
    controls: Sequence[float] = (0.0, -1.0, 1.0, -2.0, 2.0),
) -> tuple[Windows, Windows]:
    """Make training and test windows of the driven pendulum φ'' = -15 sin φ + 3 u as a body on SO(3).

    The recipe is that of Duruisseaux, Duong, Leok, Atanasov (L4DC 2023, section 5.1): in the model of a rigid
    body J₃₃ = 1/3, U = 5 (1 - cos φ), and the torque about the third axis is u. Starts are uniform, φ in [-π,
    π] and φ' in [-1, 1]; every start is driven by every constant u; the first sample lies one step after the
    start. With the defaults there are 5 × 64 × 11 = 3520 windows in each set. The trajectories are exact to
    about 1e-12.

    Args:
        seed: Seed of the starts.
        trajectories: Starts per set; the two sets share none.
        samples: Samples per trajectory.
        length: Samples per window; windows start at every sample.
        h: Time between samples in seconds.
        controls: Constant torques u.

    Returns:
        Training and test windows with states ``[R, omega]``, ``R`` = rotation by φ about the third axis and
        ``omega`` = (0, 0, φ'), and controls ``(N, length-1, 1)``.

    Example:
        >>> train, test = planar_pendulum_windows(0, trajectories=2)
        >>> train.states.shape, test.controls.shape
        (torch.Size([110, 10, 12]), torch.Size([110, 9, 1]))
    """
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(2, 2 * trajectories, generator=generator, dtype=torch.float64)
    phi, rate = (2 * draws[0] - 1) * math.pi, 2 * draws[1] - 1
    sets = [
        windows(
            planar_pendulum_recordings(phi[part], rate[part], samples=samples, h=h, controls=controls),
            length=length,
        )
        for part in (slice(0, trajectories), slice(trajectories, None))
    ]
    return sets[0], sets[1]


def planar_pendulum_recordings(
    phi: Tensor,
    rate: Tensor,
    *,
    samples: int = 20,
    h: float = 0.02,
    controls: Sequence[float] = (0.0, -1.0, 1.0, -2.0, 2.0),
) -> list[Recording]:
    """Integrate the pendulum φ'' = -15 sin φ + 3 u from given starts under constant torques.

    Args:
        phi: Angles ``(K,)`` at time 0, rad.
        rate: Angular velocities ``(K,)`` at time 0, rad/s.
        samples: Samples per recording, at ``h, 2h, ...``.
        h: Time between samples in seconds.
        controls: Constant torques u; each drives every start.

    Returns:
        One recording per torque and start, in the order of the torques, then of the starts.

    Raises:
        ValueError: If a number is out of range or the shapes differ.
    """
    if phi.ndim != 1 or phi.shape != rate.shape or len(phi) == 0 or not controls:
        raise ValueError(
            f"phi, rate, controls: expected two tensors (K,), K >= 1, and one or more torques, got"
            f" {tuple(phi.shape)}, {tuple(rate.shape)}, {controls}"
        )
    if samples < 2 or not h > 0:
        raise ValueError(
            f"samples, h: expected at least 2 samples and a positive step, got {samples} and {h}"
        )
    torque = torch.tensor(controls, dtype=torch.float64).repeat_interleave(len(phi))
    angle, speed = _solve(
        phi.double().repeat(len(controls)), rate.double().repeat(len(controls)), torque, samples, h
    )
    space = rigid_body_space(SO3)
    axis = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    states = space.pack(R=SO3.exp(angle.unsqueeze(-1) * axis), omega=speed.unsqueeze(-1) * axis)
    times = h * torch.arange(1, samples + 1, dtype=torch.float64)
    torque_space = StateSpace(vector("u", 1, unit="N m", frame="body"))
    return [
        Recording(
            times, one, u.expand(samples - 1, 1).clone(), space, torque_space, name=f"planar pendulum {k}"
        )
        for k, (one, u) in enumerate(zip(states, torque, strict=True))
    ]


def _solve(phi: Tensor, rate: Tensor, torque: Tensor, samples: int, h: float) -> tuple[Tensor, Tensor]:
    """Angles and rates ``(K, samples)`` by an eighth-order method, restarted at each sample."""
    push = 3.0 * torque.numpy()
    count = len(push)

    def field(_: float, y: np.ndarray) -> np.ndarray:
        return np.concatenate([y[count:], push - 15.0 * np.sin(y[:count])])

    y = np.concatenate([phi.numpy(), rate.numpy()])
    samples_of_y = []
    for _ in range(samples):
        # Samples at the ends of steps: the solver's interpolant is less accurate than its steps.
        y = solve_ivp(field, (0.0, h), y, method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
        samples_of_y.append(y)
    path = torch.from_numpy(np.stack(samples_of_y, axis=-1))
    return path[:count], path[count:]
