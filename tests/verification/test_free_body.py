"""The free rigid body: orders, invariants over 1e5 steps, single precision, the Cayley kinetic term."""

from __future__ import annotations

import pytest
import torch

from integrators import RigidBodyIntegrator, rollout
from lie import SO3

from ..integrators.variational._bodies import (
    DOUBLE,
    FREE_INERTIA,
    angle_between,
    draws,
    exact_top,
    free_start,
    orders,
    rotations,
)

STEPS = (50, 100, 200, 400, 800)
OBSERVED = ["energy", "momentum", "orthogonality"]


@pytest.fixture(scope="module")
def truth():
    return exact_top(5.0)


@pytest.fixture(scope="module")
def finals():
    """States at T = 5 by the trace term at each step length, in compiled rollouts."""
    flow = RigidBodyIntegrator(SO3, 1.0, FREE_INERTIA)
    return [rollout(flow.with_step(5.0 / n), free_start(), n, every=n, observe=OBSERVED).final for n in STEPS]


def test_order_and_errors(truth, finals):
    errors = [angle_between(x, truth) for x in finals]
    assert errors == pytest.approx([1.52e-2, 3.78e-3, 9.44e-4, 2.36e-4, 5.90e-5], rel=6e-3)
    assert orders(errors) == pytest.approx([2.007, 2.002, 2.0004, 2.0001], abs=6e-4)
    rates = [float((x[9:] - truth[9:]).norm()) for x in finals]
    assert all(1.99 <= order <= 2.02 for order in orders(rates))


def test_order_and_errors_of_the_cayley_term(truth, finals):
    flow = RigidBodyIntegrator(SO3, 1.0, FREE_INERTIA, kinetic="cayley")
    path = [flow.with_step(5.0 / n).unroll(free_start(), steps=n)[-1] for n in STEPS[:3]]
    errors = [angle_between(x, truth) for x in path]
    assert errors[0] == pytest.approx(3.5e-2, rel=0.02)
    assert orders(errors) == pytest.approx([1.985, 1.996], abs=1e-3)
    assert errors[-1] / angle_between(finals[2], truth) == pytest.approx(2.3, abs=0.1)


@pytest.mark.parametrize("h", [0.1, 0.02])
def test_hundred_thousand_steps_keep_every_invariant(h):
    flow = RigidBodyIntegrator(SO3, h, FREE_INERTIA)
    run = rollout(flow, free_start(), 100_000, every=500, observe=OBSERVED)
    energy, momentum = run.observations["energy"], run.observations["momentum"]
    assert (energy / energy[0] - 1).abs().max() <= 1e-12
    assert ((momentum - momentum[0]).norm(dim=-1) / momentum[0].norm()).max() <= 2e-13
    assert run.observations["orthogonality"].max() <= 4e-13
    assert (torch.linalg.det(run.part("R")) - 1).abs().max() <= 2e-13
    size = (run.part("omega") @ FREE_INERTIA).norm(dim=-1)
    assert (size / size[0] - 1).abs().max() <= 5e-14


def test_energy_of_the_cayley_term_oscillates_with_the_square_of_the_step():
    swings = []
    for h in (0.1, 0.05):
        flow = RigidBodyIntegrator(SO3, h, FREE_INERTIA, kinetic="cayley")
        energy = flow.energy(flow.unroll(free_start(), steps=round(40 / h)))
        swings.append(float((energy / flow.energy(free_start()) - 1).abs().max()))
    assert swings[0] == pytest.approx(6.8e-4, rel=0.1)
    assert swings[0] / swings[1] == pytest.approx(4.0, rel=0.05)


def test_errors_in_single_precision_grow_linearly_at_most():
    flow = RigidBodyIntegrator(SO3, 0.05, FREE_INERTIA.float())
    x = torch.cat((rotations(32).flatten(-2), draws(32, 3)), dim=-1).float()
    energy, momentum = flow.energy(x), flow.momentum(x)
    worst = []
    with torch.no_grad():
        for _ in range(3):
            for _ in range(300):
                x = flow(x)
            worst.append(
                max(
                    float(flow.orthogonality(x).max()),
                    float((flow.energy(x) / energy - 1).abs().max()),
                    float(((flow.momentum(x) - momentum).norm(dim=-1) / momentum.norm(dim=-1)).max()),
                )
            )
    assert all(1e-7 <= error <= 6e-8 * 300 * (k + 1) for k, error in enumerate(worst))


def test_explicit_runge_kutta_leaves_the_group():
    """The same body by RK4, for contrast: attitude and energy drift where the map above keeps them."""
    R, omega = torch.eye(3, dtype=DOUBLE), free_start()[9:]

    def slope(R, w):
        return R @ SO3.hat(w), torch.linalg.solve(FREE_INERTIA, torch.linalg.cross(FREE_INERTIA @ w, w))

    h = 0.1
    for _ in range(2000):
        k1 = slope(R, omega)
        k2 = slope(R + h / 2 * k1[0], omega + h / 2 * k1[1])
        k3 = slope(R + h / 2 * k2[0], omega + h / 2 * k2[1])
        k4 = slope(R + h * k3[0], omega + h * k3[1])
        R = R + h / 6 * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0])
        omega = omega + h / 6 * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1])
    assert SO3.residual(R) >= 1e-5
