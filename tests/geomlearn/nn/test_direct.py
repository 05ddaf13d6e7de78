"""The unstructured baseline."""

from __future__ import annotations

import pytest
import torch

from geomlearn.data import planar_pendulum_windows
from geomlearn.nn import DirectFlow
from geomlearn.training import fit
from integrators import rollout
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
