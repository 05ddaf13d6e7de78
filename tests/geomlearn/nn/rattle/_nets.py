"""Double pendulums in Cartesian coordinates and in canonical angles, and networks on them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from geomlearn.nn import MLP, RattleNet
from integrators import ConstrainedHamiltonian

ROD = {"rod": "q1**2 + q2**2 - 1"}
RODS = {"upper": "q1**2 + q2**2 - 1", "lower": "(q3 - q1)**2 + (q4 - q2)**2 - 1"}
STEPS = (0.1, -0.04, 0.07)
H = 0.13


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net(**options: Any) -> RattleNet:
    """Three substeps on the double pendulum with random potentials of the size of one."""
    given = {"hidden": (8, 8), "fractions": [s / H for s in STEPS], "gain": 2.0, "generator": generator()}
    return RattleNet(8, RODS, H, **{**given, **options})


def true_chain(m1: float = 1.0, m2: float = 1.0) -> ConstrainedHamiltonian:
    h = "(p1**2 + p2**2)/(2*a) + (p3**2 + p4**2)/(2*b) + g*(a*q2 + b*q4)"
    return ConstrainedHamiltonian(h, RODS, parameters={"g": 9.81, "a": m1, "b": m2})


def cartesian(z: Tensor, mass: Tensor | float = 1.0) -> Tensor:
    """States ``(..., 8)`` from angles and their canonical momenta ``(..., 4)``."""
    angles, momenta = z[..., :2], z[..., 2:]
    q, slope = positions(angles), slopes(angles)
    inertia = slope.mT @ (torch.as_tensor(mass, dtype=z.dtype) * slope.mT).mT
    rates = torch.linalg.solve(inertia, momenta.unsqueeze(-1))
    return torch.cat((q, mass * (slope @ rates).squeeze(-1)), -1)


def canonical(x: Tensor) -> Tensor:
    """Angles to the downward vertical and their momenta ``(..., 4)`` of states ``(..., 8)``."""
    q, p = x[..., :4], x[..., 4:]
    first = torch.atan2(q[..., 0], -q[..., 1])
    second = torch.atan2(q[..., 2] - q[..., 0], q[..., 1] - q[..., 3])
    angles = torch.stack((first, second), -1)
    return torch.cat((angles, (slopes(angles).mT @ p.unsqueeze(-1)).squeeze(-1)), -1)


def positions(angles: Tensor) -> Tensor:
    (s1, s2), (c1, c2) = angles.sin().unbind(-1), angles.cos().unbind(-1)
    return torch.stack((s1, -c1, s1 + s2, -c1 - c2), -1)


def slopes(angles: Tensor) -> Tensor:
    (s1, s2), (c1, c2) = angles.sin().unbind(-1), angles.cos().unbind(-1)
    zero = torch.zeros_like(s1)
    columns = [torch.stack((c1, s1, c1, s1), -1), torch.stack((zero, zero, c2, s2), -1)]
    return torch.stack(columns, -1)


def starts(count: int, seed: int = 1, spread: float = 0.6) -> Tensor:
    z = spread * torch.randn(count, 4, generator=generator(seed), dtype=torch.float64)
    return cartesian(z)


def symplectic_defect(slope: Tensor) -> float:
    eye, zero = torch.eye(2, dtype=slope.dtype), torch.zeros(2, 2, dtype=slope.dtype)
    form = torch.cat((torch.cat((zero, eye), 1), torch.cat((-eye, zero), 1)))
    return float((slope.mT @ form @ slope - form).abs().max())


def fast_pendulum() -> Tensor:
    """At 0.3 rad with 10 rad/s: a flight of 0.15 s along the tangent is too long to come back from."""
    s, c = math.sin(0.3), math.cos(0.3)
    return torch.tensor([s, -c, 10 * c, 10 * s], dtype=torch.float64)


def flat() -> MLP:
    """A potential without a slope."""
    return MLP((2, 3, 1), gain=0.0, generator=generator())
