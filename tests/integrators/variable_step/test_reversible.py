"""Reversible steps of variable length on an eccentric orbit."""

from __future__ import annotations

import math

import pytest
import torch

from integrators import (
    Hamiltonian,
    ReversibleVariableStep,
    Verlet,
    certify,
    load_rollout,
    rollout,
    symmetric_composition,
)
from integrators.splitting._table import RUTH_3, SRKN_6B, VERLET_DRIFT_FIRST

DOUBLE = torch.float64
KEPLER = Hamiltonian(
    "(p1**2 + p2**2)/2 - k/sqrt(q1**2 + q2**2)", {"k": 1.0}, invariants={"angular momentum": "q1*p2 - q2*p1"}
)
SIGMA = "(q1**2 + q2**2)**(3/4)"
ECCENTRIC = torch.tensor([0.1, 0.0, 0.0, math.sqrt(19.0)], dtype=DOUBLE)
STEPS = 3400


def kepler_position(time: float, e: float) -> tuple[float, float]:
    """Position on the ellipse from Kepler's equation."""
    anomaly = time % (2 * math.pi)
    angle = math.pi
    for _ in range(60):
        angle -= (angle - e * math.sin(angle) - anomaly) / (1 - e * math.cos(angle))
    return math.cos(angle) - e, math.sqrt(1 - e * e) * math.sin(angle)


def test_energy_of_twenty_eccentric_periods_stays_where_equal_steps_fail() -> None:
    """3400 steps for 20 periods at e = 0.9; the largest error is that of every pericentre."""
    flow = ReversibleVariableStep(KEPLER, 0.05, SIGMA)
    run = rollout(
        flow, flow.initial(ECCENTRIC), STEPS, observe=["energy", "angular momentum"], backend="numba"
    )
    energy = run.observations["energy"]
    error = (energy / energy[0] - 1).abs()
    assert float(run.final[4]) / (2 * math.pi) == pytest.approx(20.0, abs=0.05)
    assert float(error.max()) == pytest.approx(9.3e-3, rel=0.02)
    assert float(error[-STEPS // 10 :].max()) == pytest.approx(float(error[: STEPS // 10].max()), rel=0.01)
    assert float(run.observations["angular momentum"].diff().abs().max()) < 1e-14
    equal = Verlet(KEPLER, 40 * math.pi / STEPS)
    energy = rollout(equal, ECCENTRIC, STEPS, observe=["energy"], backend="numba").observations["energy"]
    assert float((energy / energy[0] - 1).abs().max()) > 5


def test_time_is_that_of_the_motion() -> None:
    """The state at the reported time is the exact one, ever better with smaller epsilon."""
    errors = []
    for epsilon in (0.02, 0.01):
        flow = ReversibleVariableStep(KEPLER, epsilon, SIGMA, SRKN_6B)
        x = rollout(flow, flow.initial(ECCENTRIC), round(8 / epsilon), backend="numba").final
        exact = torch.tensor(kepler_position(float(x[4]), 0.9), dtype=DOUBLE)
        errors.append(float((x[:2] - exact).abs().max()))
    assert errors[0] < 1e-4
    assert errors[0] / errors[1] > 12


@pytest.mark.parametrize("scheme", [VERLET_DRIFT_FIRST, SRKN_6B], ids=lambda s: s.name)
def test_kernel_agrees_with_torch(scheme) -> None:
    flow = ReversibleVariableStep(KEPLER, 0.05, "k*" + SIGMA, scheme)
    x = flow.initial(torch.stack((ECCENTRIC, 1.3 * ECCENTRIC)))
    runs = [rollout(flow, x, 60, backend=name) for name in ("torch", "numba")]
    torch.testing.assert_close(runs[0].states, runs[1].states, rtol=1e-12, atol=1e-12)


def test_structure() -> None:
    flow = ReversibleVariableStep(KEPLER, 0.05, SIGMA)
    x = flow.initial(ECCENTRIC[None])
    for method, order in ((flow, 2), (symmetric_composition(flow, "Suzuki4"), 4)):
        report = certify(method, x, steps=200, backend="torch")
        assert report.reversible
        assert report.invertible
        assert report.symplectic_defect is None
        assert report.order == pytest.approx(order, abs=0.1)
        assert not method.symplectic


def test_a_torch_function_is_the_same_monitor() -> None:
    flow = ReversibleVariableStep(KEPLER, 0.05, SIGMA)
    other = ReversibleVariableStep(KEPLER, 0.05, lambda q: (q * q).sum(-1) ** 0.75)
    x = flow.initial(ECCENTRIC.expand(2, 3, 4))
    torch.testing.assert_close(other.initial(ECCENTRIC.expand(2, 3, 4)), x, rtol=1e-15, atol=0)
    torch.testing.assert_close(other(x), flow(x), rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(torch.func.vmap(flow)(x), flow(x), rtol=0, atol=1e-15)
    torch.autograd.gradcheck(flow, x[0, 0].clone().requires_grad_())
    with pytest.raises(TypeError, match="give it as an expression"):
        rollout(other, x, 3, backend="numba")


def test_time_dependent_systems_see_the_time_of_the_motion() -> None:
    driven = Hamiltonian("p**2/2 + q**2/2 - q*cos(2*t)")
    flow = ReversibleVariableStep(driven, 1e-3, "1/sqrt(1 + q**2)", SRKN_6B)
    z = torch.tensor([0.4, 0.2, 0.3], dtype=DOUBLE)
    x = rollout(flow, flow.initial(z), 2000, backend="numba").final
    t, first = float(x[2]), 0.3

    def forced(s: float) -> tuple[float, float]:
        return -math.cos(2 * s) / 3, 2 * math.sin(2 * s) / 3

    a, b = 0.4 - forced(first)[0], 0.2 - forced(first)[1]
    q = a * math.cos(t - first) + b * math.sin(t - first) + forced(t)[0]
    assert float(x[0]) == pytest.approx(q, abs=1e-9)
    assert t > 1.5


def test_a_run_goes_on_from_its_file_with_the_same_bits(tmp_path) -> None:
    flow = ReversibleVariableStep(KEPLER, 0.05, SIGMA)
    x, path = flow.initial(ECCENTRIC), tmp_path / "orbit.h5"
    rollout(flow, x, 50, every=10, file=path, backend="numba")
    rollout(flow, x, 100, every=10, file=path, resume=True, backend="numba")
    whole = rollout(flow, x, 100, every=10, backend="numba")
    assert torch.equal(torch.as_tensor(load_rollout(path).states[:]), whole.states)


def test_steps_that_cannot_be_taken_stop_the_trajectory() -> None:
    flow = ReversibleVariableStep(KEPLER, 3.0, SIGMA)
    x = flow.initial(torch.tensor([[0.4, 0.0, 6.0, 2.0]], dtype=DOUBLE))
    for backend in ("torch", "numba"):
        run = rollout(flow, x, 5, backend=backend)
        assert run.status.tolist() == [4]
        torch.testing.assert_close(run.final, x, rtol=0, atol=0)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="needs H = T"):
        ReversibleVariableStep(Hamiltonian("p**2*(1 + q**2)/2"), 0.1, "1 + q**2")
    with pytest.raises(ValueError, match="expected a symmetric one"):
        ReversibleVariableStep(KEPLER, 0.1, SIGMA, RUTH_3)
    with pytest.raises(ValueError, match="monitor"):
        ReversibleVariableStep(KEPLER, 0.1, "q3**2")
    with pytest.raises(ValueError, match="positive finite values"):
        ReversibleVariableStep(KEPLER, 0.1, "q1").initial(-ECCENTRIC)
    with pytest.raises(ValueError, match="states"):
        ReversibleVariableStep(KEPLER, 0.1, SIGMA).initial(ECCENTRIC[:3])
