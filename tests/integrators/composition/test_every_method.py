"""Every symmetric method of the library, raised to order 4 with steps forth and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from integrators import (
    AverageVectorField,
    ConstrainedHamiltonian,
    FlowMap,
    Gauss2,
    GonzalezMidpoint,
    GroupVariationalIntegrator,
    Hamiltonian,
    LobattoPair,
    PlanarIntegrator,
    Rattle,
    ReversibleVariableStep,
    RigidBodyIntegrator,
    RigidBodySplitting,
    SymmetricItohAbe,
    Tao,
    Verlet,
    symmetric_composition,
)
from lie import SE3, SO3

from .._flows import top_potential

DOUBLE = torch.float64
COUPLED = Hamiltonian("p**2*(1 + q**2)/2 + q**2/2")
HENON = Hamiltonian("(p1**2 + p2**2)/2 + (q1**2 + q2**2)/2 + q1**2*q2 - q2**3/3")
BALL = ConstrainedHamiltonian("(p1**2 + p2**2 + p3**2)/2 + q3", ["q1**2 + q2**2 + q3**2 - 1"])
VARIABLE = ReversibleVariableStep(HENON, 0.1, "1/(1 + q1**2 + q2**2)")
MOMENTS = torch.tensor([2.0, 1.0, 2 / 3], dtype=DOUBLE)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE)


EYE = torch.eye(3, dtype=DOUBLE).flatten()
SPIN = torch.cat((EYE, tensor(0.3, -0.2, 0.5)))
FLIGHT = torch.cat((tensor(0.1, 0.0, -0.3), EYE, tensor(0.2, 0.1, 0.0, 0.3, -0.2, 0.5)))
PLANAR = tensor(0.1, -0.3, 0.4, 0.2, 0.1, 0.5)
POINT = tensor(0.1, -0.2, 0.39, 0.05)


def pull(x: Tensor, r: Tensor) -> Tensor:
    return 0.5 * (x * x).sum(-1) + 0.4 * (x * r[..., 0]).sum(-1)


def pull_planar(x: Tensor, phi: Tensor) -> Tensor:
    return 0.5 * (x * x).sum(-1) + 0.4 * x[..., 0] * torch.cos(phi)


CASES: dict[str, tuple[Callable[[float], FlowMap], Tensor]] = {
    "Verlet": (lambda h: Verlet(HENON, h), POINT),
    "Gauss2": (lambda h: Gauss2(COUPLED, h), tensor(0.8, 0.3)),
    "LobattoPair": (lambda h: LobattoPair(COUPLED, h, stages=2), tensor(0.8, 0.3)),
    "Tao": (lambda h: Tao(COUPLED, h, omega=2.0, extended=True), tensor(0.8, 0.3, 0.8, 0.3)),
    "GonzalezMidpoint": (lambda h: GonzalezMidpoint(HENON, h), POINT),
    "AverageVectorField": (lambda h: AverageVectorField(HENON, h), POINT),
    "SymmetricItohAbe": (lambda h: SymmetricItohAbe(HENON, h), POINT),
    "Rattle": (lambda h: Rattle(BALL, h), tensor(1.0, 0.0, 0.0, 0.0, 0.6, 0.2)),
    "RigidBodyIntegrator": (
        lambda h: RigidBodyIntegrator(SE3, h, torch.diag(MOMENTS), pull, mass=1.3),
        FLIGHT,
    ),
    "GroupVariationalIntegrator": (
        lambda h: GroupVariationalIntegrator(SO3, h, torch.diag(MOMENTS), lambda r: 0.7 * r[..., 2, 2]),
        SPIN,
    ),
    "PlanarIntegrator": (lambda h: PlanarIntegrator(h, 0.7, pull_planar, mass=1.3), PLANAR),
    "RigidBodySplitting": (lambda h: RigidBodySplitting(MOMENTS, h, potential=top_potential()), SPIN),
    "ReversibleVariableStep": (VARIABLE.with_step, VARIABLE.initial(POINT)),
}


@pytest.mark.parametrize("name", list(CASES))
def test_suzuki_raises_it_to_order_four(name: str) -> None:
    """By the differences between steps h, h/2 and h/4 over one unit of time."""
    make, start = CASES[name]
    ends = []
    for count in (4, 8, 16):
        flow, x = symmetric_composition(make(1.0 / count), "Suzuki4"), start
        for _ in range(count):
            x = flow(x)
        ends.append(x)
    coarse, fine = (float((a - b).abs().max()) for a, b in pairwise(ends))
    assert fine > 1e-12
    assert math.log2(coarse / fine) == pytest.approx(4, abs=0.4)
    assert flow.order == 4
    assert flow.symmetric
    back = flow.with_step(-flow.h)(flow(start))
    torch.testing.assert_close(back, start, rtol=0, atol=1e-12)
    base = make(0.1)
    assert (flow.symplectic, flow.reversible) == (base.symplectic, base.reversible)
    assert flow.energy_preserving == base.energy_preserving
