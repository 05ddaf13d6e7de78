"""Learning the pendulum of Duruisseaux, Duong, Leok, Atanasov (L4DC 2023, section 5.1), and a thrown body."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geomlearn.data import Windows, planar_pendulum_windows
from geomlearn.losses import PositionOnlyLoss, VelocityPositionLoss
from geomlearn.nn import LieFVIN, LogCholeskyInertia, NeuralPotential
from geomlearn.training import fit
from integrators import LinearPotential, RigidBodyIntegrator
from lie import SO3

from ._models import generator, quiet, randn, states

EYE = torch.eye(3, dtype=torch.float64)
LOSS = VelocityPositionLoss({"omega": 0.75})


def pendulum_field() -> Tensor:
    """Gradient of ``U = 5 (1 - cos phi)`` in the entries of ``R``."""
    field = torch.zeros(3, 3, dtype=torch.float64)
    field[0, 0] = -5.0
    return field


@pytest.fixture(scope="module")
def pendulum() -> tuple[Windows, Windows]:
    return planar_pendulum_windows(0, trajectories=12)


def loss(model: LieFVIN | RigidBodyIntegrator, windows: Windows) -> float:
    with torch.no_grad():
        return float(LOSS(model, windows.states, windows.controls))


def minimise(model: LieFVIN, states: Tensor, controls: Tensor | None) -> None:
    """L-BFGS on the position-only residual."""
    objective = PositionOnlyLoss(("R",))
    optimizer = torch.optim.LBFGS(
        [p for p in model.parameters() if p.requires_grad],
        max_iter=300,
        tolerance_grad=1e-14,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = objective(model, states, controls)
        value.backward()
        return value

    optimizer.step(closure)


def test_exact_parameters_score_the_error_of_the_method() -> None:
    exact = RigidBodyIntegrator(SO3, 0.02, EYE / 3, LinearPotential(pendulum_field()), EYE[:, 2:])
    for windows in planar_pendulum_windows(0):
        assert 2.0e-7 < loss(exact, windows) < 4.0e-7


def test_two_hundred_fifty_steps_learn_the_torque_gain_to_one_percent(
    pendulum: tuple[Windows, Windows],
) -> None:
    train, test = pendulum
    potential = NeuralPotential(SO3, generator=generator(0))
    model = quiet(SO3, 0.02, potential=potential, input_gain=1)
    fit(model, train, loss=LOSS, optimizer="adam", lr=2e-2, steps=250, progress=False)
    assert model.identified()["inverse_inertia_gain"][2, 0].item() == pytest.approx(3.0, rel=0.01)
    assert loss(model, test) < 1e-3


def test_poses_alone_give_gain_and_gravity_to_half_a_percent(pendulum: tuple[Windows, Windows]) -> None:
    train, _ = pendulum
    field = LinearPotential(0 * EYE, learnable=True)
    model = LieFVIN(SO3, 0.02, inertia=EYE / 3, potential=field, input_gain=1)
    minimise(model, train.states, train.controls)
    assert model.identified()["inverse_inertia_gain"][2, 0].item() == pytest.approx(3.0, rel=0.005)
    slopes = field.orientation.detach()
    assert 3 * (slopes[0, 0] + slopes[1, 1]).item() == pytest.approx(-15.0, rel=0.005)
    assert 3 * (slopes[0, 1] - slopes[1, 0]).abs().item() < 0.01


def test_poses_of_a_free_body_give_its_inertia_up_to_the_scale() -> None:
    body = torch.tensor([[1.0, 0.1, -0.05], [0.1, 2.0, 0.2], [-0.05, 0.2, 2.8]], dtype=torch.float64)
    flow = RigidBodyIntegrator(SO3, 0.05, body)
    with torch.no_grad():
        path = flow.unroll(states(flow, 20), steps=6).transpose(0, 1)
    model = LieFVIN(
        SO3,
        0.05,
        inertia=LogCholeskyInertia(trace=1.0),
        potential=LinearPotential(torch.zeros(3, 3).double()),
    )
    minimise(model, path, None)
    ratio = model.identified()["inertia_ratio"]
    assert torch.allclose(ratio, body / 5.8, rtol=0, atol=1e-6)


def test_poses_under_inputs_give_the_whole_gain() -> None:
    body = torch.diag(torch.tensor([1.0, 2.0, 2.5], dtype=torch.float64))
    gain, controls = randn(3, 2, seed=3), randn(5, 20, 2, seed=4)
    field = LinearPotential(randn(3, 3, seed=5))
    flow = RigidBodyIntegrator(SO3, 0.05, body, field, gain)
    with torch.no_grad():
        x = states(flow, 20)
        path = torch.cat((x[None], flow.unroll(x, controls))).transpose(0, 1)
    model = LieFVIN(SO3, 0.05, inertia=LogCholeskyInertia(), potential=field, input_gain=2)
    minimise(model, path, controls.transpose(0, 1))
    assert torch.allclose(model.gain_at_identity(), gain, rtol=0, atol=1e-3)
    assert torch.allclose(model.inertia(), body, rtol=0, atol=1e-3)
