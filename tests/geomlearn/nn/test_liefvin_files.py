"""Models written to files and built again."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geomlearn.nn import (
    DirectFlow,
    LearnedDamping,
    LearnedMatrix,
    LieFVIN,
    LogCholeskyInertia,
    NeuralDamping,
    NeuralGain,
    NeuralPotential,
    RealisableInertia,
)
from geomlearn.training import load, register, save
from integrators import FlowMap, LinearPotential
from lie import SE3, SO3, LieGroup

from ._models import generator, quiet, randn, shaken, states

ROD = torch.diag(torch.tensor([0.01, 1.0, 1.1], dtype=torch.float64))

CASES: dict[str, tuple[LieGroup, Any]] = {
    "defaults": (SO3, dict),
    "defaults on SE(3)": (SE3, lambda: {"input_gain": 4, "dissipation": "learned"}),
    "known values": (
        SE3,
        lambda: {
            "inertia": ROD,
            "potential": LinearPotential.gravity(0.3, [0.1, 0.2, 0.3]),
            "input_gain": randn(6, 3),
            "dissipation": torch.eye(6, dtype=torch.float64),
            "mass": 0.3,
        },
    ),
    "learned field": (SO3, lambda: {"potential": LinearPotential(randn(3, 3), learnable=True)}),
    "networks": (
        SE3,
        lambda: {
            "inertia": RealisableInertia(trace=2.0),
            "potential": NeuralPotential(SE3, (4,), "quaternion", linear=False, activation="silu"),
            "input_gain": NeuralGain(SE3, 2, (3, 3), "sin"),
            "dissipation": NeuralDamping(SE3, (), "softplus"),
            "kinetic": "cayley",
        },
    ),
    "constants": (
        SO3,
        lambda: {
            "inertia": LogCholeskyInertia(ROD, trace=30.0),
            "input_gain": LearnedMatrix(randn(3, 2)),
            "dissipation": LearnedDamping(randn(3, 3)),
            "alpha": 0.25,
            "force_split": 1.0,
        },
    ),
}


def same(a: Tensor, b: Tensor) -> bool:
    """Equal up to what matrix products of torch vary with the alignment of memory."""
    digits = 4 * torch.finfo(a.dtype).eps
    return a.dtype == b.dtype and torch.allclose(a, b, rtol=digits, atol=digits)


def prediction(model: FlowMap) -> Tensor:
    with torch.no_grad():
        x = states(model, 3).to(model.dtype)
        u = randn(2, 3, model.control_size).to(model.dtype) if model.control_size else None
        return model.unroll(x, u, steps=2)


@pytest.mark.parametrize("case", CASES)
def test_model_comes_back_from_its_file_with_the_same_weights(case: str, tmp_path: Path) -> None:
    group, slots = CASES[case]
    model = shaken(quiet(group, 0.05, **slots()), scale=0.1)
    path = tmp_path / "model.safetensors"
    save(model, path)
    back = load(path)
    assert isinstance(back, LieFVIN)
    assert back.config() == model.config()
    assert same(prediction(back), prediction(model))
    weights = back.state_dict()
    assert list(weights) == list(model.state_dict())
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert [n for n, _ in back.named_parameters()] == [n for n, _ in model.named_parameters()]
    assert back.scale_is_known == model.scale_is_known


def test_float32_model_comes_back_in_float32(tmp_path: Path) -> None:
    model = quiet(SE3, 0.05, input_gain=2).float()
    path = tmp_path / "model.safetensors"
    save(model, path)
    back = load(path)
    assert isinstance(back, LieFVIN)
    assert back.dtype == torch.float32
    assert same(prediction(back), prediction(model))


def test_baseline_comes_back_from_its_file(tmp_path: Path) -> None:
    model = shaken(DirectFlow(SE3, 0.05, (5, 6), 2, "sin"))
    path = tmp_path / "model.safetensors"
    save(model, path)
    back = load(path)
    assert isinstance(back, DirectFlow)
    assert same(prediction(back), prediction(model))


@register("tests.Tilt")
class Tilt(nn.Module):
    """A user's own potential energy, no subclass of Potential."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(3, dtype=torch.float64))

    def forward(self, rotation: Tensor) -> Tensor:
        return rotation[..., 2, :] @ self.slope

    def config(self) -> dict[str, Any]:
        return {"type": "tests.Tilt"}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Tilt:
        return cls()


class Unknown(nn.Module):
    """A potential of no registered class."""

    def forward(self, rotation: Tensor) -> Tensor:
        return rotation[..., 2, 2]


class Unregistered(Unknown):
    """A potential with a configuration that no class answers to."""

    def config(self) -> dict[str, Any]:
        return {"type": "tests.Unregistered"}


def test_registered_module_of_the_user_comes_back(tmp_path: Path) -> None:
    model = shaken(quiet(SO3, 0.05, potential=Tilt()))
    path = tmp_path / "model.safetensors"
    save(model, path)
    back = load(path)
    assert isinstance(back, LieFVIN)
    assert same(prediction(back), prediction(model))


@pytest.mark.parametrize("potential", [Unknown(), Unregistered(), lambda rotation: rotation[..., 2, 2]])
def test_unregistered_part_is_named_before_anything_is_written(potential: Any, tmp_path: Path) -> None:
    model = LieFVIN(SO3, 0.05, potential=potential)
    name = type(potential).__name__ if isinstance(potential, nn.Module) else "FunctionPotential"
    with pytest.raises(TypeError, match=rf"potential: expected a module of a registered class.*got {name};"):
        model.config()
    with pytest.raises(TypeError, match="potential: expected a module of a registered class"):
        save(model, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_deep_copy_is_equal_and_independent() -> None:
    model = quiet(SE3, 0.05, input_gain=2, dissipation="learned")
    other = copy.deepcopy(model)
    assert same(prediction(other), prediction(model))
    shaken(other)
    assert not same(prediction(other), prediction(model))


def test_weights_load_into_another_model() -> None:
    models = [quiet(SO3, 0.05, input_gain=2, generator=generator(k)) for k in range(2)]
    assert not same(prediction(models[0]), prediction(models[1]))
    models[1].load_state_dict(models[0].state_dict())
    assert same(prediction(models[0]), prediction(models[1]))
