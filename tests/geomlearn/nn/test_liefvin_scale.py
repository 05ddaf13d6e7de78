"""The common factor of inertia, potential and gains."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geomlearn.nn import (
    GaugeWarning,
    LearnedDamping,
    LearnedMass,
    LearnedMatrix,
    LieFVIN,
    LogCholeskyInertia,
    NeuralDamping,
    NeuralGain,
    NeuralPotential,
    RealisableInertia,
)
from integrators import LinearPotential
from lie import SE3, SO3, LieGroup

from ._models import generator, quiet, randn, shaken, states

EYE = torch.eye(3, dtype=torch.float64)
ZERO = LinearPotential(0 * EYE)


def frozen(module: nn.Module) -> nn.Module:
    return module.requires_grad_(False)


def energy(rotation: Tensor) -> Tensor:
    return rotation[..., 2, 2]


OPEN: dict[str, tuple[LieGroup, dict[str, Any]]] = {
    "defaults": (SO3, {}),
    "defaults on SE(3)": (SE3, {}),
    "inputs": (SO3, {"input_gain": 1}),
    "damping": (SE3, {"input_gain": 2, "dissipation": "learned"}),
    "no potential": (SO3, {"potential": ZERO}),
    "zero gain": (SO3, {"input_gain": torch.zeros(3, 1, dtype=torch.float64)}),
    "learned field": (SO3, {"potential": LinearPotential(EYE, learnable=True)}),
    "realisable inertia": (SO3, {"inertia": RealisableInertia()}),
    "learned function": (
        SO3,
        {"potential": nn.Sequential(nn.Flatten(-2), nn.Linear(9, 1).double(), nn.Flatten(0))},
    ),
}
SETTLED: dict[str, tuple[LieGroup, dict[str, Any]]] = {
    "inertia": (SO3, {"inertia": EYE}),
    "trace": (SO3, {"inertia": LogCholeskyInertia(trace=1.0)}),
    "trace of a realisable inertia": (SO3, {"inertia": RealisableInertia(trace=1.0)}),
    "frozen inertia": (SO3, {"inertia": frozen(LogCholeskyInertia())}),
    "mass": (SE3, {"mass": 1.0}),
    "frozen mass": (SE3, {"mass": frozen(LearnedMass())}),
    "gain": (SO3, {"input_gain": EYE}),
    "frozen gain": (SO3, {"input_gain": frozen(LearnedMatrix(EYE))}),
    "damping": (SO3, {"dissipation": EYE}),
    "potential": (SO3, {"potential": LinearPotential(EYE)}),
    "function": (SO3, {"potential": energy}),
    "frozen network": (SO3, {"potential": frozen(NeuralPotential(SO3))}),
}


@pytest.mark.parametrize("case", OPEN)
def test_a_warning_is_given_where_nothing_is_known(case: str) -> None:
    group, slots = OPEN[case]
    with pytest.warns(GaugeWarning, match="only up to a common factor") as caught:
        model = LieFVIN(group, 0.02, **slots)
    assert not model.scale_is_known
    assert caught[0].filename == __file__


@pytest.mark.parametrize("case", SETTLED)
def test_no_warning_is_given_where_something_is_known(case: str) -> None:
    group, slots = SETTLED[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert LieFVIN(group, 0.02, **slots).scale_is_known


MODELS: dict[str, tuple[LieGroup, Any]] = {
    "SO3": (SO3, lambda: {"input_gain": 2, "dissipation": LearnedDamping(0.3 * randn(3, 3))}),
    "SO3 networks": (
        SO3,
        lambda: {
            "inertia": RealisableInertia(),
            "potential": NeuralPotential(SO3, features="quaternion", generator=generator()),
            "input_gain": NeuralGain(SO3, 2, generator=generator()),
            "dissipation": NeuralDamping(SO3, generator=generator()),
        },
    ),
    "SO3 field": (SO3, lambda: {"input_gain": 2, "potential": LinearPotential(randn(3, 3), learnable=True)}),
    "SO3 free": (SO3, lambda: {"input_gain": 2, "potential": LinearPotential(0 * EYE)}),
    "SE3": (SE3, lambda: {"input_gain": 2, "dissipation": "learned"}),
    "SE3 networks": (
        SE3,
        lambda: {
            "input_gain": NeuralGain(SE3, 2, generator=generator()),
            "dissipation": NeuralDamping(SE3, generator=generator()),
        },
    ),
}


def model_of(case: str) -> LieFVIN:
    group, slots = MODELS[case]
    return shaken(quiet(group, 0.05, **slots()), scale=0.2)


@pytest.mark.parametrize("quantity", ["trace", "gain"])
@pytest.mark.parametrize("case", MODELS)
def test_fixing_the_scale_makes_the_quantity_exact_and_moves_no_prediction(case: str, quantity: str) -> None:
    model = model_of(case)
    x, u = states(model, 4), 0.1 * randn(5, 4, 2)
    before, identified = model.unroll(x, u), model.identified()
    if quantity == "trace":
        old = model.inertia().diagonal().sum().item()
        factor = model.fix_scale(inertia_trace=0.031)
        assert model.inertia().diagonal().sum().item() == pytest.approx(0.031, rel=1e-14)
        assert factor == pytest.approx(0.031 / old, rel=1e-14)
    else:
        value = 3.7 if model.gain_at_identity()[1, 0] > 0 else -3.7
        model.fix_scale(gain=(1, 0, value))
        assert model.gain_at_identity()[1, 0].item() == pytest.approx(value, rel=1e-14)
    assert torch.allclose(model.unroll(x, u), before, rtol=1e-14, atol=1e-14)
    for name, found in model.identified().items():
        assert torch.allclose(found, identified[name], rtol=1e-13, atol=1e-15), name


def test_identified_products_are_those_of_the_parts() -> None:
    model = model_of("SE3")
    inertia, gain = model.inertia(), model.gain_at_identity()
    found = model.identified()
    assert torch.allclose(inertia @ found["inverse_inertia_gain"], gain[3:], rtol=1e-13, atol=1e-14)
    assert model.mass is not None
    assert torch.allclose(model.mass() * found["gain_over_mass"], gain[:3], rtol=1e-13, atol=1e-14)
    assert found["inertia_ratio"].diagonal().sum().item() == pytest.approx(1, rel=1e-14)
    assert set(quiet(SO3, 0.1).identified()) == {"inertia_ratio"}


def test_a_known_part_keeps_its_scale() -> None:
    model = LieFVIN(SO3, 0.05, potential=energy, input_gain=1)
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=r"learned parts only, but \['FunctionPotential'\]"):
        model.fix_scale(inertia_trace=2.0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))


def test_wrong_requests_are_refused() -> None:
    model = model_of("SO3")
    requests: list[dict[str, Any]] = [{}, {"inertia_trace": 1.0, "gain": (0, 0, 1.0)}]
    for arguments in requests:
        with pytest.raises(ValueError, match="exactly one of inertia_trace and gain"):
            model.fix_scale(**arguments)
    for trace in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="expected a quantity of the learned sign"):
            model.fix_scale(inertia_trace=trace)
    with pytest.raises(ValueError, match="input_gain: expected a model with inputs"):
        quiet(SO3, 0.1).fix_scale(gain=(0, 0, 1.0))
