"""The unstructured baseline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from geomlearn.data import Windows, planar_pendulum_windows, solved_windows
from geomlearn.losses import relative_increment_error
from geomlearn.nn import MLP, DirectFlow
from geomlearn.training import fit, load, save
from integrators import (
    FlowMap,
    ImplicitMidpoint,
    ModuleField,
    ModuleHamiltonian,
    Part,
    RungeKutta4,
    StateSpace,
    rollout,
    vector,
)
from lie import SE3, SO3

from ._models import GROUPS, generator, randn, states


@pytest.mark.parametrize("name", ["SO3", "SE3"])
@pytest.mark.parametrize("inputs", [0, 2])
def test_states_keep_their_shape_and_broadcast_with_controls(name: str, inputs: int) -> None:
    model = DirectFlow(GROUPS[name], 0.02, (4,), inputs, generator=generator())
    for batch in ((), (0,), (2, 3)):
        assert model(states(model, *batch)).shape == (*batch, model.space.size)
    if inputs:
        x, u = states(model), randn(5, 7, inputs)
        path = model.unroll(x, u)
        assert path.shape == (5, 7, model.space.size)
        assert torch.allclose(path[:, 3], model.unroll(x, u[:, 3]), rtol=0, atol=1e-14)


def test_absent_controls_are_zero() -> None:
    model = DirectFlow(SE3, 0.02, (4,), 2, generator=generator())
    x = states(model, 3)
    assert torch.equal(model(x), model(x, torch.zeros(3, 2, dtype=torch.float64)))


def test_change_is_small_at_first() -> None:
    model = DirectFlow(SO3, 0.02, generator=generator())
    x = states(model, 10)
    assert (model(x) - x).abs().max() < 0.1


def test_training_reduces_the_loss_but_does_not_keep_rotations() -> None:
    windows = planar_pendulum_windows(0, trajectories=4)[0]
    model = DirectFlow(SO3, 0.02, (20,), 1, generator=generator())
    history = fit(model, windows, steps=60, lr=1e-2, progress=False)
    assert history.losses[-1] < 0.2 * history.losses[0]
    final = rollout(model, windows.states[:4, 0], 100, backend="torch").final
    rotation = model.space.view(final)["R"]
    assert (rotation.mT @ rotation - torch.eye(3, dtype=torch.float64)).abs().max() > 1e-3


@pytest.mark.parametrize("h", [0.0, -0.1, float("nan")])
def test_no_step_is_refused(h: float) -> None:
    with pytest.raises(ValueError, match="h: expected a positive step"):
        DirectFlow(SO3, h)
    with pytest.raises(ValueError, match="controls: expected a number of inputs"):
        DirectFlow(SO3, 0.1, controls=-1)


def test_any_layout_of_states_is_learned_and_written(tmp_path: Path) -> None:
    space = StateSpace(vector("q", 1, unit="rad"), Part("R", SO3), Part("s", None, (), "K"), vector("p", 1))
    model = DirectFlow(space, 0.1, (3,), 1, generator=generator())
    x, u = randn(5, space.size), randn(5, 1)
    assert model(x, u).shape == (5, 12)
    save(model, tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors")
    assert isinstance(again, DirectFlow)
    assert again.space == space
    assert torch.equal(again(x, u), model(x, u))


def oscillator(count: int) -> Windows:
    """Steps of an oscillator of rate 2 as (q, p)."""
    system = ModuleField(lambda x: torch.stack((x[..., 1], -4 * x[..., 0]), -1), 2)
    return solved_windows(system, randn(count, 2, seed=2), 0.1)


BASELINES: dict[str, Callable[[], FlowMap]] = {
    "map": lambda: DirectFlow(StateSpace(vector("x", 2)), 0.1, (4,), generator=generator()),
    "field": lambda: RungeKutta4(ModuleField(MLP((2, 4, 2), generator=generator()), 2), 0.1),
    "energy": lambda: ImplicitMidpoint(
        ModuleHamiltonian(MLP((2, 5, 1), generator=generator()), degrees=1), 0.1
    ),
}


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_what_structure_is_compared_with_is_fitted_by_least_squares(name: str) -> None:
    model, pairs = BASELINES[name](), oscillator(40)
    windows = Windows.from_pairs(pairs.states[:, 0], pairs.states[:, 1], pairs.h, model.space)
    history = fit(model, windows, optimizer="levenberg-marquardt", stop_at=1e-5, steps=40, progress=False)
    assert history.stop_reason == "loss"
    assert history.losses[0] > 1e-2
    error = torch.cat(list(relative_increment_error(model, windows).values()), -1)
    assert float(error.max()) < 0.05
