"""Orders of symmetric compositions: conditions on the weights, and measured on symmetric maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from integrators import (
    Gauss4,
    Hamiltonian,
    ImplicitMidpoint,
    KahanLi8,
    KickFlow,
    LinearFlow,
    Strang,
    Suzuki4,
    SymplecticEuler,
    Verlet,
    VerletDriftFirst,
    rollout,
    symmetric_composition,
)
from integrators.composition._weights import JUMPS, order_of, weights_of
from integrators.splitting._table import SYMMETRIC_WEIGHTS

DOUBLE = torch.float64
HENON = Hamiltonian("(p1**2 + p2**2)/2 + (q1**2 + q2**2)/2 + q1**2*q2 - q2**3/3")
CUBIC = Hamiltonian("q1**2*q2 - q2**3/3", positions=["q1", "q2"], momenta=["p1", "p2"])
OSCILLATORS = Hamiltonian("(p1**2 + p2**2)/2 + (q1**2 + q2**2)/2")
START = torch.tensor([0.0, 0.1, 0.39, 0.05], dtype=DOUBLE)


def henon_reference(time: float) -> torch.Tensor:
    def field(_: float, z: np.ndarray) -> list[float]:
        return [z[2], z[3], -z[0] - 2 * z[0] * z[1], -z[1] - z[0] ** 2 + z[1] ** 2]

    exact = solve_ivp(field, (0, time), START.numpy(), method="DOP853", rtol=1e-13, atol=1e-14)
    return torch.as_tensor(exact.y[:, -1])


SYMMETRIC = {
    "Verlet": lambda h: Verlet(HENON, h),
    "VerletDriftFirst": lambda h: VerletDriftFirst(HENON, h),
    "ImplicitMidpoint": lambda h: ImplicitMidpoint(HENON, h),
    "Strang": lambda h: Strang([KickFlow(CUBIC, h), LinearFlow.of(OSCILLATORS, h)], h),
    "mixed": lambda h: Verlet(HENON, h / 4) @ ImplicitMidpoint(HENON, h / 2) @ Verlet(HENON, h / 4),
}


@pytest.mark.parametrize("name", list(SYMMETRIC_WEIGHTS))
def test_weights_fulfil_their_order_conditions_and_no_more(name: str) -> None:
    order, weights = SYMMETRIC_WEIGHTS[name]
    assert order_of(weights, 2) == order


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("name", JUMPS)
def test_jumps_raise_any_even_order_by_two(name: str, order: int) -> None:
    stated, weights = weights_of(name, order)
    assert order_of(weights, order) == stated == order + 2
    assert math.fsum(weights) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("name", list(SYMMETRIC))
@pytest.mark.parametrize(("weights", "counts"), [("Suzuki4", (8, 16)), ("KahanLi6", (5, 10))])
def test_measured_order_on_symmetric_maps(name: str, weights: str, counts: tuple[int, int]) -> None:
    exact, errors = henon_reference(4.0), []
    for count in counts:
        flow, x = symmetric_composition(SYMMETRIC[name](4.0 / count), weights), START
        for _ in range(count):
            x = flow(x)
        errors.append(float((x - exact).abs().max()))
    assert flow.order is not None
    assert math.log2(errors[0] / errors[1]) > flow.order - 0.4
    assert flow.symmetric
    assert flow.symplectic
    assert flow.reversible


def test_triple_jump_of_the_fourth_order_gauss_method_has_order_six() -> None:
    exact, errors = henon_reference(4.0), []
    for count in (6, 12):
        flow, x = symmetric_composition(Gauss4(HENON, 4.0 / count)), START
        for _ in range(count):
            x = flow(x)
        errors.append(float((x - exact).abs().max()))
    assert flow.order == 6
    assert math.log2(errors[0] / errors[1]) > 5.6


def test_composed_verlet_is_the_splitting_of_the_same_weights() -> None:
    for method, weights in ((Suzuki4, "Suzuki4"), (KahanLi8, "KahanLi8")):
        expected = method(HENON, 0.2)(START)
        composed = symmetric_composition(VerletDriftFirst(HENON, 0.2), weights)
        torch.testing.assert_close(composed(START), expected, rtol=0, atol=1e-15)


def test_kernels_agree_with_torch() -> None:
    x = torch.stack((START, 0.9 * START, -START))
    for base in ("Verlet", "Strang"):
        flow = symmetric_composition(SYMMETRIC[base](0.2), "KahanLi6")
        runs = [rollout(flow, x, 40, backend=name) for name in ("torch", "numba")]
        torch.testing.assert_close(runs[0].states, runs[1].states, rtol=0, atol=1e-12)


def test_methods_with_other_weights_share_a_kernel() -> None:
    sources = {
        symmetric_composition(Verlet(HENON, h), weights).kernel_program([]).source(32)
        for h, weights in ((0.1, "Yoshida6"), (0.2, (0.3, 0.2, -0.4, 0.8, -0.4, 0.2, 0.3)))
    }
    assert len(sources) == 1


def test_order_of_other_weights_is_computed() -> None:
    assert symmetric_composition(Verlet(HENON, 0.1), (0.25, 0.5, 0.25)).order == 2
    assert symmetric_composition(Verlet(HENON, 0.1), SYMMETRIC_WEIGHTS["Suzuki4"][1]).order == 4
    assert symmetric_composition(Gauss4(HENON, 0.1), SYMMETRIC_WEIGHTS["Suzuki4"][1]).order == 4


def test_refusals() -> None:
    flow = Verlet(HENON, 0.1)
    with pytest.raises(ValueError, match=r"SymplecticEuler is not.*half.adjoint"):
        symmetric_composition(SymplecticEuler(HENON, 0.1), "Suzuki4")
    with pytest.raises(ValueError, match="known even order, got KickFlow of order None"):
        symmetric_composition(KickFlow(HENON, 0.1), "Suzuki4")
    with pytest.raises(ValueError, match="expected one of"):
        symmetric_composition(flow, "Suzuki5")
    with pytest.raises(ValueError, match="maps of order 2, got one of order 4"):
        symmetric_composition(Gauss4(HENON, 0.1), "KahanLi6")
    for bad in ((0.5, 0.6), (0.2, 0.8), (), (0.5, 0.0, 0.5)):
        with pytest.raises(ValueError, match="read the same backwards"):
            symmetric_composition(flow, bad)
