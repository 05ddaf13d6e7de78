"""A Crazyflie under constant inputs: the sign of the force in the position update."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from integrators import LinearPotential, RigidBodyIntegrator
from lie import SE3

from ..integrators.variational._bodies import DOUBLE, orders

MASS, GRAVITY = 0.027, 9.8
MOMENTS = torch.tensor([2.3951e-5, 2.3951e-5, 3.2347e-5], dtype=DOUBLE)
CONTROL = torch.tensor([1.1 * MASS * GRAVITY, 2e-5, -1.5e-5, 1e-5], dtype=DOUBLE)
GAIN = torch.zeros(6, 4, dtype=DOUBLE)
GAIN[2, 0] = GAIN[3, 1] = GAIN[4, 2] = GAIN[5, 3] = 1.0
START = torch.cat(
    (
        torch.zeros(3, dtype=DOUBLE),
        torch.eye(3, dtype=DOUBLE).flatten(),
        torch.tensor([0.2, 0.1, -0.1, 0.3, -0.2, 0.5], dtype=DOUBLE),
    )
)
TIME = 0.4


@pytest.fixture(scope="module")
def truth() -> Tensor:
    J, thrust, torque = MOMENTS.numpy(), float(CONTROL[0]), CONTROL[1:].numpy()

    def slope(_: float, y: np.ndarray) -> np.ndarray:
        R, v, w = y[3:12].reshape(3, 3), y[12:15], y[15:]
        hat = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])
        lift = R[:, 2] * thrust / MASS - np.array([0, 0, GRAVITY])
        return np.concatenate((v, (R @ hat).ravel(), lift, (np.cross(J * w, w) + torque) / J))

    y = solve_ivp(slope, (0, TIME), START.numpy(), "DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    return torch.as_tensor(y)


def fly(steps: int) -> tuple[RigidBodyIntegrator, Tensor]:
    weight = LinearPotential.gravity(MASS, torch.zeros(3, dtype=DOUBLE), (0.0, 0.0, -GRAVITY))
    flow = RigidBodyIntegrator(SE3, TIME / steps, torch.diag(MOMENTS), weight, GAIN, mass=MASS)
    return flow, torch.cat((START[None], flow.unroll(START, CONTROL.expand(steps, 4))))


def printed_positions(flow: RigidBodyIntegrator, path: Tensor) -> Tensor:
    """Positions by the update as printed, with the force impulse subtracted; the rest is as it is."""
    impulse = 0.5 * flow.h * (path[:-1, 3:12].reshape(-1, 3, 3) @ (GAIN[:3] @ CONTROL))
    return path[:, :3] - torch.cat((torch.zeros(1, 3), 2 * (flow.h / MASS) * impulse.cumsum(0)))


def test_the_position_update_adds_the_force(truth):
    found = [fly(n) for n in (20, 40, 80)]
    right = [float((path[-1, :3] - truth[:3]).norm()) for _, path in found]
    assert right == pytest.approx([1.31e-4, 3.27e-5, 8.18e-6], rel=6e-3)
    assert all(1.99 <= order <= 2.01 for order in orders(right))
    wrong = [float((printed_positions(flow, path)[-1] - truth[:3]).norm()) for flow, path in found]
    assert wrong == pytest.approx([8.6e-2, 4.3e-2, 2.15e-2], rel=3e-3)
    assert all(0.99 <= order <= 1.01 for order in orders(wrong))


def test_velocities_and_attitude_are_of_order_two_too(truth):
    paths = [fly(n)[1][-1] for n in (20, 40, 80)]
    for part in (slice(3, 12), slice(12, 15), slice(15, 18)):
        errors = [float((x[part] - truth[part]).norm()) for x in paths]
        assert all(1.99 <= order <= 2.01 for order in orders(errors))


def test_in_hover_the_printed_sign_sinks():
    """By ``h^2 g`` in every step, 3.9 mm at 50 Hz."""
    h = 0.02
    weight = LinearPotential.gravity(MASS, torch.zeros(3, dtype=DOUBLE), (0.0, 0.0, -GRAVITY))
    flow = RigidBodyIntegrator(SE3, h, torch.diag(MOMENTS), weight, GAIN, mass=MASS)
    rest = torch.cat((START[:12], torch.zeros(6, dtype=DOUBLE)))
    hold = torch.tensor([MASS * GRAVITY, 0.0, 0.0, 0.0], dtype=DOUBLE)
    y = flow(rest, hold)
    assert (y - rest).abs().max() <= 1e-16
    printed = y[2] - 2 * (h / MASS) * (0.5 * h * MASS * GRAVITY)
    assert float(printed) == pytest.approx(-(h**2) * GRAVITY, abs=1e-15)
    assert float(-printed) == pytest.approx(3.9e-3, rel=0.01)
