"""Values of a gyroceptron whose weights are given by formulas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geomlearn.nn import Gyroceptron

from ..symplectic._layers import Z, with_formula


def equal(found: Tensor, *expected: float) -> bool:
    wanted = torch.tensor(expected, dtype=torch.float64).squeeze()
    return torch.allclose(found.detach(), wanted, rtol=0, atol=2e-15)


@pytest.fixture(scope="module")
def net() -> Gyroceptron:
    net = Gyroceptron(4, 0.1, (1, 0), 0.7, "henon", near_identity_size=(2, 3), psi="henon", psi_size=(2, 3))
    for k in (0, 1):
        with_formula(net.psi_layers[k], k, 0.0)
        with_formula(net.near_layers[k], k, 0.5)
    return net


def test_rotation(net: Gyroceptron) -> None:
    assert equal(net.turn(Z), 0.551561499804192, -0.2, 0.189155787470937, 0.7)


def test_change_of_coordinates(net: Gyroceptron) -> None:
    assert equal(
        net.to_normal(Z), 0.143444237061115, -0.349787423300175, 0.385374867411118, 0.590884682093452
    )


def test_step(net: Gyroceptron) -> None:
    assert equal(net(Z), 0.473227365433892, -0.218294713691465, 0.265301841698895, 0.676671874330401)


def test_invariant_before_and_after(net: Gyroceptron) -> None:
    assert equal(net.adiabatic_invariant(Z), 0.084545018789091)
    assert equal(net.adiabatic_invariant(net(Z)), 0.087459574129033)


def test_near_identity_part_before_the_rotation(net: Gyroceptron) -> None:
    """``F' = F_0 o I`` is conjugate to ``F = I o F_0`` by ``I``."""
    other = Gyroceptron(
        4, 0.1, (1, 0), 0.7, "henon", near_identity_size=(2, 3), psi="henon", psi_size=(2, 3),
        near_identity_last=False,
    )  # fmt: skip
    other.load_state_dict(net.state_dict())
    moved = Z
    for layer in net.near_layers:
        moved = layer(moved, 0.1)
    assert not equal(other(Z), *net(Z).tolist())
    again = other(Z)
    for layer in net.near_layers:
        again = layer(again, 0.1)
    assert equal(again, *net(moved).tolist())
    assert equal(other.inverse(other(Z)), *Z.tolist())
