"""Units in which symplectic maps stay symplectic, and maps that live in other units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from geomlearn.data import Windows
from geomlearn.nn import Gyroceptron, ScaledFlow, SymplecticScaling, SympNet
from geomlearn.training import load, save
from integrators import FlowMap, GaussLegendre, Hamiltonian, Verlet, certify
from tests.integrators.kernels._interpreted import run_program

F64 = torch.float64
SCALE = [10.0, 0.05, 0.2, 40.0]
FORM = torch.tensor([[0, 0, 1, 0], [0, 0, 0, 1], [-1, 0, 0, 0], [0, -1, 0, 0]], dtype=F64)


def network() -> Gyroceptron:
    source = torch.Generator().manual_seed(0)
    net = Gyroceptron(4, 0.05, (1, 0), angle=2.4, near_identity_size=5, h=1.0, generator=source)
    with torch.no_grad():
        net.near[0].get_parameter("a").mul_(10)  # not near the identity, where anything looks symplectic
    return net


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=F64)


def test_units_that_break_the_form_are_refused() -> None:
    for scale, message in (
        ([1.0, 2.0, 3.0], "even number"),
        ([1.0, -1.0], "positive finite"),
        ([1.0, 2.0, 1.0, 1.0], r"same product for every pair.*\[1.0, 2.0\]"),
    ):
        with pytest.raises(ValueError, match=message):
            SymplecticScaling(scale)
    with pytest.raises(ValueError, match="expected 4 units"):
        ScaledFlow(network(), [1.0, 1.0])
    with pytest.raises(ValueError, match="none of which is constant"):
        SymplecticScaling.of(torch.zeros(5, 2))


def test_units_found_from_data_are_symplectic_and_keep_the_ratio_of_each_pair() -> None:
    states = randn(200, 2, 4) * torch.tensor([10.0, 0.1, 3.0, 5.0], dtype=F64)
    scaling = SymplecticScaling.of(states)
    spread = scaling.normalise(states).reshape(-1, 4).std(0)
    torch.testing.assert_close(spread[:2], spread[2:], rtol=1e-12, atol=0)
    assert float(spread.log().sum()) == pytest.approx(0, abs=1e-12)
    one = SymplecticScaling.of(states[..., ::2])
    torch.testing.assert_close(
        one.normalise(states[..., ::2]).reshape(-1, 2).std(0), torch.ones(2, dtype=F64), rtol=1e-12, atol=0
    )


def test_windows_keep_their_step_and_recordings() -> None:
    scaling = SymplecticScaling(SCALE)
    windows = Windows(randn(6, 3, 4), None, 0.1, network().space, torch.arange(6) // 2)
    normal = scaling.normalise_windows(windows)
    torch.testing.assert_close(scaling.restore(normal.states), windows.states, rtol=1e-15, atol=0)
    assert torch.equal(normal.recording, windows.recording)
    with pytest.raises(ValueError, match="expected states of size 2"):
        SymplecticScaling([1.0, 1.0]).normalise_windows(windows)


def test_a_scaled_map_is_the_map_between_scalings() -> None:
    net, scale = network(), torch.tensor(SCALE, dtype=F64)
    flow = SymplecticScaling(SCALE).physical(net)
    x = randn(7, 4) * scale
    torch.testing.assert_close(flow(x), scale * net(x / scale), rtol=1e-15, atol=0)
    torch.testing.assert_close(flow.inverse(flow(x)), x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(flow.adiabatic_invariant(x), net.adiabatic_invariant(x / scale))
    assert flow(x[:0]).shape == (0, 4)
    assert flow(x[0]).shape == (4,)


def test_a_scaled_map_is_symplectic_in_physical_coordinates_and_a_careless_one_is_not() -> None:
    net, x = network(), randn(4)

    def defect(scale: Tensor) -> float:
        derivative = torch.func.jacrev(lambda y: scale * net(y / scale))(x * scale).detach()
        return float((derivative.T @ FORM @ derivative - FORM).abs().max())

    flow = ScaledFlow(net, SCALE)
    slope, before, _ = flow.phase_derivative(x * flow.scale)
    torch.testing.assert_close(slope, torch.func.jacrev(flow)(x * flow.scale), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(before, FORM / 2, rtol=1e-14, atol=0)
    assert defect(flow.scale) < 1e-11
    assert defect(torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=F64)) > 0.01
    certificate = certify(flow, x * flow.scale, steps=20)
    assert certificate.symplectic_defect is not None
    assert certificate.symplectic_defect < 1e-12


@pytest.mark.parametrize("kind", ["network", "carried force", "implicit"])
def test_generated_code_follows_torch(kind: str) -> None:
    system = Hamiltonian("(p1**2 + p2**2)/2 - cos(q1 - q2) + q2**2/2")
    flows: dict[str, FlowMap] = {
        "network": network(),
        "carried force": Verlet(system, 0.1),
        "implicit": GaussLegendre(system, 0.1, stages=1),
    }
    flow = ScaledFlow(flows[kind], SCALE)
    x = randn(3, 4) * flow.scale
    names = list(flow.observables)
    states, observed, codes = run_program(flow.kernel_program(names), x, 20, torch.zeros(20, 3, 0, dtype=F64))
    with torch.no_grad():
        path = flow.unroll(x, steps=20)
    assert not codes.any()
    assert float(((states - path) / flow.scale).abs().max()) < 1e-12
    assert names
    torch.testing.assert_close(observed[..., 0], getattr(flow, names[0])(path), rtol=0, atol=1e-11)


def test_a_scaled_map_can_be_written_and_takes_another_step(tmp_path: Path) -> None:
    flow = ScaledFlow(SympNet(4, layers=2, units=3, h=0.5), SCALE)
    save(flow, tmp_path / "map.safetensors")
    again: Any = load(tmp_path / "map.safetensors")
    x = randn(4)
    assert torch.equal(again(x), flow(x))
    assert torch.equal(again.scale, flow.scale)
    half = flow.with_step(0.25)
    assert (half.h, half.flow.h, flow.flow.h) == (0.25, 0.25, 0.5)
    with pytest.raises(TypeError, match="has no config"):
        ScaledFlow(Verlet(Hamiltonian("p**2/2 + q**2/2"), 0.1), [1.0, 1.0]).config()
