"""The adiabatic invariant of untrained gyroceptrons over long rollouts, and its first correction."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geomlearn.nn import Gyroceptron, HenonLayer, ResonanceWarning
from integrators import Rollout, Status, rollout

from .._models import generator
from ..symplectic._layers import box
from ._nets import GOLDEN, henon_net, starts, with_parameter

EPSILONS = (0.0, 1e-4, 1e-3, 1e-2, 3e-2)
STEPS = 100_000


def changes(run: Rollout, steps: int) -> Tensor:
    """Largest change of the invariant within the first steps, for each parameter and start."""
    values = run.observations["adiabatic_invariant"][: steps + 1]
    return (values - values[0]).abs().amax(0)


@pytest.fixture(scope="module")
def long_run() -> Rollout:
    x = with_parameter(starts(), *EPSILONS)
    return rollout(
        henon_net(epsilon="state"),
        x,
        STEPS,
        200,
        observe=["adiabatic_invariant"],
        observe_every=1,
        backend="numba",
    )


def test_the_invariant_changes_in_proportion_to_epsilon(long_run: Rollout) -> None:
    assert int(long_run.status.max()) == int(Status.OK)
    found = changes(long_run, STEPS)
    assert found[0].max() < 1e-10  # rounding
    slopes = torch.log10(found[3] / found[2]), torch.log10(found[2] / found[1])
    for slope in slopes:
        assert (slope - 1).abs().max() < 0.1


def test_the_invariant_does_not_drift(long_run: Rollout) -> None:
    growth = changes(long_run, STEPS) / changes(long_run, STEPS // 10)
    assert growth[2:].max() < 1.1  # at 1e-4 the slow motion has not gone round
    assert growth[1].max() < 2


def test_the_invariant_of_the_kernel_is_that_of_torch(long_run: Rollout) -> None:
    net = henon_net(epsilon="state")
    seen = long_run.observations["adiabatic_invariant"][::200]
    torch.testing.assert_close(seen, net.adiabatic_invariant(long_run.states).detach(), rtol=0, atol=1e-13)


class Dilation(HenonLayer):
    """``z -> (1 + strength) z``, which is not symplectic."""

    def forward(self, z: Tensor, strength: Any = 1.0, control: Tensor | None = None) -> Tensor:
        return z + strength.unsqueeze(-1) * z


def relative_change(angle: float) -> Tensor:
    """Largest change of the invariant over its first value, for epsilon 1e-3 and 1e-2."""
    net = henon_net(epsilon="state", angle=angle)
    run = rollout(net, with_parameter(starts(), 1e-3, 1e-2), 20_000, 200, None, ["adiabatic_invariant"], 1)
    return (changes(run, 20_000) / run.observations["adiabatic_invariant"][0]).amax(-1)


@pytest.mark.parametrize("turns", [0, 1 / 2, 1 / 3])
def test_at_a_low_resonance_the_invariant_is_none(turns: float) -> None:
    with pytest.warns(ResonanceWarning):
        small, large = relative_change(2 * math.pi * turns).tolist()
    assert small > 0.2
    assert small > 0.5 * large  # no better for a tenth of epsilon


def test_at_the_golden_mean_it_improves_in_proportion() -> None:
    small, large = relative_change(GOLDEN).tolist()
    assert large < 0.05
    assert large / small == pytest.approx(10, rel=0.2)


def test_an_angle_below_epsilon_is_a_resonance_until_epsilon_is_smaller() -> None:
    """0.00564 is the angle of the published weights, learned at 0.01."""
    with pytest.warns(ResonanceWarning):
        henon_net(angle=0.00564, epsilon=0.01)
    small, large = relative_change(0.00564).tolist()
    assert large > 1
    assert small < 0.5
    assert relative_change(0.05)[0] < 0.1


def test_the_corrected_invariant_changes_by_the_square() -> None:
    net = henon_net(epsilon="state")
    x = with_parameter(starts(), 1e-3, 3e-3, 1e-2)
    run = rollout(net, x, 20_000, 500, observe=["adiabatic_invariant"])
    with torch.no_grad():
        values, plain = net.corrected_invariant(run.states), net.adiabatic_invariant(run.states)
    change, first = (values - values[0]).abs().amax(0), (plain - plain[0]).abs().amax(0)
    for k, ratio in ((0, 3.0), (1, 10 / 3)):
        slopes = torch.log(change[k + 1] / change[k]) / math.log(ratio)
        assert (slopes - 2).abs().max() < 0.15
    assert bool((change < 0.03 * first).all())


@pytest.mark.parametrize("last", [True, False], ids=["last", "first"])
@pytest.mark.parametrize(
    "options",
    [
        {"psi": None, "psi_size": None},
        {"twist_degree": 1, "twist_units": 2},
        {"dim": 6, "circle_weights": (2, 0, -1)},
        {"dim": 6, "circle_weights": (2, 0, 4)},
    ],
    ids=["no psi", "twist", "two fast pairs", "common divisor"],
)
def test_the_correction_of_other_maps(options: dict[str, Any], last: bool) -> None:
    """One step changes it by ``O(epsilon^2)``, from which the rest follows."""
    sizes: dict[str, Any] = {"dim": 4, "circle_weights": (1, 0), "psi": "henon", "psi_size": (2, 4)}
    net = Gyroceptron(
        **(sizes | options),
        epsilon="state", angle=GOLDEN, near_identity_size=12, psi_gain=1.0, near_identity_last=last,
        generator=generator(1),
    )  # fmt: skip
    with torch.no_grad():
        net.turn.slopes.fill_(0.2)
        net.turn.height.fill_(0.2)
        x = with_parameter(box(net.degrees, 20, half=0.5), 1e-3, 1e-4)
        plain = (net.adiabatic_invariant(net(x)) - net.adiabatic_invariant(x)).abs().amax(-1)
        better = (net.corrected_invariant(net(x)) - net.corrected_invariant(x)).abs().amax(-1)
    assert math.log10(plain[0] / plain[1]) == pytest.approx(1, abs=0.05)
    assert math.log10(better[0] / better[1]) == pytest.approx(2, abs=0.01)


def test_the_rate_has_no_mean_on_circles() -> None:
    """The discrete theorem of Noether; it does not hold for a map that is not symplectic."""
    net = henon_net()
    rates = net.rates_on_circle(box(2, 50)).detach()
    assert rates.abs().max() > 0.3
    assert rates.mean(-1).abs().max() < 2e-12
    broken = henon_net(near_identity_size=(1, 5))
    broken.near = nn.ModuleList([Dilation(2)])
    assert broken.rates_on_circle(box(2, 50)).mean(-1).abs().max() > 0.1


def test_the_correction_is_refused_where_it_divides_by_zero() -> None:
    with pytest.warns(ResonanceWarning):
        net = henon_net(angle=math.pi / 2)
    with pytest.raises(ValueError, match=r"angle: expected one that is no resonance .* at k = 4"):
        net.corrected_invariant(starts())
    slow = henon_net(twist_units=2, twist_sees_slow=True)
    with pytest.raises(ValueError, match="twist_sees_slow: expected an angle of mu_0 alone"):
        slow.corrected_invariant(starts())


def test_an_observer_follows_the_correction() -> None:
    net, x = henon_net(), starts()
    run = rollout(net, x, 3, observe={"both": lambda z: net.corrected_invariant(z, 32)}, backend="torch")
    expected = net.corrected_invariant(run.states, 32).detach()
    torch.testing.assert_close(run.observations["both"], expected, rtol=0, atol=1e-14)
