"""Building, saving, training and diagnosing gyroceptrons."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from geomlearn.data import Windows, solved_windows
from geomlearn.nn import Gyroceptron, measure_limit
from geomlearn.training import fit, load, save
from integrators import rollout, zoo

from .._models import generator
from ..symplectic._layers import box
from ._nets import GOLDEN, henon_net, starts

MODELS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "learned angle": {"learn_angle": True, "h": 0.5, "near_identity_size": 3},
    "all": {
        "epsilon": "state",
        "near_identity": "gradient",
        "near_identity_size": (2, 3),
        "psi": "henon",
        "psi_size": (2, 3),
        "twist_degree": 2,
        "twist_units": 3,
        "twist_sees_slow": True,
        "near_identity_last": False,
    },
}


def model(name: str, seed: int = 0) -> Gyroceptron:
    options: dict[str, Any] = {"dim": 4, "epsilon": 0.01, "circle_weights": (1, 0), "angle": 2.4}
    return Gyroceptron(**(options | MODELS[name]), generator=generator(seed))


@pytest.mark.parametrize("name", MODELS)
def test_files(name: str, tmp_path: Path) -> None:
    net = model(name)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2)
    for written in (net, net.with_step(0.3)):
        save(written, tmp_path / "net.safetensors")
        read = load(tmp_path / "net.safetensors")
        assert isinstance(read, Gyroceptron)
        assert read.config() == written.config()
        x = torch.rand(5, net.space.size, generator=generator(), dtype=torch.float64)
        assert torch.equal(read(x), written(x))


def test_a_generator_makes_weights_repeatable() -> None:
    assert torch.equal(model("all", 3)(torch.ones(5).double()), model("all", 3)(torch.ones(5).double()))
    assert not torch.equal(model("all", 3)(torch.ones(5).double()), model("all", 4)(torch.ones(5).double()))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dim": 3}, ValueError, "dim: expected a positive even number"),
        ({"dim": 6}, ValueError, "circle_weights: expected 3 integers"),
        ({"circle_weights": (0.5, 0)}, TypeError, r"circle_weights\[0\]: expected an integer, got 0.5"),
        ({"circle_weights": (0, 0)}, ValueError, "circle_weights: expected at least one weight"),
        ({"epsilon": math.nan}, ValueError, "epsilon: expected a finite number or 'state', got nan"),
        ({"epsilon": None}, ValueError, "epsilon: expected a finite number or 'state', got None"),
        ({"epsilon": "learned"}, ValueError, "epsilon: expected a finite number or 'state', got 'learned'"),
        ({"angle": math.inf}, ValueError, "angle: expected a finite number of radians"),
        ({"h": 0.0}, ValueError, "h: expected a finite step that is not zero, or None, got 0.0"),
        ({"near_identity": "mlp"}, ValueError, "near_identity: expected one of .*, got 'mlp'"),
        ({"near_identity_size": (3, 4)}, ValueError, "near_identity_size: expected a number of modules"),
        ({"near_identity_size": 0}, ValueError, "near_identity_size: expected a whole number of at least 1"),
        ({"psi": "ridge"}, ValueError, "psi: expected one of .*, got 'ridge'"),
        ({"psi": "henon", "psi_size": 3}, ValueError, "psi_size: expected numbers of layers and of units"),
        ({"psi_size": (2, 3)}, ValueError, "psi_size: expected None where psi is None"),
        ({"twist_degree": -1}, ValueError, "degree, units: expected numbers of 0 or more"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    defaults: dict[str, Any] = {"dim": 4, "epsilon": 0.01, "circle_weights": (1, 0), "angle": 2.4}
    with pytest.raises(error, match=message):
        Gyroceptron(**(defaults | options))


def test_bad_states() -> None:
    net = model("all")
    with pytest.raises(ValueError, match=r"x: expected shape \(..., 5\)"):
        net(torch.zeros(4, dtype=torch.float64))
    with pytest.raises(TypeError, match="x: expected the dtype of the map"):
        net.inverse(torch.zeros(5))


def pairs(epsilon: float, h: float, count: int, half: float = 1.0) -> Windows:
    """Pairs of the published oscillators."""
    return solved_windows(zoo.coupled_oscillators(epsilon).system, box(2, count, half=half), h)


def error(net: Gyroceptron, windows: Windows) -> float:
    return float((net(windows.states[:, 0]) - windows.states[:, 1]).detach().square().mean().sqrt())


def test_training_and_rolling_out_in_three_lines() -> None:
    omega0, h, data = 1.0, 0.05, pairs(0.01, 0.05, 40)
    net = Gyroceptron(dim=4, epsilon=0.01, circle_weights=(1, 0), angle=omega0 * h, near_identity="ridge")
    before = error(net.with_epsilon(0.0), data)
    fit(net, data, optimizer="levenberg-marquardt", steps=6, progress=False)
    assert error(net, data) < 0.2 * before
    run = rollout(net, data.states[:3, 0], steps=200, observe=["adiabatic_invariant"], backend="torch")
    values = run.observations["adiabatic_invariant"]
    assert ((values - values[0]).abs() / values[0]).max() < 0.2


def test_training_at_several_parameters_predicts_another() -> None:
    h = 1.0

    def at(epsilon: float) -> Tensor:
        return torch.nn.functional.pad(pairs(epsilon, h, 50, 0.6).states, (0, 1), value=epsilon)

    net = Gyroceptron(
        4, "state", (1, 0), h, h=h, near_identity_size=20, generator=generator(),
    )  # fmt: skip
    before, after = torch.cat([at(e) for e in (0.01, 0.02, 0.04)]).unbind(1)
    fit(net, Windows.from_pairs(before, after, h, net.space), optimizer="levenberg-marquardt", steps=15,
        progress=False)  # fmt: skip
    one = pairs(0.03, h, 100, 0.6)
    assert error(net.with_epsilon(0.03), one) < 0.2 * error(net.with_epsilon(0.0), one)


def test_the_angle_is_learned_only_where_asked() -> None:
    data = pairs(0.01, 1.0, 30)
    for learn in (False, True):
        net = Gyroceptron(
            4, 0.01, (1, 0), 0.95, h=1.0, near_identity_size=5, learn_angle=learn, generator=generator()
        )
        fit(net, data, optimizer="levenberg-marquardt", steps=8, progress=False)
        angle = float(net.turn.angle.detach())
        assert (abs(angle - 1.0) < 0.02) == learn
        assert (angle == 0.95) != learn


def test_another_step_than_that_of_the_data_is_refused() -> None:
    net = Gyroceptron(4, 0.01, (1, 0), 2.4, h=0.1, near_identity_size=2)
    with pytest.raises(ValueError, match=r"windows: sampled every 1.0, but the model steps by h = 0.1"):
        fit(net, pairs(0.01, 1.0, 3), optimizer="levenberg-marquardt", steps=1, progress=False)


def test_a_limit_that_is_the_fast_flow_and_one_that_is_not() -> None:
    net, other = (
        Gyroceptron(4, 0.01, (1, 0), a, near_identity_size=20, generator=generator()) for a in (1.0, 1.3)
    )
    x = starts()
    data = torch.cat((x[None], net.unroll(x, steps=200).detach()))
    good = measure_limit(net, x, 200, lambda x: net.action(x, 1.0), data, backend="torch")
    assert good.limit_error == 0
    assert good.data_variation is not None
    torch.testing.assert_close(good.data_variation, good.variation, rtol=1e-9, atol=0)
    assert good.variation.max() < 0.2
    assert not good.resonance.close
    lines = str(good).splitlines()
    assert len(lines) == 4
    assert "no resonance is near" in lines[0]
    wrong = measure_limit(other, x, 200, lambda x: net.action(x, 1.0), backend="torch")
    expected = math.sin(0.15) / math.sin(0.5)  # chords of 0.3 and of 1 radian
    assert wrong.limit_error == pytest.approx(expected, rel=1e-12)
    assert wrong.data_variation is None
    with pytest.raises(ValueError, match="x: expected at least one state"):
        measure_limit(net, x[:0])


def test_an_invariant_at_rest_changes_by_nothing() -> None:
    net = henon_net(angle=GOLDEN, psi=None, psi_size=None, epsilon=0.0)
    report = measure_limit(net, torch.zeros(1, 4, dtype=torch.float64), 10, backend="torch")
    assert report.variation.tolist() == [0.0]
