from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from geomlearn.losses import PositionOnlyLoss
from geomlearn.training import NonFiniteLossError, StepInfo, fit

from ._double import GAIN, STIFFNESS, Data, Leapfrog, data


def train(model: Leapfrog, windows: Data | None = None, **settings: Any) -> Any:
    return fit(model, data() if windows is None else windows, **{"progress": False, **settings})


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({"optimizer": "adamw", "lr": 0.5, "steps": 150}, 1e-3),
        ({"optimizer": "adam", "lr": 0.5, "epochs": 40, "batch_size": 6}, 1e-2),
        ({"optimizer": "lbfgs", "steps": 4}, 1e-7),
        ({"optimizer": lambda p: torch.optim.Rprop(p, lr=0.5), "steps": 80, "schedule": None}, 1e-4),
    ],
    ids=["adamw", "adam-minibatch", "lbfgs", "factory"],
)
def test_fit_recovers_the_parameters(settings: dict[str, Any], tolerance: float) -> None:
    model = Leapfrog()
    history = train(model, **settings)
    assert abs(model.stiffness.item() - STIFFNESS) < tolerance * STIFFNESS
    assert abs(model.gain.item() - GAIN) < tolerance * GAIN
    assert history.stop_reason == "steps"
    assert history.losses[-1] < 1e-4 * history.losses[0]


def test_fit_from_poses_alone() -> None:
    full = data()
    model = Leapfrog()
    loss = PositionOnlyLoss(("q",))
    train(model, full, loss=loss, optimizer="lbfgs", steps=3)
    assert abs(model.stiffness.item() - STIFFNESS) < 1e-7
    assert abs(model.gain.item() - GAIN) < 1e-7


def test_fit_without_inputs() -> None:
    true = Leapfrog(STIFFNESS, 0.0)
    with torch.no_grad():
        start = torch.tensor([[1.0, 0.0], [2.0, -1.0]], dtype=torch.float64)
        states = torch.cat([start[None], true.unroll(start, steps=6)]).transpose(0, 1)
    model = Leapfrog()
    train(model, Data(states, None), optimizer="lbfgs", steps=4)
    assert abs(model.stiffness.item() - STIFFNESS) < 1e-7


def test_history_of_full_batch_gradient_descent() -> None:
    """Against plain gradient descent written out."""
    windows = data(noise=0.05)
    own = Leapfrog()
    expected = []
    for k in range(6):
        target = windows.states.transpose(0, 1)
        assert windows.controls is not None
        error = own.unroll(target[0], windows.controls.transpose(0, 1)) - target[1:]
        loss = error[..., 0].square().mean() + error[..., 1].square().mean()
        gradient = torch.autograd.grad(loss, [own.stiffness, own.gain])
        rate = 2.0 * 0.5 * (1 + math.cos(math.pi * k / 6))
        expected.append((loss.item(), torch.cat(gradient).norm().item(), rate))
        with torch.no_grad():
            for p, g in zip((own.stiffness, own.gain), gradient, strict=True):
                p.sub_(rate * g)
    model = Leapfrog()
    history = train(model, windows, optimizer=torch.optim.SGD(model.parameters(), lr=2.0), steps=6)
    got = list(zip(history.losses, history.gradient_norms, history.learning_rates, strict=True))
    assert torch.allclose(torch.tensor(got), torch.tensor(expected), rtol=1e-12)
    assert abs(model.stiffness.item() - own.stiffness.item()) < 1e-12


def test_two_runs_are_equal_and_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    runs = []
    for _ in range(2):
        model = Leapfrog()
        runs.append((train(model, steps=30, batch_size=5, seed=9, lr=0.1), model.stiffness.item()))
        torch.rand(3)
    torch.random.set_rng_state(before)
    assert runs[0] == runs[1]
    other = train(Leapfrog(), steps=30, batch_size=5, seed=10, lr=0.1)
    assert other.losses != runs[0][0].losses
    train(Leapfrog(), steps=3, batch_size=5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_clipping_bounds_the_gradient() -> None:
    seen = []

    def look(info: StepInfo) -> None:
        seen.append(torch.cat([p.grad for p in info.model.parameters() if p.grad is not None]).norm().item())

    model = Leapfrog(stiffness=200.0)
    history = train(model, steps=5, gradient_clip=0.01, callbacks=[look])
    assert min(history.gradient_norms) > 0.1
    assert max(seen) <= 0.01
    assert min(seen) > 0.0099


def test_early_stopping_keeps_the_best_weights() -> None:
    """Training pulls away from the validation data, which the first weights fit exactly."""
    held_out, model = data(1), Leapfrog(STIFFNESS, GAIN)
    good = data(0)
    assert good.controls is not None
    wrong = Data(good.states, -good.controls)
    path = []

    def record(info: StepInfo) -> None:
        if info.validation_loss is not None:
            path.append((info.step, model.gain.item()))

    history = train(
        model,
        wrong,
        validation=held_out,
        patience=3,
        validate_every=2,
        steps=100,
        lr=0.2,
        schedule=None,
        callbacks=[record],
    )
    assert history.stop_reason == "patience"
    assert history.validation_steps == [2, 4, 6, 8]
    assert history.best_step == 2
    assert history.best_loss == min(history.validation_losses)
    assert model.gain.item() == dict(path)[2] != dict(path)[8]


def test_the_last_weights_are_kept_when_asked() -> None:
    values = []
    for restore in (True, False):
        model = Leapfrog(STIFFNESS, GAIN)
        wrong = data(0, noise=0.5)
        history = train(
            model,
            wrong,
            validation=data(1),
            validate_every=1,
            steps=20,
            lr=0.5,
            schedule=None,
            restore_best=restore,
        )
        assert history.best_step == 1
        values.append(model.stiffness.item())
    assert values[0] != values[1]


def test_validation_happens_at_the_last_step() -> None:
    history = train(Leapfrog(), validation=data(1), steps=13)
    assert history.validation_steps == [10, 13]


def test_a_callback_can_stop_the_run() -> None:
    history = train(Leapfrog(), steps=50, callbacks=[lambda info: info.step == 4])
    assert history.stop_reason == "callback"
    assert history.steps == 4


class Fragile(Leapfrog):
    """Breaks at a chosen call."""

    def __init__(self, at: int, how: str) -> None:
        super().__init__()
        self.at, self.how, self.count = at, how, 0

    def unroll(self, x0: Tensor, controls: Tensor | None = None, steps: int | None = None) -> Tensor:
        self.count += 1
        out = super().unroll(x0, controls, steps)
        if self.count == self.at and self.how == "raise":
            raise RuntimeError("no solution: h * omega is too large")
        if self.count == self.at and self.how == "nan":
            return out * math.nan
        if self.count == self.at and self.how == "gradient":
            return out + 0 * torch.sqrt(self.stiffness - self.stiffness)
        return out


@pytest.mark.parametrize("how", ["nan", "gradient"])
def test_a_non_finite_step_is_not_taken(how: str, tmp_path: Any) -> None:
    model, reference = Fragile(6, how), Leapfrog()
    weights = []
    train(reference, steps=12, batch_size=5, callbacks=[lambda i: weights.append(reference.stiffness.item())])
    with pytest.raises(NonFiniteLossError, match=r"step 6, epoch 1, windows \[") as caught:
        train(model, steps=12, batch_size=5, checkpoint_dir=tmp_path, checkpoint_every=2)
    assert caught.value.step == 6
    assert len(caught.value.indices) == 5
    assert model.stiffness.item() == weights[4]
    twin = Leapfrog()
    train(twin, steps=12, batch_size=5, checkpoint_dir=tmp_path, checkpoint_every=2, resume=True)
    assert twin.stiffness.item() == reference.stiffness.item()


def test_a_failed_line_search_gives_the_weights_back() -> None:
    model = Fragile(3, "nan")
    with pytest.raises(NonFiniteLossError):
        train(model, optimizer="lbfgs", steps=2)
    assert model.stiffness.item() == 10.0


def test_an_error_of_the_model_is_passed_on_with_the_step() -> None:
    with pytest.raises(RuntimeError, match="h \\* omega") as caught:
        train(Fragile(3, "raise"), steps=5, batch_size=20)
    assert any("training step 3, epoch 1, windows [" in note for note in caught.value.__notes__)


def test_a_bad_validation_loss_is_no_improvement() -> None:
    with pytest.warns(UserWarning, match="validation loss after step 2 is nan"):
        history = train(Fragile(4, "nan"), validation=data(1), validate_every=1, steps=3)
    assert history.best_step == 3
    assert math.isnan(history.validation_losses[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "exactly one of the two"),
        ({"steps": 1, "epochs": 1}, "exactly one of the two"),
        ({"steps": 0}, "at least one step"),
        ({"steps": 1, "batch_size": 0}, "batch_size"),
        ({"steps": 1, "optimizer": "adan"}, "optimizer: expected one of"),
        ({"steps": 1, "schedule": "linear"}, "schedule: expected"),
        ({"steps": 1, "patience": 2}, "patience: early stopping needs validation"),
        ({"steps": 1, "gradient_clip": -1.0}, "gradient_clip: expected"),
        ({"steps": 1, "optimizer": "lbfgs", "batch_size": 3}, "LBFGS"),
        ({"steps": 1, "optimizer": torch.optim.SGD([torch.zeros(1)], lr=1.0)}, "none of the model's"),
        ({"steps": 1, "validation": data(), "validate_every": 0}, "validate_every"),
    ],
    ids=range(11),
)
def test_wrong_arguments_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(Leapfrog(), **settings)


def test_windows_of_another_step_length_or_space_are_refused() -> None:
    good = data()
    with pytest.raises(ValueError, match=r"sampled every 0\.05"):
        train(Leapfrog(), Data(good.states, good.controls, h=0.05), steps=1)
    from integrators import StateSpace, vector

    other = StateSpace(vector("x", 1), vector("v", 1))
    with pytest.raises(ValueError, match="windows: its states are"):
        train(Leapfrog(), Data(good.states, good.controls, space=other), steps=1)


def test_a_float32_model_is_trained_in_float32() -> None:
    model = Leapfrog(dtype=torch.float32)
    dtypes = set()

    def loss(m: Leapfrog, x: Tensor, u: Tensor) -> Tensor:
        dtypes.add((x.dtype, u.dtype))
        return (m(x[:, 0], u[:, 0]) - x[:, 1]).square().mean()

    train(model, steps=2, loss=loss)
    assert dtypes == {(torch.float32, torch.float32)}
    assert model.stiffness.dtype == torch.float32


def test_a_loss_that_is_no_scalar_is_refused() -> None:
    with pytest.raises(TypeError, match=r"scalar tensor, got shape \(24,\)"):
        train(Leapfrog(), steps=1, loss=lambda m, x, u: m(x[:, 0], u[:, 0])[:, 0])
