"""A small ridge gyroceptron trained by least squares on the published experiment."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geomlearn import fit
from geomlearn.data import Windows, coupled_oscillator_windows
from geomlearn.losses import VelocityPositionLoss, relative_increment_error
from geomlearn.nn import DirectFlow, Gyroceptron
from integrators import FlowMap, RungeKutta4, rollout, zoo

EPSILON, H = 0.01, 0.05
PUBLISHED = 2 * 512  # the published loss is a sum over the four variables and a batch of 512
LOSS = VelocityPositionLoss({"q": [EPSILON, 1.0], "p": [EPSILON, 1.0]})


@pytest.fixture(scope="module")
def pairs() -> Windows:
    return coupled_oscillator_windows(0, per_box=150, h=H)


@pytest.fixture(scope="module")
def fresh() -> Windows:
    return coupled_oscillator_windows(1, per_box=500, h=H)


@pytest.fixture(scope="module")
def net(pairs: Windows) -> Gyroceptron:
    made = Gyroceptron(
        dim=4,
        epsilon=EPSILON,
        circle_weights=(1, 0),
        angle=H,
        h=H,
        near_identity_size=30,
        generator=torch.Generator().manual_seed(0),
    )
    history = fit(made, pairs, loss=LOSS, optimizer="levenberg-marquardt", steps=60, progress=False)
    assert history.losses[-1] < 1e-3 * history.losses[0]
    return made


def published(model: FlowMap, windows: Windows) -> float:
    with torch.no_grad():
        return PUBLISHED * float(LOSS(model, windows.states))


def test_the_loss_is_the_published_one(fresh: Windows) -> None:
    """Standing still has 2.2e-2, the rotation alone 2.0e-4, over the published boxes."""
    still = DirectFlow(fresh.space, H, (1,))
    with torch.no_grad():
        for parameter in still.parameters():
            parameter.zero_()
    assert published(still, fresh) == pytest.approx(2.2e-2, rel=0.05)
    rotation = Gyroceptron(4, 0.0, (1, 0), H, h=H, near_identity_size=1)
    assert published(rotation, fresh) == pytest.approx(2.0e-4, rel=0.1)


def test_labels_of_a_float32_integration_put_a_floor_under_the_loss() -> None:
    """The published labels are those of 100 steps of RK4 in float32: 2.2e-9 from the truth."""
    true = coupled_oscillator_windows(1, per_box=500, h=H)
    flow = RungeKutta4(zoo.coupled_oscillators(EPSILON).system.float(), H / 100)
    with torch.no_grad():
        labels = flow.unroll(true.states[:, 0].float(), steps=100)[-1].double()
    error = (labels - true.states[:, 1]).square() * torch.tensor([EPSILON, 1.0, EPSILON, 1.0])
    assert 512 * float(error.sum(-1).mean()) == pytest.approx(2.2e-9, rel=0.5)


def test_thirty_ridge_modules_are_better_than_the_published_weights(net: Gyroceptron, fresh: Windows) -> None:
    """The published 549 weights have 5.5e-6, and errors of 30% and 12% of the slow motion."""
    assert published(net, fresh) < 1e-6
    error = relative_increment_error(net, fresh)
    assert float(error["q"][0, 1]) < 0.03
    assert float(error["p"][0, 1]) < 0.08


def test_the_adiabatic_invariant_stays_in_a_band(net: Gyroceptron) -> None:
    """From the published starts the true action changes by up to 2.7e-2 of itself."""
    starts = torch.zeros(7, 4, dtype=torch.float64)
    starts[:, 0] = 1.5
    starts[:, 1] = torch.tensor([0.0, 0.15, 0.3, 0.4, 1.0, 1.45, 1.55], dtype=torch.float64)
    run = rollout(net, starts, 20_000, 50, observe=["adiabatic_invariant"], backend="numba")
    mu = run.observations["adiabatic_invariant"]
    change: Tensor = (mu / mu[0] - 1).abs()
    assert float(change.max()) < 0.04
    assert float(change[200:].max()) < 1.3 * float(change[:200].max())
    problem = zoo.coupled_oscillators(EPSILON)
    energy = problem.system.energy(run.states)
    assert float((energy - energy[0]).abs().max()) < 5e-3
    reduced = problem.reduced(run.states, problem.moment(starts))
    assert float((reduced - reduced[0]).abs().max()) < 0.1


def test_several_steps_at_once_can_be_fitted() -> None:
    """Windows of four samples: the loss and its residuals follow the unrolled map."""
    windows = coupled_oscillator_windows(2, per_box=20, h=1.0, samples=4)
    net = Gyroceptron(
        4, EPSILON, (1, 0), 1.0, h=1.0, near_identity_size=10, generator=torch.Generator().manual_seed(0)
    )
    history = fit(net, windows, loss=LOSS, optimizer="levenberg-marquardt", steps=25, progress=False)
    assert history.losses[-1] < 0.1 * history.losses[0]
    error = relative_increment_error(net, windows)
    assert error["q"].shape == (3, 2)
    assert float(error["q"][2, 1]) < 0.3


def test_a_gyroceptron_is_found_again_from_its_steps() -> None:
    """With the call that needs neither a loss nor a number of steps."""

    def network() -> Gyroceptron:
        source = torch.Generator().manual_seed(3)
        return Gyroceptron(4, 0.1, (1, 0), angle=2.4, near_identity_size=3, generator=source)

    true, net = network(), network()
    source = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for layer in true.near:
            layer.get_parameter("a").mul_(10)
        z = torch.randn(60, 4, generator=source, dtype=torch.float64)
        pairs = Windows.from_pairs(z, true(z), true.h, true.space)
        for parameter, exact in zip(net.parameters(), true.parameters(), strict=True):
            parameter.copy_(exact + 0.05 * torch.randn(exact.shape, generator=source, dtype=torch.float64))
        assert float((net(z) - true(z)).abs().max()) > 1e-3
    history = fit(net, pairs, optimizer="levenberg-marquardt", progress=False)
    assert history.stop_reason == "converged"
    assert history.steps < 60
    with torch.no_grad():
        assert float((net(z) - true(z)).abs().max()) < 1e-9
