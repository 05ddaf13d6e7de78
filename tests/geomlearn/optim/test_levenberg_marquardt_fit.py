"""Residual forms of the losses, and training by Levenberg and Marquardt's method with ``fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from geomlearn import LieFVIN, fit, lie
from geomlearn.data import planar_pendulum_windows
from geomlearn.losses import (
    PositionOnlyLoss,
    ResidualLoss,
    VelocityPositionLoss,
    velocity_position_loss,
    velocity_position_residual,
)
from geomlearn.optim import LevenbergMarquardt
from geomlearn.training import CheckpointError, NonFiniteLossError
from integrators import Part, StateSpace, vector
from tests.geomlearn.training._double import GAIN, STIFFNESS, Data, Leapfrog, data

F64 = torch.float64


@pytest.mark.parametrize("step_weights", [None, [1.0, 2.0, 0.0, 0.5]])
@pytest.mark.parametrize(
    "weights", [None, {"v": 0.75, "R": 2.0}, {"v": [0.1, 0.0, 3.0]}, {"g": torch.tensor([0.3])}]
)
def test_squares_of_the_residuals_make_up_the_loss(
    weights: dict[str, Any] | None, step_weights: list[float] | None
) -> None:
    space = StateSpace(Part("R", lie.SO3), vector("v", 3, unit="m/s"), Part("g", lie.SE3))
    generator = torch.Generator().manual_seed(3)

    def states() -> Tensor:
        rotations = lie.SO3.exp(0.8 * torch.randn(4, 5, 3, generator=generator, dtype=F64))
        poses = lie.SE3.exp(0.5 * torch.randn(4, 5, 6, generator=generator, dtype=F64))
        v = torch.randn(4, 5, 3, generator=generator, dtype=F64)
        return torch.cat([rotations.flatten(-2), v, poses.flatten(-2)], -1)

    predicted, target = states(), states()
    of_steps = None if step_weights is None else torch.tensor(step_weights)
    residual = velocity_position_residual(predicted, target, space, weights, of_steps)
    assert residual.shape == (5, 4 * 12)
    loss = velocity_position_loss(predicted, target, space, weights, of_steps)
    assert float(residual.square().sum(-1).mean()) == pytest.approx(float(loss), rel=1e-13)


def test_residuals_of_the_losses_as_fit_calls_them() -> None:
    windows, model = data(0, noise=0.1), Leapfrog()
    with torch.no_grad():
        for loss in (VelocityPositionLoss({"v": 0.3}), PositionOnlyLoss(["q"])):
            assert isinstance(loss, ResidualLoss)
            residual = loss.residual(model, windows.states, windows.controls)
            value = float(loss(model, windows.states, windows.controls))
            assert residual.shape[0] == 24
            assert float(residual.square().sum(1).mean()) == pytest.approx(value, rel=1e-13)


def test_what_has_no_residual_form_is_refused() -> None:
    states = torch.zeros(2, 3, 3, dtype=F64)
    with pytest.raises(ValueError, match=r"weights\['x'\]: expected no negative"):
        velocity_position_residual(states, states, StateSpace(vector("x", 3)), {"x": -1.0})
    with pytest.raises(ValueError, match="weights: expected names"):
        velocity_position_residual(states, states, StateSpace(vector("x", 3)), {"y": 1.0})
    with pytest.raises(TypeError, match="needs a loss with residual"):
        fit(
            Leapfrog(),
            data(),
            steps=1,
            optimizer="levenberg-marquardt",
            loss=lambda m, x, u: (m(x[:, 0], u[:, 0]) - x[:, 1]).square().mean(),
            progress=False,
        )


@pytest.mark.parametrize("loss", [None, VelocityPositionLoss({"v": 0.1}), PositionOnlyLoss(["q"])])
@pytest.mark.parametrize("loose", [False, True])
def test_fit_identifies_the_pendulum_in_a_few_steps(loss: Any, loose: bool) -> None:
    model = Leapfrog()
    optimizer: Any = LevenbergMarquardt if loose else "levenberg-marquardt"
    history = fit(model, data(), steps=60, optimizer=optimizer, loss=loss, progress=False)
    assert model.stiffness.item() == pytest.approx(STIFFNESS, rel=1e-10)
    assert model.gain.item() == pytest.approx(GAIN, rel=1e-10)
    assert history.stop_reason == "converged"
    assert history.steps < 20
    assert history.learning_rates == [1.0] * history.steps
    assert model.get_buffer("calls").item() == 0


def test_losses_and_gradient_norms_are_those_of_the_loss() -> None:
    model, windows, loss = Leapfrog(), data(0, noise=0.05), VelocityPositionLoss()
    history = fit(model, windows, steps=1, optimizer="levenberg-marquardt", progress=False)
    fresh = Leapfrog()
    value = loss(fresh, windows.states, windows.controls)
    value.backward()
    slope = torch.stack([p.grad for p in fresh.parameters() if p.grad is not None]).norm()
    assert history.losses[0] == pytest.approx(float(value.detach()), rel=1e-12)
    assert history.gradient_norms[0] == pytest.approx(float(slope), rel=1e-10)


def test_batches_train_too_and_do_not_end_the_run() -> None:
    model = Leapfrog()
    history = fit(
        model, data(0, noise=0.01), steps=30, batch_size=12, optimizer="levenberg-marquardt", progress=False
    )
    assert history.stop_reason == "steps"
    assert abs(model.stiffness.item() - STIFFNESS) < 1.0


def test_a_converged_run_is_validated_saved_and_stays_ended(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "validation": data(1),
        "validate_every": 1000,
        "optimizer": "levenberg-marquardt",
        "checkpoint_dir": tmp_path,
        "steps": 100,
        "resume": "auto",
        "progress": False,
    }
    first = Leapfrog()
    history = fit(first, data(0, noise=0.01), **settings)
    assert history.stop_reason == "converged"
    assert history.validation_steps == [history.steps]
    before = (tmp_path / "last.safetensors").read_bytes()
    again = Leapfrog()
    second = fit(again, data(0, noise=0.01), **settings)
    assert second.stop_reason == "converged"
    assert second.losses == history.losses
    assert torch.equal(first.stiffness, again.stiffness)
    assert (tmp_path / "last.safetensors").read_bytes() == before
    other = LevenbergMarquardt(again, relative_damping=1e-2)
    with pytest.raises(CheckpointError, match="hyperparameters"):
        fit(again, data(0, noise=0.01), **{**settings, "optimizer": other})


def test_what_does_not_go_with_it_is_said() -> None:
    for wrong, message in (
        ({"gradient_clip": 1.0}, "gradient_clip: Levenberg-Marquardt"),
        ({"weight_decay": 0.1}, "weight_decay: levenberg-marquardt has none"),
        ({"lr": 2.0}, "lr: expected a number above 0"),
    ):
        settings: dict[str, Any] = {
            "steps": 1,
            "optimizer": "levenberg-marquardt",
            "progress": False,
            **wrong,
        }
        with pytest.raises(ValueError, match=message):
            fit(Leapfrog(), data(), **settings)


def test_windows_that_are_not_finite_leave_the_weights_alone() -> None:
    windows = data()
    windows.states[3, 2, 0] = float("nan")
    model = Leapfrog()
    with pytest.raises(NonFiniteLossError, match="1 of 192 residuals are not finite"):
        fit(
            model,
            Data(windows.states, windows.controls),
            steps=2,
            optimizer="levenberg-marquardt",
            progress=False,
        )
    assert model.stiffness.item() == 10.0


def test_an_implicit_integrator_on_rotations_with_learned_potential() -> None:
    train, test = planar_pendulum_windows(seed=0, trajectories=2)
    model = LieFVIN(
        lie.SO3,
        h=train.h,
        inertia=torch.eye(3, dtype=F64) / 3,
        input_gain=1,
        generator=torch.Generator().manual_seed(0),
    )
    history = fit(
        model,
        train,
        validation=test,
        steps=5,
        optimizer="levenberg-marquardt",
        progress=False,
        validate_every=5,
    )
    assert history.losses[0] > 0.1
    assert history.losses[-1] < 1e-5
    assert history.validation_losses[-1] < 1e-3


def test_without_a_number_of_steps_it_goes_on_until_it_has_converged() -> None:
    model = Leapfrog()
    history = fit(model, data(), optimizer="levenberg-marquardt", progress=False)
    assert history.stop_reason == "converged"
    assert history.steps < 20
    with pytest.raises(ValueError, match="steps, epochs: expected exactly one"):
        fit(Leapfrog(), data(), progress=False)


def test_a_run_stops_at_a_loss(tmp_path: Path) -> None:
    whole = fit(Leapfrog(), data(), optimizer="levenberg-marquardt", progress=False).losses
    target = 1.5 * whole[3]
    settings: dict[str, Any] = {"optimizer": "levenberg-marquardt", "stop_at": target, "progress": False}
    history = fit(Leapfrog(), data(), **settings)
    assert history.stop_reason == "loss"
    assert history.losses == whole[:4]
    for _ in range(2):  # the second run finds itself at the end
        held = fit(
            Leapfrog(),
            data(),
            validation=data(1),
            validate_every=1,
            checkpoint_dir=tmp_path,
            resume="auto",
            **settings,
        )
        assert held.stop_reason == "loss"
        assert held.validation_losses[-1] <= target < min(held.validation_losses[:-1])
    with pytest.raises(ValueError, match="stop_at: expected a positive loss"):
        fit(Leapfrog(), data(), steps=1, stop_at=0.0, progress=False)
