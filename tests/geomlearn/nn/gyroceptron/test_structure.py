"""Structure of gyroceptrons at weights of the size of one, to rounding."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch

from geomlearn.nn import Gyroceptron
from integrators import certify

from .._models import generator
from ..symplectic._layers import box, form
from ..symplectic.test_structure import defects
from ._nets import GOLDEN, henon_net, published_net, starts, with_parameter

DTYPES = (torch.float64, torch.float32)
KINDS: dict[str, Any] = {"ridge": 30, "henon": (3, 5), "gradient": (4, 6)}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_published_sizes_are_symplectic_and_invertible(dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    for seed in range(5):
        net, z = published_net(seed, 0.01, 0.7, dtype), box(2, 500, seed=seed).to(dtype)
        with torch.no_grad():
            symplectic, volume, growth = defects(net.phase_derivative(z)[0])
            assert symplectic < 100 * eps * growth
            assert volume < 100 * eps * growth
            assert (net.inverse(net(z)) - z).abs().max() < 100 * eps * growth
            assert (net(net.inverse(z)) - z).abs().max() < 100 * eps * growth
            assert (net(z) - z).abs().max() > 0.5


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_limit_is_a_circle_action(dtype: torch.dtype) -> None:
    eps, net = torch.finfo(dtype).eps, published_net(1, 0.0, 0.7, dtype)
    z = box(2, 100).to(dtype)
    with torch.no_grad():
        growth = defects(net.phase_derivative(z)[0])[2]
        assert (net.circle(z, 0.7) - net(z)).abs().max() < 100 * eps * growth
        assert torch.equal(net.limit(z), net.circle(z, 0.7))
        assert (net.circle(net.circle(z, 0.7), 0.4) - net.circle(z, 1.1)).abs().max() < 100 * eps * growth
        assert (net.circle(z, 2 * math.pi) - z).abs().max() < 100 * eps * growth
        assert (net.adiabatic_invariant(net(z)) - net.adiabatic_invariant(z)).abs().max() < 100 * eps * growth


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [2, 4, 8, 16, 64])
def test_fractions_of_a_turn_return(n: int, dtype: torch.dtype) -> None:
    net, z = published_net(1, 0.0, 2 * math.pi / n, dtype), box(2, 100).to(dtype)
    with torch.no_grad():
        growth = defects(net.phase_derivative(z)[0])[2]
        x = z
        for _ in range(n):
            x = net(x)
    assert (x - z).abs().max() < 20 * n * torch.finfo(dtype).eps * growth


@pytest.mark.parametrize("kind", KINDS)
def test_the_part_near_the_identity_is_of_first_order(kind: str) -> None:
    net = Gyroceptron(
        4, 0.0, (1, 0), 0.7, kind, near_identity_size=KINDS[kind], psi="henon", psi_size=(2, 3),
        generator=generator(),
    )  # fmt: skip
    z = box(2, 200)
    with torch.no_grad():
        limit = net.limit(z)
        assert (net(z) - limit).abs().max() < 1e-14
        sizes = [float((net.with_epsilon(e)(z) - limit).abs().max()) for e in (1e-2, 1e-3, 1e-4)]
    for large, small in pairwise(sizes):
        assert math.log10(large / small) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("last", [True, False], ids=["last", "first"])
@pytest.mark.parametrize("kind", KINDS)
def test_derivative_in_closed_form(kind: str, last: bool) -> None:
    net = Gyroceptron(
        6, 0.3, (2, 0, -1), 0.7, kind, near_identity_size=KINDS[kind], psi="henon", psi_size=(2, 3),
        psi_gain=1.0, twist_degree=1, twist_units=3, near_identity_last=last, generator=generator(3),
    )  # fmt: skip
    with torch.no_grad():
        net.turn.slopes.fill_(0.3)
        net.turn.height.fill_(0.5)
    z = box(3, 20)
    with torch.no_grad():
        derivative, before, after = net.phase_derivative(z)
    exact = torch.func.vmap(torch.func.jacrev(net))(z).detach()
    scale = float(exact.abs().max())
    torch.testing.assert_close(derivative, exact, rtol=0, atol=1e-13 * scale)
    assert torch.equal(before, form(3))
    assert torch.equal(after, form(3))
    assert defects(exact)[0] < 1e-14 * defects(exact)[2]


def test_the_certificate() -> None:
    found = certify(henon_net(epsilon=0.05), starts(), 16, backend="torch")
    assert found.symplectic
    assert found.volume_preserving
    assert found.invertible


def test_a_parameter_in_the_state() -> None:
    """The form of ``(q, p)`` is kept where epsilon is constant, and the Poisson bracket on the whole."""
    net = henon_net(epsilon="state").requires_grad_(False)
    x = with_parameter(starts(), 0.0, 0.02, 0.1)
    moved = net(x)
    assert torch.equal(moved[..., 4], x[..., 4])
    for k, epsilon in enumerate((0.0, 0.02, 0.1)):
        torch.testing.assert_close(moved[k, :, :4], net.with_epsilon(epsilon)(starts()), rtol=0, atol=1e-14)
    torch.testing.assert_close(net.inverse(moved), x, rtol=0, atol=1e-13)
    assert certify(net, x, 16, backend="torch").symplectic
    whole = torch.func.vmap(torch.func.jacrev(net))(x.flatten(0, 1))
    bracket = torch.nn.functional.pad(form(2), (0, 1, 0, 1))
    growth = float(torch.linalg.matrix_norm(whole, 2).max()) ** 2
    assert (whole @ bracket @ whole.mT - bracket).abs().max() < 1e-14 * growth
    pulled = whole.mT @ bracket @ whole - bracket
    assert pulled[:, :4, :4].abs().max() < 1e-14 * growth
    assert pulled[:, :4, 4].abs().max() > 0.01  # how the map moves with epsilon


def test_other_parameters_share_the_weights() -> None:
    net = henon_net()
    other = net.with_epsilon("state").with_epsilon(0.1)
    assert other.space == net.space
    assert net.epsilon == 0.01
    assert [p.data_ptr() for p in other.parameters()] == [p.data_ptr() for p in net.parameters()]
    assert not torch.equal(other(starts()), net(starts()))


def test_another_step_turns_and_moves_in_proportion() -> None:
    net = henon_net(h=0.5, epsilon=0.2)
    assert net.with_step(1.0).resonance().angle == pytest.approx(2 * GOLDEN)
    assert net.with_step(1.0).strength == 0.2
    z = starts()
    same = net.with_step(0.25).with_epsilon(0.0)
    torch.testing.assert_close(same(same(z)), net.limit(z), rtol=0, atol=1e-13)


@pytest.mark.parametrize("batch", [(), (0,), (2, 3)], ids=str)
@pytest.mark.parametrize("epsilon", [0.01, "state"])
def test_batches(epsilon: float | str, batch: tuple[int, ...]) -> None:
    net = henon_net(epsilon=epsilon)
    x = torch.rand(*batch, net.space.size, generator=generator(), dtype=torch.float64)
    assert net(x).shape == net.inverse(x).shape == net.limit(x).shape == x.shape
    assert net.phase_derivative(x)[0].shape == (*batch, 4, 4)
    assert net.adiabatic_invariant(x).shape == net.corrected_invariant(x, 32).shape == batch
    assert net.small_divisors(x, 5).shape == (*batch, 5)
    assert net.rates_on_circle(x, 32).shape == (*batch, 32)


def test_functional_transforms() -> None:
    net, z = henon_net(), starts()
    torch.testing.assert_close(torch.func.vmap(net)(z), net(z), rtol=0, atol=1e-14)
    slope = torch.func.vmap(torch.func.grad(net.adiabatic_invariant))(z)
    exact = torch.autograd.functional.jacobian(lambda x: net.adiabatic_invariant(x).sum(), z)
    torch.testing.assert_close(slope, exact, rtol=0, atol=1e-13)


def test_psi_starts_near_the_identity() -> None:
    net = Gyroceptron(4, 0.0, (1, 0), 0.7, psi="henon", generator=generator())
    z = box(2, 200)
    near, far = net(z) - net.turn(z), henon_net(angle=0.7)(z) - net.turn(z)
    assert near.square().mean() < 0.01 * far.square().mean()
