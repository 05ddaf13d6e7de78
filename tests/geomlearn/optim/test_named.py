"""The names under which ``fit`` knows the optimizers of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lie
from geomlearn.optim import (
    BrAVO,
    BregmanSLC,
    ManifoldParameter,
    RiemannianAdam,
    RiemannianSGD,
    SPDMomentum,
)
from geomlearn.training import fit, make_optimizer
from tests.geomlearn.training._double import Leapfrog, data

NAMES: dict[str, tuple[type, dict[str, Any]]] = {
    "bregman": (BregmanSLC, {"lr": 30.0}),
    "bravo": (BrAVO, {"lr": 30.0, "batch_size": 8}),
    "riemannian-adam": (RiemannianAdam, {"lr": 0.3, "batch_size": 8}),
    "riemannian-sgd": (RiemannianSGD, {"lr": 1.0, "batch_size": 8}),
    "spd-momentum": (SPDMomentum, {"lr": 1.0, "batch_size": 8}),
}


class Turn(nn.Module):
    """A rotation."""

    def __init__(self) -> None:
        super().__init__()
        self.rotation = ManifoldParameter(lie.SO3, torch.eye(3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.rotation.mT


class Stretch(nn.Module):
    """An SPD matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = ManifoldParameter(lie.SPD(3, structure="lower"), torch.eye(3))


@pytest.mark.parametrize("name", NAMES)
def test_names_make_their_optimizers(name: str) -> None:
    kind, _ = NAMES[name]
    model = Stretch() if kind is SPDMomentum else Turn()
    optimizer = make_optimizer(name, model, weight_decay=0.25)
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["weight_decay"] == 0.25
    assert make_optimizer(name, model, lr=0.5).param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_fitted_and_a_halted_run_goes_on(name: str, tmp_path: Path) -> None:
    def run(folder: str, steps: int, **more: Any) -> Leapfrog:
        model = Leapfrog()
        fit(
            model,
            data(),
            optimizer=name,
            steps=40,
            schedule=None,
            checkpoint_dir=tmp_path / folder,
            checkpoint_every=10,
            progress=False,
            callbacks=[_stop_at(steps)],
            **{**NAMES[name][1], **more},
        )
        return model

    whole = run("whole", 40)
    with pytest.raises(_Halted):
        run("halted", 25)
    resumed = run("halted", 40, resume=True)
    assert abs(float(whole.stiffness.detach()) - 15.0) < 2.5
    assert torch.equal(whole.stiffness, resumed.stiffness)
    assert torch.equal(whole.gain, resumed.gain)


class _Halted(Exception):
    pass


def _stop_at(step: int) -> Any:
    def callback(info: Any) -> None:
        if info.step == step and step < 40:
            raise _Halted

    return callback


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "lbfgs"])
def test_other_names_refuse_parameters_on_manifolds(name: str) -> None:
    model = Turn()
    with pytest.raises(ValueError, match=r"would move rotation off lie\.SO\(?3\)?; take one of \['bravo'"):
        make_optimizer(name, model)
    model.rotation.requires_grad_(False)
    model.scale = nn.Parameter(torch.ones(()))
    assert len(make_optimizer(name, model).param_groups[0]["params"]) == 1
