"""Compiled rollouts of gyroceptrons, beside torch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from geomlearn.nn import Gyroceptron, ResonanceWarning
from integrators import rollout

from .._models import generator
from ..symplectic._layers import box
from ._nets import henon_net, starts, with_parameter

STEPS = 300


def compare(net: Gyroceptron, x: torch.Tensor, tolerance: float, steps: int = STEPS) -> None:
    compiled, plain = (
        rollout(net, x, steps, 10, observe="adiabatic_invariant", backend=backend)
        for backend in ("numba", "torch")
    )
    torch.testing.assert_close(compiled.states, plain.states, rtol=0, atol=tolerance)
    seen = compiled.observations["adiabatic_invariant"]
    torch.testing.assert_close(seen, plain.observations["adiabatic_invariant"], rtol=0, atol=tolerance)
    assert (compiled.states[-1] - x).abs().max() > 0.1


def test_several_parameters_in_one_rollout() -> None:
    compare(henon_net(epsilon="state"), with_parameter(starts(), 0.0, 1e-2, 5e-2), 1e-12)


def test_ridge_modules_before_a_twist_in_float32() -> None:
    net = Gyroceptron(
        6, 0.02, (1, 0, -2), 2.4, near_identity_size=20, near_identity_last=False, twist_degree=2,
        twist_units=5, twist_sees_slow=True, dtype=torch.float32, generator=generator(),
    )  # fmt: skip
    with torch.no_grad():
        net.turn.slopes.fill_(0.05)
        net.turn.height.fill_(0.005)
    compare(net, box(3, 3, half=0.5).float(), 1e-4, 50)


def test_shears_in_other_coordinates() -> None:
    net = Gyroceptron(
        4, 0.02, (1, 0), 2.4, "gradient", near_identity_size=(2, 3), psi="henon", psi_size=(1, 3), h=0.5,
        generator=generator(),
    )  # fmt: skip
    compare(net.with_step(0.4), starts(), 1e-12)


def test_the_program_reads_the_weights_of_the_day() -> None:
    net, x = henon_net(epsilon="state"), with_parameter(starts(), 0.01)
    before = rollout(net, x, 20, observe="adiabatic_invariant", backend="numba").final
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(0.9)
    after = rollout(net, x, 20, observe="adiabatic_invariant", backend="numba").final
    torch.testing.assert_close(after, rollout(net, x, 20, backend="torch").final, rtol=0, atol=1e-12)
    assert (after - before).abs().max() > 0.01


def test_an_angle_that_was_learned_into_a_resonance_is_seen_when_the_invariant_is_asked_for() -> None:
    options: dict[str, Any] = {"near_identity_size": 3, "learn_angle": True, "generator": generator()}
    net = Gyroceptron(4, 0.01, (1, 0), 2.4, **options)
    with torch.no_grad():
        net.turn.angle.fill_(math.pi)
    assert net.kernel_program([]).observed_size == 0
    with pytest.warns(ResonanceWarning, match="k = 2"):
        net.kernel_program(["adiabatic_invariant"])
