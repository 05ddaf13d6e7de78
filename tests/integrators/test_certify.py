"""Certificates: what they measure on maps whose structure is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from integrators import (
    Certificate,
    LinearPotential,
    PlanarIntegrator,
    RigidBodyIntegrator,
    certify,
    measure_drift,
)
from lie import SE3, SO3

from ._flows import DOUBLE, Pendulum, RungeKuttaPendulum, RungeKuttaTop, body, body_states

SKEW = torch.tensor([[0.0, -0.5, -0.3], [0.5, 0.0, -0.4], [0.3, 0.4, 0.0]], dtype=DOUBLE)
EPS = 1e-5
TORQUE = torch.tensor([0.4, -0.3, 0.5], dtype=DOUBLE)


def top(alpha: float = 0.5, **slots) -> RigidBodyIntegrator:
    """The heavy top ``U = 2 e3 . R (.3, .2, 1)`` with ``J = diag(1, 2, 2.8)``."""
    slope = torch.zeros(3, 3, dtype=DOUBLE)
    slope[2] = torch.tensor([0.6, 0.4, 2.0])
    inertia = torch.diag(torch.tensor([1.0, 2.0, 2.8], dtype=DOUBLE))
    return RigidBodyIntegrator(SO3, 0.05, inertia, LinearPotential(slope), alpha=alpha, **slots)


def upright() -> torch.Tensor:
    return torch.cat((torch.eye(3, dtype=DOUBLE).flatten(), torch.tensor([0.5, 1.0, 0.2], dtype=DOUBLE)))


@pytest.fixture(scope="module")
def heavy_top():
    return certify(top(), upright(), steps=20_000)


def test_the_heavy_top_is_symplectic_reversible_and_of_order_two(heavy_top) -> None:
    assert heavy_top.symplectic_defect <= 1e-14
    assert heavy_top.volume_defect <= 1e-14
    assert heavy_top.solver_residual <= 1e-15
    assert heavy_top.reversibility <= 1e-15
    assert heavy_top.inverse <= 1e-15
    assert heavy_top.order == pytest.approx(2, abs=0.02)
    assert heavy_top.symplectic
    assert heavy_top.reversible
    assert heavy_top.volume_preserving
    assert heavy_top.invertible
    assert heavy_top.solved
    assert heavy_top.failed == 0


def test_the_heavy_top_over_20000_steps(heavy_top: Certificate) -> None:
    # An independent implementation found the largest energy error 1.64e-2 of 3.181, and slopes of some 1e-7.
    assert heavy_top.energy is not None
    assert heavy_top.energy.largest == pytest.approx(1.64e-2, rel=0.01)
    assert abs(heavy_top.energy.slope) < 1e-6
    assert not heavy_top.energy_drifts
    assert heavy_top.group_error["R"] < 1e-13
    assert heavy_top.on_group
    assert [m.conserved for m in heavy_top.momentum] == [False, False, True]
    assert heavy_top.momentum[2].drift < 2e-13
    assert heavy_top.momentum[0].drift > 1
    assert heavy_top.momentum_conserved


def test_an_asymmetric_weighting_of_the_potential() -> None:
    c = certify(top(alpha=0.0), upright(), steps=20_000)
    assert c.symplectic
    assert not c.reversible
    assert c.order == pytest.approx(1, abs=0.02)
    assert c.energy is not None
    assert c.energy.largest == pytest.approx(0.141, rel=0.01)
    assert not c.energy_drifts


def test_a_constant_body_torque_breaks_symplecticity_by_h_times_the_torque() -> None:
    for h in (0.05, 0.025):
        flow = top(input_gain=torch.eye(3, dtype=DOUBLE)).with_step(h)
        c = certify(flow, upright(), steps=100, control=TORQUE, backend="torch")
        # The torque's 1-form has exterior derivative tau . (eta1 x eta2), so the defect is h S(tau) + O(h^2).
        assert c.symplectic_defect == pytest.approx(h * 0.5, rel=h)
        assert not c.symplectic
        assert c.momentum_conserved is None
        derivative, before, after = flow.phase_derivative(upright()[None], TORQUE[None])
        defect = (derivative.mT @ after @ derivative - before)[0]
        torch.testing.assert_close(defect[:3, :3].abs(), h * SKEW.abs(), rtol=0, atol=h * h)
    unforced = certify(top(input_gain=torch.eye(3, dtype=DOUBLE)), upright(), steps=100, backend="torch")
    assert unforced.symplectic


def test_the_phase_derivative_agrees_with_central_differences() -> None:
    for group in (SO3, SE3):
        flow = body(group)
        x = body_states(flow, 2)
        u = torch.tensor([0.3, -0.2, 0.1], dtype=DOUBLE)
        derivative = flow.phase_derivative(x, u)[0]
        n, moving = flow.rows, flow.rows - 3
        inertia = flow.inertia()

        def displaced(
            k: int, sign: float, flow=flow, x=x, n=n, moving=moving, inertia=inertia
        ) -> torch.Tensor:
            delta = torch.zeros(2 * n, dtype=DOUBLE)
            delta[k] = sign * EPS
            blocks = {name: value.clone() for name, value in flow.space.view(x).items()}
            blocks["R"] = blocks["R"] @ torch.linalg.matrix_exp(SO3.hat(delta[moving:n]))
            blocks["omega"] = blocks["omega"] + torch.linalg.solve(inertia, delta[n + moving :])
            if moving:
                blocks["x"] = blocks["x"] + delta[:3]
                blocks["v"] = blocks["v"] + delta[n : n + 3] / 1.3
            return flow.space.pack(**blocks)

        y = flow.space.view(flow(x, u))
        for k in range(2 * n):
            ends = [flow.space.view(flow(displaced(k, sign), u)) for sign in (1.0, -1.0)]
            change = {name: (ends[0][name] - ends[1][name]) / (2 * EPS) for name in y}
            eta = SO3.vee(y["R"].mT @ change["R"])
            column = [eta, change["omega"] @ inertia]
            if moving:
                column = [change["x"], eta, 1.3 * change["v"], change["omega"] @ inertia]
            torch.testing.assert_close(derivative[..., k], torch.cat(column, -1), rtol=0, atol=1e-8)


def test_a_moving_body_in_a_uniform_field() -> None:
    c = certify(
        RigidBodyIntegrator(
            SE3, 0.02, torch.eye(3, dtype=DOUBLE), LinearPotential.gravity(1.3, [0.1, 0.2, 0.3]), mass=1.3
        ),
        torch.cat(
            (torch.tensor([0.1, 0.2, 0.3], dtype=DOUBLE), upright()[:9], upright()[-3:], upright()[-3:])
        ),
        steps=200,
        backend="torch",
    )
    assert c.symplectic
    assert c.symplectic_defect is not None
    assert c.symplectic_defect < 1e-14
    assert [m.conserved for m in c.momentum] == [True, True, False, False, False, True]
    assert c.momentum_conserved
    assert c.order == pytest.approx(2, abs=0.05)


def test_damping_contracts_phase_space_by_its_trace_and_the_energy_drifts() -> None:
    damping = torch.diag(torch.tensor([0.1, 0.2, 0.3], dtype=DOUBLE))
    c = certify(top(dissipation=damping), upright(), steps=500, backend="torch")
    # d(log det)/dt = -tr(D J^-1)
    rate = 0.1 / 1 + 0.2 / 2 + 0.3 / 2.8
    assert c.volume_defect == pytest.approx(1 - math.exp(-0.05 * rate), rel=1e-3)
    assert not c.symplectic
    assert not c.volume_preserving
    assert not c.reversible
    assert c.energy_drifts
    assert c.momentum_conserved is None


def test_runge_kutta_is_told_apart_on_the_top() -> None:
    c = certify(RungeKuttaTop(0.05), upright(), steps=4000, backend="torch")
    assert c.energy_drifts
    assert c.energy is not None
    assert c.energy.slope < 0
    assert not c.on_group
    assert c.group_error["R"] > 1e-5
    assert c.symplectic is None
    assert c.order == pytest.approx(4, abs=0.3)


def test_a_map_brings_its_own_phase_derivative() -> None:
    x = torch.tensor([[1.0, 0.2], [2.0, 0.0]], dtype=DOUBLE)
    verlet = certify(Pendulum(0.3), x, steps=3000, backend="torch")
    assert verlet.symplectic
    assert verlet.reversible
    assert not verlet.energy_drifts
    assert verlet.order == pytest.approx(2, abs=0.05)
    assert verlet.inverse is None
    assert verlet.momentum == ()
    rk4 = certify(RungeKuttaPendulum(0.3), x, steps=3000, backend="torch")
    assert not rk4.symplectic
    assert not rk4.reversible
    assert not rk4.volume_preserving
    assert rk4.energy_drifts
    assert rk4.order == pytest.approx(4, abs=0.2)


def test_the_table_in_plain_text(heavy_top) -> None:
    text = str(heavy_top)
    assert "RigidBodyIntegrator, h = 0.05, 20000 steps" in text
    assert "NOT" not in text
    assert "\x1b" not in text
    forced = certify(top(dissipation=torch.eye(3, dtype=DOUBLE)), upright(), steps=50, backend="torch")
    assert "NOT symplectic" in str(forced)
    assert len(forced.table().columns) == 3


def test_too_little_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one state and 16 steps"):
        certify(Pendulum(), torch.zeros(0, 2, dtype=DOUBLE))
    with pytest.raises(ValueError, match="at least one state and 16 steps"):
        certify(Pendulum(), torch.zeros(2, dtype=DOUBLE), steps=3)
    with pytest.raises(ValueError, match="at least 16 samples"):
        measure_drift(np.arange(5.0), np.arange(5.0))


@pytest.mark.parametrize("seed", range(5))
def test_drift_of_series_whose_drift_is_known(seed: int) -> None:
    t = np.linspace(0, 100, 5001)
    noise = np.random.default_rng(seed).normal(size=t.size)
    assert not measure_drift(t, noise).significant
    assert not measure_drift(t, np.sin(3 * t + seed)).significant
    assert not measure_drift(t, np.full_like(t, 2.0)).significant
    line = measure_drift(t, 0.01 * t + np.sin(3 * t + seed) + 0.1 * noise)
    assert line.significant
    assert line.slope == pytest.approx(0.01, abs=4 * line.standard_error + 1e-4)
    assert measure_drift(t, np.exp(-t / 30)).significant
    assert not measure_drift(t, 1 + 1e-15 * t).significant


def test_drift_is_not_seen_in_correlated_noise_at_a_high_rate() -> None:
    t = np.linspace(0, 100, 5001)
    found = 0
    for seed in range(100):
        steps = np.random.default_rng(seed).normal(size=t.size)
        values = np.zeros_like(t)
        for k in range(1, t.size):
            values[k] = 0.99 * values[k - 1] + steps[k]
        found += measure_drift(t, values).significant
    assert found <= 3


def test_a_map_without_a_phase_derivative_is_measured_as_far_as_possible() -> None:
    flow = PlanarIntegrator(0.05, 0.7, lambda phi: -torch.cos(phi))
    c = certify(flow, torch.tensor([1.0, 0.3], dtype=DOUBLE), steps=300, backend="torch")
    assert c.symplectic is None
    assert c.volume_preserving
    assert c.reversible
    assert not c.energy_drifts
