"""Small divisors, and the warning of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from geomlearn.nn import Gyroceptron, ResonanceWarning

from .._models import generator
from ._nets import GOLDEN, henon_net, starts


def net(angle: float, epsilon: float | str, weights: tuple[int, ...] = (1, 0), **options: Any) -> Gyroceptron:
    return Gyroceptron(
        2 * len(weights), epsilon, weights, angle, near_identity_size=2, generator=generator(), **options
    )


def test_divisors_are_distances_on_the_circle() -> None:
    found = henon_net(angle=0.8).small_divisors(starts(), 6)
    k = torch.arange(1, 7, dtype=torch.float64)
    expected = (torch.exp(1j * 0.8 * k) - 1).abs()
    torch.testing.assert_close(found, expected.expand(3, 6), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "angle", [0.0, math.pi, 2 * math.pi / 3, -math.pi / 2, 6 * math.pi / 7, 10 * math.pi]
)
def test_fractions_of_a_turn_are_warned_of(angle: float) -> None:
    with pytest.warns(ResonanceWarning, match="angle: .* is near a resonance"):
        found = net(angle, 1e-6).resonance()
    assert found.close
    assert found.divisor < 1e-14
    assert math.isclose(math.remainder(found.harmonic * angle, 2 * math.pi), 0, abs_tol=1e-12)


def test_the_angle_of_the_published_weights_is_warned_of() -> None:
    """0.00564 at epsilon 0.01, where the fast flow turns by 0.05."""
    with pytest.warns(ResonanceWarning, match="= 0.0056 for k = 1, against a perturbation of 0.01"):
        net(0.00564, 0.01)


def test_ordinary_use_is_not_warned_of() -> None:
    """Warnings are errors here."""
    assert not net(GOLDEN, 0.1).resonance().close
    assert not net(0.05, 0.01).resonance().close
    assert not net(10.0, 0.01, h=10.0).resonance().close
    assert not net(0.05, 0.01, h=0.05).resonance().close
    assert not net(2 * math.pi / 16, 0.01).resonance().close
    assert not net(2 * math.pi / 3, 0.0).resonance().close
    assert net(2 * math.pi / 3, 0.0).resonance().divisor < 1e-14
    assert not net(0.05, "state").resonance().close


def test_a_parameter_in_the_state_is_warned_of_where_no_parameter_is_small_enough() -> None:
    with pytest.warns(ResonanceWarning, match="for k = 3. The adiabatic"):
        net(2 * math.pi / 3, "state")


def test_a_larger_parameter_or_step_is_warned_of() -> None:
    small = net(0.05, 0.001)
    with pytest.warns(ResonanceWarning):
        small.with_epsilon(0.05)
    assert small.with_step(100.0).resonance().angle == pytest.approx(5.0)


def test_harmonics_are_multiples_of_the_common_divisor() -> None:
    """With weights 2 and 4 half a turn is the identity, so the harmonics are 2, 4, and so on."""
    with pytest.warns(ResonanceWarning, match="k = 2"):
        net(math.pi, 0.01, (2, 0, 4))
    found = net(2 * math.pi / 17, 0.01, (2, 0, 4)).resonance()
    assert found.harmonic == 16


def test_an_angle_that_varies_is_not_warned_of_but_measured() -> None:
    twisted = net(0.0, 0.01, twist_degree=1)
    with torch.no_grad():
        twisted.turn.slopes.fill_(1.0)
    z = torch.tensor([[1.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    found = twisted.small_divisors(z, 2)
    expected = [[2 * abs(math.sin(k * a / 2)) for k in (1, 2)] for a in (0.5, 2.0)]
    torch.testing.assert_close(found.detach(), torch.tensor(expected, dtype=torch.float64))


def test_no_harmonics() -> None:
    with pytest.raises(ValueError, match="harmonics: expected at least 1, got 0"):
        henon_net().resonance(0)
