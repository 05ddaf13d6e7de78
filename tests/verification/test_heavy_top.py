"""The heavy top: orders with and without forces, drift, symplecticity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from integrators import RigidBodyIntegrator, rollout
from lie import SO3

from ..integrators.variational._bodies import (
    ARM,
    DOUBLE,
    FREE_INERTIA,
    SPIN,
    WEIGHT,
    angle_between,
    exact_top,
    free_start,
    orders,
    rotations,
    weight,
)

STEPS = (40, 80, 160)
OBSERVED = ["energy", "momentum", "orthogonality"]
TORQUE = torch.tensor([0.4, -0.3, 0.5], dtype=DOUBLE)
EYE = torch.eye(3, dtype=DOUBLE)


def errors(truth: Tensor, inputs=None, **options) -> list[float]:
    """Angles to the truth at T = 2; ``inputs`` maps the mid-times of the steps to controls."""
    flow = RigidBodyIntegrator(SO3, 1.0, FREE_INERTIA, weight(), **options)
    found = []
    for n in STEPS:
        h = 2.0 / n
        u = None if inputs is None else inputs((torch.arange(n, dtype=DOUBLE) + 0.5) * h)
        with torch.no_grad():
            found.append(angle_between(flow.with_step(h).unroll(free_start(), u, n)[-1], truth))
    return found


def test_order_two_with_symmetric_weights():
    found = errors(exact_top(2.0, weight_arm=WEIGHT * ARM))
    assert found == pytest.approx([5.15e-3, 1.28e-3, 3.20e-4], rel=3e-3)
    assert all(1.99 <= order <= 2.01 for order in orders(found))


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_order_one_with_one_sided_weights(alpha):
    found = errors(exact_top(2.0, weight_arm=WEIGHT * ARM), alpha=alpha)
    assert all(0.97 <= order <= 1.05 for order in orders(found))


@pytest.mark.parametrize(("split", "low", "high"), [(0.5, 1.98, 2.02), (0.0, 0.85, 1.2), (1.0, 0.85, 1.2)])
def test_order_with_a_constant_body_torque(split, low, high):
    truth = exact_top(2.0, weight_arm=WEIGHT * ARM, torque=lambda t, w: TORQUE.numpy())
    found = errors(truth, lambda t: TORQUE.expand(len(t), 3), input_gain=EYE, force_split=split)
    assert all(low <= order <= high for order in orders(found))


def test_order_two_with_a_torque_sampled_at_mid_step():
    truth = exact_top(2.0, weight_arm=WEIGHT * ARM, torque=lambda t, w: TORQUE.numpy() * np.cos(t))
    found = errors(truth, lambda t: TORQUE * t.cos()[:, None], input_gain=EYE)
    assert all(1.98 <= order <= 2.02 for order in orders(found))


@pytest.mark.parametrize("kinetic", ["trace", "cayley"])
def test_order_two_with_damping(kinetic):
    truth = exact_top(2.0, weight_arm=WEIGHT * ARM, torque=lambda t, w: -0.3 * w)
    found = errors(truth, dissipation=0.3 * EYE, kinetic=kinetic)
    assert all(1.98 <= order <= 2.02 for order in orders(found))
    if kinetic == "trace":
        assert found == pytest.approx([3.23e-3, 8.05e-4, 2.01e-4], rel=3e-3)


def test_energy_does_not_drift_over_twenty_thousand_steps():
    flow = RigidBodyIntegrator(SO3, 0.05, FREE_INERTIA, weight())
    run = rollout(flow, free_start(), 20_000, observe=OBSERVED)
    energy, momentum = run.observations["energy"], run.observations["momentum"]
    assert float(energy[0]) == pytest.approx(3.181, abs=5e-4)
    deviation = energy - energy[0]
    assert deviation.abs().max() == pytest.approx(1.64e-2, rel=0.03)
    first, last = (float(part.square().mean().sqrt()) for part in (deviation[:2000], deviation[-2000:]))
    assert first == pytest.approx(5.1e-3, rel=0.05)
    assert last <= 1.5 * first
    drift = np.polyfit(run.observation_times.numpy(), deviation.numpy(), 1)[0]
    assert abs(drift) * 1000 <= 0.1 * float(deviation.abs().max())
    assert (momentum[:, 2] - momentum[0, 2]).abs().max() <= 2e-13
    assert run.observations["orthogonality"].max() <= 1e-13


def test_one_sided_weights_swing_more_and_do_not_drift_either():
    flow = RigidBodyIntegrator(SO3, 0.05, FREE_INERTIA, weight(), alpha=0.0)
    deviation = rollout(flow, free_start(), 20_000, observe=OBSERVED).observations["energy"]
    deviation = deviation - deviation[0]
    assert deviation.abs().max() == pytest.approx(0.141, rel=0.03)
    first, last = (float(part.abs().max()) for part in (deviation[:2000], deviation[-2000:]))
    assert last <= 1.2 * first


def chart_jacobian(flow: RigidBodyIntegrator, control: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Derivative of the step in the coordinates ``(R exp(S(eta)), pi)``, and the momenta at both ends."""
    attitude = rotations()
    start = torch.cat((attitude.flatten(), SPIN))
    arrival = flow(start, control)[:9].reshape(3, 3)

    def step(e: Tensor) -> Tensor:
        omega = SPIN + torch.linalg.solve(FREE_INERTIA, e[3:])
        y = flow(torch.cat((SO3.plus(attitude, e[:3]).flatten(), omega)), control)
        return torch.cat((SO3.minus(y[:9].reshape(3, 3), arrival), FREE_INERTIA @ y[9:]))

    zero = torch.zeros(6, dtype=DOUBLE)
    return torch.func.jacrev(step)(zero), FREE_INERTIA @ SPIN, step(zero)[3:]


def symplectic_defect(flow: RigidBodyIntegrator, control: Tensor | None = None) -> tuple[float, float]:
    def form(pi: Tensor) -> Tensor:
        return torch.cat((torch.cat((-SO3.hat(pi), EYE), 1), torch.cat((-EYE, 0 * EYE), 1)))

    slope, before, after = chart_jacobian(flow, control)
    defect = (slope.mT @ form(after) @ slope - form(before)).abs().max()
    return float(defect), float(torch.linalg.det(slope))


@pytest.mark.parametrize("kinetic", ["trace", "cayley"])
@pytest.mark.parametrize("alpha", [0.5, 0.0])
def test_the_map_is_symplectic(kinetic, alpha):
    flow = RigidBodyIntegrator(SO3, 0.1, FREE_INERTIA, weight(), kinetic=kinetic, alpha=alpha)
    defect, volume = symplectic_defect(flow)
    assert defect <= 1e-13
    assert volume == pytest.approx(1.0, abs=1e-13)


def test_a_body_torque_breaks_symplecticity_but_not_volume():
    flow = RigidBodyIntegrator(SO3, 0.1, FREE_INERTIA, weight(), input_gain=EYE)
    defect, volume = symplectic_defect(flow, TORQUE)
    assert 2e-2 <= defect <= 1e-1
    assert volume == pytest.approx(1.0, abs=1e-13)


def test_damping_shrinks_volume():
    flow = RigidBodyIntegrator(SO3, 0.1, FREE_INERTIA, weight(), dissipation=0.3 * EYE)
    defect, volume = symplectic_defect(flow)
    assert defect >= 1e-2
    shrinking = 0.3 * FREE_INERTIA.diagonal().reciprocal().sum()
    assert volume == pytest.approx(float(torch.exp(-0.1 * shrinking)), abs=1e-3)
