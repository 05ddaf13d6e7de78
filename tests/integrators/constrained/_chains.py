"""Pendulums in Cartesian coordinates and in angles."""

from __future__ import annotations

import numpy as np
import torch
from scipy.integrate import solve_ivp

from integrators import ConstrainedHamiltonian

GRAVITY = 9.81
BALL = ConstrainedHamiltonian(
    "(p1**2 + p2**2 + p3**2)/2 + q3", ["q1**2 + q2**2 + q3**2 - 1"], invariants={"spin": "q1*p2 - q2*p1"}
)
BALL_START = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.6, 0.2], dtype=torch.float64)


def chain(n: int) -> ConstrainedHamiltonian:
    """Unit masses on unit rods in the plane, positions x1, y1, x2, y2, ..."""
    q = [f"q{k + 1}" for k in range(2 * n)]
    kinetic = " + ".join(f"p{k + 1}**2/2" for k in range(2 * n))
    weight = " + ".join(f"g*{y}" for y in q[1::2])
    before = [("0", "0"), *zip(q[:-2:2], q[1:-2:2], strict=True)]
    rods = [
        f"(({x} - {a})**2 + ({y} - {b})**2 - 1)/2"
        for (x, y), (a, b) in zip(zip(q[::2], q[1::2], strict=True), before, strict=True)
    ]
    return ConstrainedHamiltonian(f"{kinetic} + {weight}", rods, parameters={"g": GRAVITY})


def cartesian(angles: np.ndarray, rates: np.ndarray) -> torch.Tensor:
    """State of a chain from the angles to the downward vertical."""
    x, y = np.cumsum(np.sin(angles)), -np.cumsum(np.cos(angles))
    u, v = np.cumsum(np.cos(angles) * rates), np.cumsum(np.sin(angles) * rates)
    return torch.from_numpy(np.concatenate([np.stack([x, y], 1).ravel(), np.stack([u, v], 1).ravel()]))


def exact_end(angles: list[float], time: float) -> torch.Tensor:
    """The chain that starts at rest, integrated in angles by DOP853 at 1e-13."""
    n = len(angles)
    count = n - np.maximum.outer(np.arange(n), np.arange(n))

    def field(_: float, z: np.ndarray) -> np.ndarray:
        theta, rate = z[:n], z[n:]
        apart = theta[:, None] - theta[None, :]
        push = -(count * np.sin(apart)) @ rate**2 - GRAVITY * (n - np.arange(n)) * np.sin(theta)
        return np.concatenate([rate, np.linalg.solve(count * np.cos(apart), push)])

    start = np.concatenate([angles, np.zeros(n)])
    end = solve_ivp(field, (0, time), start, method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    return cartesian(end[:n], end[n:])
