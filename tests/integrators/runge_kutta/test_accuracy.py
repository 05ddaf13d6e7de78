"""Orders against DOP853, published energy errors, invariants and what a loose tolerance costs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from integrators import (
    DOP853,
    FlowMap,
    GaussLegendre,
    Hamiltonian,
    ImplicitMidpoint,
    LobattoPair,
    LooseToleranceWarning,
    RungeKutta4,
    Tao,
    Verlet,
    certify,
    reference_solution,
    rollout,
)

from ._systems import (
    DOUBLE_PENDULUM,
    DRIVEN,
    DRIVEN_START,
    HENON,
    HENON_START,
    KEPLER,
    KEPLER_START,
    MIXED,
    MIXED_START,
    PENDULUM_START,
    STEERED,
    STEERED_START,
)


def error(flow: FlowMap, start: Tensor, exact: Tensor, count: int, control: Tensor | None = None) -> float:
    x = start
    for _ in range(count):
        x = flow(x, control)
    return float((x - exact).abs().max())


@pytest.mark.parametrize(
    ("stages", "counts", "order"),
    [(1, (400, 800), 2.01), (2, (80, 160), 4.0), (3, (40, 80), 5.99), (4, (32, 48), 7.8)],
)
def test_order_of_gauss_on_an_eccentric_orbit(stages: int, counts: tuple[int, int], order: float) -> None:
    time = 2.0
    exact = reference_solution(KEPLER, KEPLER_START, [time])[0]
    errors = [error(GaussLegendre(KEPLER, time / n, stages), KEPLER_START, exact, n) for n in counts]
    measured = math.log(errors[0] / errors[1]) / math.log(counts[1] / counts[0])
    assert measured == pytest.approx(order, abs=0.35), errors
    assert GaussLegendre(KEPLER, 0.1, stages).order == 2 * stages


@pytest.mark.parametrize(("stages", "order"), [(2, 2.0), (3, 4.0), (4, 6.0)])
def test_order_of_the_lobatto_pair_where_nothing_separates(stages: int, order: float) -> None:
    exact = reference_solution(MIXED, MIXED_START, [2.0])[0]
    errors = [error(LobattoPair(MIXED, 2.0 / n, stages), MIXED_START, exact, n) for n in (15, 30)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)
    assert LobattoPair(MIXED, 0.1, stages).order == order


def test_two_lobatto_stages_are_verlet() -> None:
    pair, verlet = (method(HENON, 0.1)(HENON_START) for method in (lambda s, h: LobattoPair(s, h, 2), Verlet))
    torch.testing.assert_close(pair, verlet, rtol=0, atol=1e-16)


@pytest.mark.parametrize("method", [RungeKutta4, GaussLegendre, LobattoPair])
def test_time_dependent_systems(method) -> None:
    exact = reference_solution(DRIVEN, DRIVEN_START, [2.0])[0]
    errors = [error(method(DRIVEN, 2.0 / n), DRIVEN_START, exact, n) for n in (40, 80)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3)


@pytest.mark.parametrize("method", [RungeKutta4, GaussLegendre])
def test_systems_with_inputs(method) -> None:
    u = torch.tensor([[0.4], [-0.2]], dtype=torch.float64)
    exact = reference_solution(STEERED, STEERED_START, [1.0], control=u)[0]
    assert error(method(STEERED, 0.01), STEERED_START, exact, 100, u) < 1e-9
    assert float((exact - reference_solution(STEERED, STEERED_START, [1.0])[0]).abs().max()) > 0.1


def test_published_energy_errors_of_the_double_pendulum() -> None:
    """Midpoint rule, T = 100, largest relative error over every step; values of an independent code."""
    for h, low, high in ((0.01, 4.0e-6, 9.9e-4), (0.001, 4.0e-8, 9.8e-6)):
        run = rollout(
            ImplicitMidpoint(DOUBLE_PENDULUM, h), PENDULUM_START, round(100 / h), round(100 / h),
            observe=["energy"], observe_every=1, backend="numba",
        )  # fmt: skip
        energy = run.observations["energy"]
        relative = float((energy / energy[0] - 1).abs().max())
        assert low / 2 <= relative <= 2 * low
        exact = reference_solution(DOUBLE_PENDULUM, PENDULUM_START, [100.0])[0]
        assert high / 3 <= float((run.final - exact).abs().max()) <= 3 * high


def test_stages_that_are_not_solved_make_the_energy_drift() -> None:
    """Hénon-Heiles, h = 0.1, band of the energy error over 20 000 steps; the drift is linear in time."""
    bands, drifts = {}, {}
    for tolerance in (1e-4, 1e-8, None):
        if tolerance is None:
            flow = ImplicitMidpoint(HENON, 0.1)
        else:
            with pytest.warns(LooseToleranceWarning, match="drifts"):
                flow = ImplicitMidpoint(HENON, 0.1, tolerance=tolerance)
        run = rollout(
            flow, HENON_START, 100_000, 100_000, observe=["energy"], observe_every=1, backend="numba"
        )
        relative = run.observations["energy"] / run.observations["energy"][0] - 1
        bands[tolerance] = float(relative.abs().max())
        drifts[tolerance] = abs(float(relative[-20_000:].mean() - relative[:20_000].mean())) / 8000
    assert bands[1e-4] == pytest.approx(5.0e-2, rel=0.5)
    assert bands[1e-8] == pytest.approx(4.1e-4, rel=0.5)
    assert bands[None] == pytest.approx(3.2e-4, rel=0.1)
    assert drifts[1e-4] == pytest.approx(5e-6, rel=0.5)
    assert drifts[1e-8] == pytest.approx(1e-8, rel=0.5)
    assert drifts[None] < 1e-10


def test_quadratic_invariants_and_the_growth_of_rounding_errors() -> None:
    """Brouwer's law: rounding errors have no sign and grow like the square root of the number of steps."""
    e = 0.1 + 0.3 * torch.rand(96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = torch.stack((1 - e, 0 * e, 0 * e, ((1 + e) / (1 - e)).sqrt()), -1)
    size = {}
    for compensated in (False, True):
        run = rollout(
            GaussLegendre(KEPLER, 2 * math.pi / 97.3, 2, compensated), x, 40_000, 40_000,
            observe=["angular_momentum"], observe_every=100, backend="numba",
        )  # fmt: skip
        momentum = run.observations["angular_momentum"]
        change = momentum / momentum[0] - 1
        early, late = (change[k].square().mean().sqrt() for k in (25, 400))
        size[compensated] = float(late)
        assert float(late / early) < 6.5  # 4 for the square root, 16 for a drift
        assert abs(float(change[-1].mean())) < 5 * float(change[-1].std()) / math.sqrt(len(x))
    assert size[False] < 5e-14
    assert size[True] < 2e-15


def test_structure_of_a_step() -> None:
    x = torch.stack((PENDULUM_START, PENDULUM_START + 0.3))
    flows = [
        GaussLegendre(DOUBLE_PENDULUM, 0.1, 3),
        GaussLegendre(DOUBLE_PENDULUM, 0.1, 2, compensated=True),
        LobattoPair(DOUBLE_PENDULUM, 0.1, 3),
        GaussLegendre(DOUBLE_PENDULUM, 0.1, 2, solver="newton"),
    ]
    for flow in flows:
        certificate = certify(flow, x, steps=30, backend="torch")
        assert flow.symplectic
        assert flow.symmetric
        assert certificate.symplectic_defect is not None
        assert certificate.symplectic_defect <= 1e-13
        assert certificate.inverse is not None
        assert certificate.inverse <= 1e-14
        assert certificate.reversibility is not None
        assert certificate.reversibility <= 1e-14
        assert flow.adjoint() is flow
    certificate = certify(RungeKutta4(DOUBLE_PENDULUM, 0.1), x, steps=30, backend="torch")
    assert certificate.symplectic_defect is not None
    assert certificate.symplectic_defect > 1e-7
    assert certificate.inverse is None


def test_published_errors_of_runge_kutta_4() -> None:
    """Kepler, e = 0.2, 200 steps a period: energy errors grow with time, position errors with its square."""
    start = torch.tensor([0.8, 0.0, 0.0, math.sqrt(1.5)], dtype=torch.float64)
    run = rollout(
        RungeKutta4(KEPLER, 2 * math.pi / 200), start, 20_000, 2000, observe=["energy"], observe_every=2000,
        backend="numba",
    )  # fmt: skip
    energy = run.observations["energy"]
    assert float((energy[1] - energy[0]).abs()) == pytest.approx(8.1e-8, rel=0.2)
    assert float((energy[10] - energy[0]).abs()) == pytest.approx(8.1e-7, rel=0.2)
    assert float((run.states[1] - start)[:2].norm()) == pytest.approx(1.2e-5, rel=0.3)
    assert float((run.states[10] - start)[:2].norm()) == pytest.approx(9.6e-4, rel=0.3)


def test_dop853_is_a_reference() -> None:
    exact = reference_solution(KEPLER, KEPLER_START, [2 * math.pi])[0]
    torch.testing.assert_close(exact, KEPLER_START, rtol=0, atol=1e-10)
    many = reference_solution(MIXED, MIXED_START, [0.0, 0.5, 1.0])
    assert many.shape == (3, 2, 2)
    assert bool((many[0] == MIXED_START).all())
    flow = DOP853(MIXED, 0.5)
    torch.testing.assert_close(flow(flow(MIXED_START)), many[2], rtol=0, atol=1e-11)
    torch.testing.assert_close(flow.inverse(flow(MIXED_START)), MIXED_START, rtol=0, atol=1e-11)
    back = reference_solution(MIXED, many[2], [-1.0])[0]
    torch.testing.assert_close(back, MIXED_START, rtol=0, atol=1e-11)
    stiff = reference_solution(MIXED, MIXED_START, [1.0], rtol=1e-10, atol=1e-12, method="Radau")
    torch.testing.assert_close(stiff[0], many[2], rtol=0, atol=1e-8)


def test_tao_reaches_the_published_energy_error() -> None:
    """``H = (q^2 + 1)(p^2 + 1) / 2`` from (-3, 0), omega 20, h = 1e-3, T = 100."""
    system = Hamiltonian("(q**2 + 1)*(p**2 + 1)/2")
    start = torch.tensor([-3.0, 0.0], dtype=torch.float64)
    flow = Tao(system, 1e-3, 20.0, extended=True)
    run = rollout(
        flow, flow.extend(start), 100_000, 1000, observe=["energy", "copy_distance"], observe_every=1,
        backend="numba",
    )  # fmt: skip
    energy = run.observations["energy"]
    assert float((energy - energy[0]).abs().max()) == pytest.approx(3.1e-5, rel=0.05)
    assert float(run.observations["copy_distance"].max()) < 3e-5
    torch.testing.assert_close(flow.copy_distance(run.states), run.observations["copy_distance"][::1000])
    plain = rollout(Tao(system, 1e-3, 20.0), start, 300, 300, backend="torch").final
    torch.testing.assert_close(
        plain, rollout(flow, flow.extend(start), 300, 300, backend="numba").final[:2], rtol=0, atol=1e-12
    )
    exact = reference_solution(system, start, [0.5])[0]
    for order, counts in ((2, (200, 400)), (4, (40, 80)), (6, (30, 60)), (8, (25, 35))):
        errors = []
        for n in counts:
            fine = Tao(system, 0.5 / n, order=order, extended=True)
            errors.append(
                float(
                    (rollout(fine, fine.extend(start), n, n, backend="torch").final[:2] - exact).abs().max()
                )
            )
        assert math.log(errors[0] / errors[1]) / math.log(counts[1] / counts[0]) == pytest.approx(
            order, abs=0.4
        )


def test_structure_of_tao() -> None:
    flow = Tao(MIXED, 0.05, order=4, extended=True)
    certificate = certify(flow, flow.extend(MIXED_START), steps=50, backend="torch")
    assert certificate.symplectic_defect is not None
    assert certificate.symplectic_defect <= 1e-13
    assert certificate.inverse is not None
    assert certificate.inverse <= 1e-14
    assert certificate.reversibility is not None
    assert certificate.reversibility <= 1e-14
    alone = Tao(MIXED, 0.05)
    assert not alone.symplectic
    defect = certify(alone, MIXED_START, steps=50, backend="torch").symplectic_defect
    assert defect is not None
    assert defect > 1e-9
    with pytest.raises(NotImplementedError, match="extended=True"):
        alone.inverse(MIXED_START)
