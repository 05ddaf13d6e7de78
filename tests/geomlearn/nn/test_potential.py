"""The learned potential and its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from geomlearn.nn import NeuralPotential
from lie import SO3

from ._models import GROUPS, configurations, generator, randn, shaken

CASES = pytest.mark.parametrize("group", ["SO3", "SE3"])
FEATURES = pytest.mark.parametrize("features", ["matrix", "quaternion"])


def potential(group: str, features: str, linear: bool = True, activation: str = "tanh") -> NeuralPotential:
    net = NeuralPotential(
        GROUPS[group], (7, 5), features, linear, activation=activation, generator=generator(1)
    )
    return shaken(net)


def tangential(energy: NeuralPotential, q: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Derivatives along body rotations and translations, by autograd of the energy."""

    def moved(eta: Tensor, *x: Tensor) -> Tensor:
        return energy(*x, q[-1] @ SO3.exp(eta)).sum()

    zero = torch.zeros(*q[-1].shape[:-2], 3, dtype=torch.float64)
    return torch.func.grad(moved, argnums=tuple(range(len(q))))(zero, *q[:-1])


@CASES
@FEATURES
@pytest.mark.parametrize("linear", [True, False])
def test_gradient_equals_autograd_along_the_group(group: str, features: str, linear: bool) -> None:
    energy = potential(group, features, linear)
    for batch in ((), (0,), (4,), (2, 3)):
        q = configurations(energy.group, *batch)
        slopes = energy.gradient(*q)
        assert [s.shape for s in slopes] == [p.shape for p in q]
        # d/d eta of U(R exp(eta)) is the axial vector of R^T dU/dR, twice its skew part.
        torque = SO3.vee(q[-1].mT @ slopes[-1] - slopes[-1].mT @ q[-1])
        along, *shift = tangential(energy, q)
        assert torch.allclose(torque, along, rtol=1e-12, atol=1e-13)
        for found, expected in zip(slopes[:-1], shift):
            assert torch.allclose(found, expected, rtol=1e-12, atol=1e-13)


@CASES
def test_matrix_features_have_the_gradient_in_all_nine_entries(group: str) -> None:
    energy = potential(group, "matrix")
    q = configurations(energy.group, 6)
    expected = torch.func.grad(lambda *p: energy(*p).sum(), argnums=tuple(range(len(q))))(*q)
    for found, true in zip(energy.gradient(*q), expected, strict=True):
        assert torch.allclose(found, true, rtol=1e-13, atol=1e-14)


@CASES
def test_quaternion_network_is_even(group: str) -> None:
    energy = potential(group, "quaternion", linear=False)
    q = configurations(energy.group, 8)
    quaternion = SO3.to_quaternion(q[-1])
    features = [torch.cat((*q[:-1], sign * quaternion), dim=-1) for sign in (1, -1)]
    plus, minus = (energy.net(f).squeeze(-1) for f in features)
    assert (plus - minus).abs().max() > 0.1
    assert torch.allclose(energy(*q), (plus + minus) / 2, rtol=1e-14, atol=1e-14)


@CASES
@FEATURES
def test_energy_and_gradient_are_continuous_through_half_turns(group: str, features: str) -> None:
    energy = potential(group, features)
    axes = torch.cat((torch.eye(3, dtype=torch.float64), SO3.log(configurations(SO3, 5)[0])))
    axes = axes / torch.linalg.vector_norm(axes, dim=-1, keepdim=True)
    for angle in (math.pi, 2 * math.pi / 3, math.pi / 2):
        q = [
            (*configurations(energy.group, 8)[:-1], SO3.exp((angle + step) * axes)) for step in (-1e-9, 1e-9)
        ]
        assert torch.allclose(energy(*q[0]), energy(*q[1]), rtol=0, atol=1e-7)
        for a, b in zip(energy.gradient(*q[0]), energy.gradient(*q[1])):
            assert torch.allclose(a, b, rtol=0, atol=1e-7)


@CASES
@FEATURES
def test_rescaling_multiplies_energy_and_gradient(group: str, features: str) -> None:
    energy = potential(group, features)
    q = configurations(energy.group, 4)
    before = (energy(*q), *energy.gradient(*q))
    energy.rescale_(2.5)
    for a, b in zip(before, (energy(*q), *energy.gradient(*q))):
        assert torch.allclose(2.5 * a, b, rtol=1e-13, atol=1e-14)


def test_position_and_attitude_broadcast() -> None:
    for features in ("matrix", "quaternion"):
        energy = potential("SE3", features)
        x, (rotation,) = randn(4, 1, 3), configurations(SO3, 3)
        whole = energy(x.expand(4, 3, 3), rotation.expand(4, 3, 3, 3))
        torch.testing.assert_close(energy(x, rotation), whole, rtol=1e-14, atol=1e-14)


def test_unknown_features_and_groups_are_named() -> None:
    with pytest.raises(ValueError, match="features: expected 'matrix' or 'quaternion', got 'euler'"):
        NeuralPotential(SO3, features="euler")
    with pytest.raises(ValueError, match=r"group: expected lie\.SO3 or lie\.SE3"):
        NeuralPotential("SO3")  # type: ignore[arg-type]
