"""Splittings into exact flows against closed forms and high-precision solutions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from integrators import (
    DriftFlow,
    ExactFlow,
    GyroscopicFlow,
    GyroscopicSplitting,
    Hamiltonian,
    KickFlow,
    LieTrotter,
    LinearFlow,
    StateSpace,
    Strang,
    SymplecticEuler,
    Verlet,
    certify,
    rollout,
    symmetric_composition,
    vector,
)

DOUBLE = torch.float64
PENDULUM = Hamiltonian("p**2/2 - cos(q)")
DRIVEN = Hamiltonian("p**2/2 + q**2/2 - q*cos(2*t)")
WELL = Hamiltonian("(p1**2 + p2**2 + p3**2)/(2*m) + (q1**2 + 2*q2**2 + q3**2/2)/2 + 0.3*q1**4", {"m": 1.7})
B, CHARGE = (0.2, 0.5, 3.0), 1.3
G = CHARGE * torch.tensor([[0, B[2], -B[1]], [-B[2], 0, B[0]], [B[1], -B[0], 0]], dtype=DOUBLE)
CHARGED = torch.tensor([[0.4, 0.1, -0.2, 0.3, 0.2, 0.5]], dtype=DOUBLE)


def test_kick_and_drift_make_verlet_and_symplectic_euler() -> None:
    x, h = torch.tensor([[0.4, 0.2], [1.0, -0.3]], dtype=DOUBLE), 0.1
    parts = [KickFlow(PENDULUM, h), DriftFlow(PENDULUM, h)]
    torch.testing.assert_close(Strang(parts, h)(x), Verlet(PENDULUM, h)(x), rtol=0, atol=1e-16)
    torch.testing.assert_close(LieTrotter(parts, h)(x), SymplecticEuler(PENDULUM, h)(x), rtol=0, atol=1e-16)
    assert (LieTrotter(parts, h).order, LieTrotter(parts, h).symmetric) == (1, False)
    assert sum(part.duration for part in Strang(parts, h).parts) == h


def test_time_passes_with_the_drifts() -> None:
    flow = Strang([DriftFlow(DRIVEN, 1), KickFlow(DRIVEN, 1)], 0.1)
    x = torch.tensor([[0.4, 0.2, 0.7]], dtype=DOUBLE)
    runs = [rollout(flow, x, 10, backend=name) for name in ("torch", "numba")]
    torch.testing.assert_close(runs[0].states, runs[1].states, rtol=0, atol=1e-13)
    assert float(runs[1].final[0, 2]) == pytest.approx(1.7, abs=1e-14)


def test_linear_flow_is_the_rotation() -> None:
    system = Hamiltonian("p**2/(2*m) + k*q**2/2 - f*q", {"m": 0.5, "k": 2.0, "f": 1.0})
    flow, x = LinearFlow.of(system, 0.3), torch.tensor([1.0, 0.4], dtype=DOUBLE)
    w, rest = math.sqrt(2.0 / 0.5), 1.0 / 2.0
    q = rest + (1 - rest) * math.cos(0.3 * w) + 0.4 / (0.5 * w) * math.sin(0.3 * w)
    p = -0.5 * w * (1 - rest) * math.sin(0.3 * w) + 0.4 * math.cos(0.3 * w)
    torch.testing.assert_close(flow(x), torch.tensor([q, p], dtype=DOUBLE), rtol=0, atol=1e-15)
    torch.testing.assert_close(flow.inverse(flow(x)), x, rtol=0, atol=1e-15)
    assert flow.symplectic
    assert not LinearFlow(flow.space, torch.eye(2, dtype=DOUBLE), 0.1).symplectic


@pytest.mark.parametrize("size", [3, 10])
def test_linear_kernels_agree_with_torch(size: int) -> None:
    generator = torch.Generator().manual_seed(3)
    a = torch.randn(size, size, dtype=DOUBLE, generator=generator)
    flow = LinearFlow(StateSpace(vector("x", size)), a - a.mT, 0.1, torch.linspace(-1, 1, size, dtype=DOUBLE))
    x = torch.randn(4, size, dtype=DOUBLE, generator=generator)
    runs = [rollout(flow, x, 20, backend=name) for name in ("torch", "numba")]
    torch.testing.assert_close(runs[0].states, runs[1].states, rtol=0, atol=1e-12)


def test_fast_oscillations_do_not_limit_the_step_of_an_impulse_method() -> None:
    """Steps of 2 periods of a spring of frequency 100: Verlet is unstable beyond h = 0.02."""
    spring = Hamiltonian("p**2/2 + 5000*q**2")
    soft = Hamiltonian("q**4/4", positions=["q"], momenta=["p"])
    whole = Hamiltonian("p**2/2 + 5000*q**2 + q**4/4")
    x = torch.tensor([[0.05, 1.0]], dtype=DOUBLE)
    flow = Strang([KickFlow(soft, 1), LinearFlow.of(spring, 1)], 0.13, whole)
    run = rollout(flow, x, 1000, observe=["energy"], backend="numba")
    energy = run.observations["energy"]
    assert float((energy / energy[0] - 1).abs().max()) < 1e-4
    plain = rollout(Verlet(whole, 0.13), x, 50, backend="torch")
    assert not float(whole.energy(plain.final).abs().max()) < 1e6


def test_gyroscopic_flow_is_the_circle() -> None:
    """Without a force the velocity turns about B by the angle e |B| h / m."""
    flow = GyroscopicFlow(WELL, 0.4, G)
    v, axis = CHARGED[0, 3:], torch.tensor(B, dtype=DOUBLE)
    angle, n = -CHARGE * float(axis.norm()) * 0.4 / 1.7, axis / axis.norm()
    turned = (
        v * math.cos(angle) + torch.linalg.cross(n, v) * math.sin(angle) + n * (n @ v) * (1 - math.cos(angle))
    )
    torch.testing.assert_close(flow(CHARGED)[0, 3:], turned, rtol=0, atol=1e-15)
    assert flow.symplectic_form().equal(-flow.symplectic_form().mT)


def test_charge_in_a_magnetic_field() -> None:
    flow = GyroscopicSplitting(WELL, 0.1, G)
    assert (flow.symplectic, flow.symmetric, flow.reversible, flow.order) == (True, True, False, 2)
    report = certify(flow, CHARGED, steps=400, backend="torch")
    assert report.symplectic
    assert report.volume_preserving
    assert report.reversible is False
    assert not report.energy_drifts
    high = symmetric_composition(flow, "Suzuki4")

    def field(_: float, z: np.ndarray) -> list[float]:
        v = z[3:] / 1.7
        force = -np.array([z[0] + 1.2 * z[0] ** 3, 2 * z[1], 0.5 * z[2]]) + CHARGE * np.cross(v, B)
        return [*v, *force]

    exact = solve_ivp(field, (0, 4), CHARGED[0].numpy(), method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    errors = []
    for count in (20, 40):
        run = rollout(high.with_step(4.0 / count), CHARGED, count, backend="numba")
        errors.append(float((run.final[0] - torch.as_tensor(exact)).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3)


def test_three_flows_of_a_volume_preserving_field() -> None:
    """The ABC flow: shears along the axes, each exact and each keeping volume."""
    space = StateSpace(vector("x", 3))

    def shear(k: int):
        def flow(x: Tensor, h: float) -> Tensor:
            s = x[..., k]
            velocity = torch.zeros_like(x)
            others = [(k + 1) % 3, (k + 2) % 3]
            columns = [velocity[..., 0], velocity[..., 1], velocity[..., 2]]
            columns[others[0]], columns[others[1]] = torch.sin(s), torch.cos(s)
            return x + h * torch.stack(columns, -1)

        return ExactFlow(space, flow, 1.0, name=f"shear {k}")

    flow = Strang([shear(k) for k in range(3)], 0.1)
    report = certify(flow, torch.tensor([[0.3, 1.0, -0.7]], dtype=DOUBLE), steps=50, backend="torch")
    assert report.volume_preserving
    assert report.order == pytest.approx(2, abs=0.1)
    assert report.symplectic is None
    assert not flow.symplectic
    assert symmetric_composition(flow, "Yoshida4").order == 4


def test_refusals() -> None:
    coupled = Hamiltonian("p**2*(1 + q**2)/2")
    for flow in (KickFlow, DriftFlow):
        with pytest.raises(ValueError, match=rf"{flow.__name__} needs H = T\(p\) \+ V\(q\)"):
            flow(coupled, 0.1)
    with pytest.raises(ValueError, match="degree two"):
        LinearFlow.of(PENDULUM, 0.1)
    with pytest.raises(ValueError, match="does not depend on time"):
        LinearFlow.of(DRIVEN, 0.1)
    with pytest.raises(ValueError, match="matrix: expected finite numbers"):
        LinearFlow(StateSpace(vector("x", 2)), torch.eye(3), 0.1)
    with pytest.raises(ValueError, match="skew-symmetric"):
        GyroscopicSplitting(WELL, 0.1, torch.eye(3, dtype=DOUBLE))
    with pytest.raises(ValueError, match="function: expected states"):
        ExactFlow(StateSpace(vector("x", 2)), lambda x, h: x[..., :1], 0.1)(torch.zeros(2))
    with pytest.raises(ValueError, match="at least one"):
        Strang([], 0.1)
