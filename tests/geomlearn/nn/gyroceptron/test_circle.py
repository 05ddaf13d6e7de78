"""Circle actions and the maps that turn by an angle of their own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from geomlearn.nn import CircleAction, SymplecticFlow, TwistLayer
from integrators import Hamiltonian, certify, rollout

from .._models import generator, shaken
from ..symplectic._layers import box, form

WEIGHTS = ((1, 0), (1, 1), (1, -2), (3, 0, -1))
TWISTS: dict[str, dict[str, Any]] = {
    "rotation": {},
    "powers": {"degree": 3},
    "tanh": {"units": 4},
    "both": {"degree": 2, "units": 3},
    "slow": {"degree": 2, "units": 5, "sees_slow": True},
}


def twist(name: str, weights: tuple[int, ...] = (1, 0, 2, 0), seed: int = 0) -> TwistLayer:
    """A layer with all weights of the size of one."""
    layer = TwistLayer(weights, 0.7, **TWISTS[name], generator=generator(seed))
    shaken(layer, 0.5, seed)
    return layer


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_the_action_is_one_of_the_circle(weights: tuple[int, ...]) -> None:
    action, z = CircleAction(weights), box(len(weights), 20)
    torch.testing.assert_close(action(action(z, 0.7), 0.4), action(z, 1.1), rtol=0, atol=1e-14)
    torch.testing.assert_close(action(z, 2 * math.pi), z, rtol=0, atol=1e-14)
    turned = action(z, torch.linspace(0, 6, 20, dtype=torch.float64))
    torch.testing.assert_close(action.moment(turned), action.moment(z), rtol=0, atol=1e-14)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_the_moment_generates_the_action(weights: tuple[int, ...]) -> None:
    action, z = CircleAction(weights), box(len(weights), 20)
    slope = torch.func.vmap(torch.func.grad(action.moment))(z)
    torch.testing.assert_close(action.moment_slope(z), slope, rtol=0, atol=1e-15)
    torch.testing.assert_close(action.generator(z), slope @ form(len(weights)).T, rtol=0, atol=1e-15)
    angle = torch.tensor(0.3, dtype=torch.float64)
    velocity = torch.func.jvp(lambda a: action(z, a), (angle,), (torch.ones_like(angle),))[1]
    torch.testing.assert_close(velocity, action.generator(action(z, 0.3)), rtol=0, atol=1e-14)


def test_the_generator_is_the_field_of_an_oscillator() -> None:
    system = Hamiltonian("(q1**2 + p1**2)/2 + 3*(q2**2 + p2**2)/2")
    z = box(2, 5)
    torch.testing.assert_close(CircleAction((1, 3)).generator(z), system.field(z), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ((1.5, 0), TypeError, r"circle_weights\[0\]: expected an integer, got 1.5"),
        ((1, 0.0), TypeError, r"circle_weights\[1\]: expected an integer, got 0.0"),
        ((True, 0), TypeError, r"circle_weights\[0\]: expected an integer, got True"),
        (1, TypeError, "circle_weights: expected one integer for each pair, got 1"),
        ((0, 0), ValueError, "circle_weights: expected at least one weight that is not zero"),
        ((1,), ValueError, "circle_weights: expected 2 integers, one for each pair"),
        ((1, 0, 0), ValueError, "circle_weights: expected 2 integers, one for each pair"),
    ],
    ids=["half", "real zero", "true", "number", "zeros", "too few", "too many"],
)
def test_weights_that_are_no_action(weights: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        CircleAction(weights, 2)


@pytest.mark.parametrize("name", TWISTS)
def test_twists_are_symplectic_and_keep_the_moment(name: str) -> None:
    layer, z = twist(name), box(4, 200, half=0.8)
    time = torch.linspace(-1, 2, 200, dtype=torch.float64)
    d = layer.jacobian(z, time)
    exact = torch.func.vmap(torch.func.jacrev(layer))(z, time)
    torch.testing.assert_close(d, exact, rtol=0, atol=1e-12)
    scale = torch.linalg.matrix_norm(d.detach(), 2).max() ** 2
    assert (d.mT @ form(4) @ d - form(4)).abs().max() < 1e-14 * scale
    torch.testing.assert_close(
        layer.action.moment(layer(z, time)), layer.action.moment(z), rtol=0, atol=1e-13
    )
    torch.testing.assert_close(layer.inverse(layer(z, time), time), z, rtol=0, atol=1e-13)
    torch.testing.assert_close(layer(layer(z, 0.3), 0.4), layer(z, 0.7), rtol=0, atol=1e-13)
    torch.testing.assert_close(layer(z, 0.0), z, rtol=0, atol=0)


def test_slow_positions_stay_and_slow_momenta_are_kicked() -> None:
    layer, z = twist("slow"), box(4, 20)
    moved = layer(z)
    assert torch.equal(moved[:, [1, 3]], z[:, [1, 3]])
    assert bool(((moved - z)[:, [5, 7]].abs() > 1e-3).all())
    plain = twist("both")(z)
    assert torch.equal(plain[:, [5, 7]], z[:, [5, 7]])


def test_a_twist_starts_as_the_rotation() -> None:
    layer, z = TwistLayer((1, 0), 0.7, degree=2, units=4, sees_slow=True), box(2, 10)
    torch.testing.assert_close(layer(z), CircleAction((1, 0))(z, 0.7), rtol=0, atol=0)


def test_powers_are_exact_for_a_quartic_oscillator() -> None:
    """``H = mu + mu^2 / 2`` turns by ``h (1 + mu)``: frequency and amplitude go together as in Duffing's."""
    h = 0.9
    layer = TwistLayer((1,), h, degree=1)
    with torch.no_grad():
        layer.slopes.fill_(h)
    z = box(1, 30)
    mu = 0.5 * (z[:, 0] ** 2 + z[:, 1] ** 2)
    torch.testing.assert_close(layer.angle_at(z), h * (1 + mu), rtol=0, atol=1e-15)
    energy = Hamiltonian("(q**2 + p**2)/2 + (q**2 + p**2)**2/8")
    x, small = z.clone(), h / 400
    for _ in range(400):  # the classical method of Runge and Kutta
        a = energy.field(x)
        b = energy.field(x + small / 2 * a)
        c = energy.field(x + small / 2 * b)
        x = x + small / 6 * (a + 2 * b + 2 * c + energy.field(x + small * c))
    torch.testing.assert_close(layer(z), x, rtol=0, atol=1e-9)


def test_a_twist_in_a_kernel_and_in_float32() -> None:
    flow = SymplecticFlow([twist("slow", (1, 0)), twist("slow", (1, 0), seed=1)], h=0.3)
    z = box(2, 3)
    compiled = rollout(flow, z, 200, backend="numba").states
    torch.testing.assert_close(compiled, rollout(flow, z, 200, backend="torch").states, rtol=0, atol=1e-11)
    assert certify(flow, z, 16, backend="torch").symplectic
    single = flow.to(torch.float32)
    assert (single(z.float()).double() - compiled[1]).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"angle": math.inf}, "angle: expected a finite number of radians, got inf"),
        ({"degree": -1}, "degree, units: expected numbers of 0 or more"),
        ({"units": -2}, "degree, units: expected numbers of 0 or more"),
        ({"sees_slow": True}, "sees_slow: expected pairs of weight 0 and units > 0"),
        ({"circle_weights": (1, 2), "units": 3, "sees_slow": True}, "sees_slow: expected pairs of weight 0"),
    ],
    ids=["angle", "degree", "units", "no units", "nothing slow"],
)
def test_twists_that_cannot_be(options: dict[str, Any], message: str) -> None:
    defaults: dict[str, Any] = {"circle_weights": (1, 0), "angle": 0.3}
    with pytest.raises(ValueError, match=message):
        TwistLayer(**(defaults | options))


def test_states_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"z: expected shape \(..., 4\)"):
        TwistLayer((1, 0), 0.3)(torch.zeros(6, dtype=torch.float64))


@pytest.mark.parametrize("batch", [(), (0,), (2, 3)], ids=str)
def test_batches(batch: tuple[int, ...]) -> None:
    z: Tensor = box(4, *batch)
    for name in TWISTS:
        layer = twist(name)
        assert layer(z).shape == z.shape
        assert layer.jacobian(z).shape == (*z.shape, 8)
        assert layer.angle_at(z).shape == batch
