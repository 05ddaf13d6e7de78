"""The unit pendulum in Cartesian coordinates, in the forms that the projections take."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from integrators import AccelerationField, Hamiltonian, VectorField

GRAVITY = 9.81
ROD = {"length": "q1**2 + q2**2 - 1"}
STACKED = ["q1**2 + q2**2 - 1", "q1*v1 + q2*v2"]


def state(angle: float, rate: float) -> Tensor:
    """Positions and velocities at an angle from the downward vertical."""
    s, c = math.sin(angle), math.cos(angle)
    return torch.tensor([s, -c, c * rate, s * rate], dtype=torch.float64)


def states(pairs: Sequence[tuple[float, float]] = ((0.7, 1.3), (2.0, 0.0), (-1.1, 2.5))) -> Tensor:
    """Several of them."""
    return torch.stack([state(*pair) for pair in pairs])


def exact(x: Tensor) -> Tensor:
    """The field of the pendulum itself: gravity and the force of the rod."""
    q, v = x[..., :2], x[..., 2:]
    pull = (v * v).sum(-1, keepdim=True) - GRAVITY * q[..., 1:]
    weight = torch.tensor([0.0, -GRAVITY], dtype=x.dtype)
    return torch.cat((v, weight - pull * q / (q * q).sum(-1, keepdim=True)), -1)


def raw() -> AccelerationField:
    """Free fall."""
    return AccelerationField(2, ["0", f"-{GRAVITY}"])


def hamiltonian() -> Hamiltonian:
    """Free fall, with momenta."""
    return Hamiltonian(f"(p1**2 + p2**2)/2 + {GRAVITY}*q2")


def disturbed(size: float) -> VectorField:
    """The pendulum with an error of the accelerations, as a network would have."""
    pull = f"(v1**2 + v2**2 - {GRAVITY}*q2)/(q1**2 + q2**2)"
    return VectorField(
        {
            "q1": f"v1 + {size}*sin(q2 + v1)",
            "q2": f"v2 + {size}*cos(2*q1)",
            "v1": f"-q1*{pull} + {size}*sin(v2 + q1)",
            "v2": f"-{GRAVITY} - q2*{pull} + {size}*cos(q1*v2)",
        }
    )
