"""Bodies of the tests, and their motion by an independent solver: scipy's DOP853 at 1e-13."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from integrators import LinearPotential, RigidBodyIntegrator
from lie import SO3

DOUBLE = torch.float64
MOMENTS = torch.tensor([1.0, 2.0, 2.8], dtype=DOUBLE)
FREE_INERTIA = torch.diag(MOMENTS)
SPIN = torch.tensor([0.5, 1.0, 0.2], dtype=DOUBLE)
FULL_INERTIA = torch.tensor([[1.0, 0.1, -0.05], [0.1, 2.0, 0.2], [-0.05, 0.2, 2.8]], dtype=DOUBLE)
WEIGHT = 2.0
ARM = torch.tensor([0.3, 0.2, 1.0], dtype=DOUBLE)


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def rotations(*shape: int, seed: int = 0) -> Tensor:
    return SO3.random(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def free_start() -> Tensor:
    return torch.cat((torch.eye(3, dtype=DOUBLE).flatten(), SPIN))


def hanging(R: Tensor) -> Tensor:
    """The heavy top's potential ``2 e3 . R b`` as a plain function."""
    return WEIGHT * (R[..., 2, :] * ARM).sum(-1)


def weight() -> LinearPotential:
    """The same in closed form."""
    slope = torch.zeros(3, 3, dtype=DOUBLE)
    slope[2] = WEIGHT * ARM
    return LinearPotential(slope)


def states(flow: RigidBodyIntegrator, batch: int, seed: int = 0, speed: float = 1.0) -> Tensor:
    """Random states of a flow on SO(3) or SE(3)."""
    size = 6 if flow.translates else 3
    velocity = speed * draws(batch, size, seed=seed)
    rotation = rotations(batch, seed=seed).flatten(-2)
    if flow.translates:
        return torch.cat((draws(batch, 3, seed=seed + 1), rotation, velocity), dim=-1)
    return torch.cat((rotation, velocity), dim=-1)


def exact_top(
    time: float,
    inertia: Tensor = FREE_INERTIA,
    weight_arm: Tensor | None = None,
    torque: Callable[[float, np.ndarray], np.ndarray] | None = None,
) -> Tensor:
    """State ``(R, omega)`` at a time of a body that starts from ``I`` with ``SPIN``.

    The potential is ``e3 . R weight_arm``; ``torque`` is an additional body torque of time and ``omega``.
    """
    J = inertia.numpy()
    arm = np.zeros(3) if weight_arm is None else weight_arm.numpy()

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        R, w = y[:9].reshape(3, 3), y[9:]
        hat = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])
        load = np.cross(R.T @ np.array([0, 0, 1.0]), arm)
        load = load if torque is None else load + torque(t, w)
        return np.concatenate(((R @ hat).ravel(), np.linalg.solve(J, np.cross(J @ w, w) + load)))

    solution = solve_ivp(slope, (0, time), free_start().numpy(), "DOP853", rtol=1e-13, atol=1e-13)
    return torch.as_tensor(solution.y[:, -1])


def angle_between(x: Tensor, truth: Tensor) -> float:
    """Angle between the attitudes of two states ``(R, ...)``, rad."""
    return float(SO3.distance(x[:9].reshape(3, 3), truth[:9].reshape(3, 3)))


def orders(errors: list[float]) -> list[float]:
    """Orders of convergence from the errors at successively halved steps."""
    return [float(np.log2(a / b)) for a, b in pairwise(errors)]
