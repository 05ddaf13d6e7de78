"""Kernels against torch, and steps that fail."""

from __future__ import annotations

import pytest
import torch

from integrators import (
    DOP853,
    ExplicitRungeKutta,
    GaussLegendre,
    Hamiltonian,
    ImplicitMidpoint,
    LobattoPair,
    RungeKutta4,
    Status,
    StepError,
    Tableau,
    Tao,
    VectorField,
    reference_solution,
    rollout,
)
from integrators.runge_kutta import _explicit
from tests.integrators.kernels._interpreted import run_program

from ._systems import DRIVEN, DRIVEN_START, HENON, MIXED, MIXED_START, STEERED, STEERED_START

HEUN = Tableau("Heun", 2, ((0.0, 0.0), (1.0, 0.0)), (0.5, 0.5))
STIFF = Hamiltonian("p**2/2 - 400*cos(q)")
STEPS = 100
CASES = {
    "gauss": (GaussLegendre(DRIVEN, 0.05, 2), DRIVEN_START),
    "gauss compensated": (GaussLegendre(MIXED, 0.1, 3, compensated=True), MIXED_START),
    "midpoint with inputs": (ImplicitMidpoint(STEERED, 0.05), STEERED_START),
    "newton": (GaussLegendre(STIFF, 0.1, 2, solver="newton"), 0.1 * MIXED_START),
    "lobatto newton": (LobattoPair(STIFF, 0.1, 3, True, solver="newton"), 0.1 * MIXED_START),
    "lobatto": (LobattoPair(DRIVEN, 0.05, 3, compensated=True), DRIVEN_START),
    "runge-kutta": (RungeKutta4(STEERED, 0.05, compensated=True), STEERED_START),
    "heun": (ExplicitRungeKutta(DRIVEN, 0.05, HEUN), DRIVEN_START),
    "tao": (Tao(MIXED, 0.05, order=4), MIXED_START),
    "tao extended": (Tao(MIXED, 0.05, extended=True), torch.cat((MIXED_START, MIXED_START + 0.01), -1)),
}


@pytest.mark.parametrize("name", [*CASES, "runge-kutta, long field", "heun, long field"])
def test_every_line_of_the_kernels_agrees_with_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flow, x = CASES[name.split(",")[0]]
    if "," in name:
        monkeypatch.setattr(_explicit, "_LONGEST_REPEATED", 0)
    count = flow.control_size
    controls = 0.3 * torch.randn(
        STEPS if count else 0,
        len(x),
        max(count, 1),
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float64,
    )
    observed = list(flow.observables)
    states, observations, codes = run_program(flow.kernel_program(observed), x, STEPS, controls)
    run = rollout(flow, x, STEPS, 1, controls if count else None, backend="torch")
    assert codes.tolist() == [0, 0]
    torch.testing.assert_close(states, run.states[1:], rtol=0, atol=1e-12)
    if "energy" in observed:
        torch.testing.assert_close(observations[..., 0], flow.energy(run.states[1:]), rtol=1e-12, atol=1e-12)


def test_a_long_field_is_written_once_for_all_stages() -> None:
    names = [f"x{k}" for k in range(70)]
    long = VectorField({name: f"-{name}**3 + {names[k - 1]}" for k, name in enumerate(names)})
    x = torch.linspace(-1, 1, 140, dtype=torch.float64).reshape(2, 70)
    texts = []
    for flow in (RungeKutta4(long, 0.1), ExplicitRungeKutta(long, 0.1, HEUN)):
        program = flow.kernel_program([])
        texts.append(program.builder.function("step", "A, P"))
        states = run_program(program, x, 3, torch.zeros(0, 2, 1, dtype=torch.float64))[0]
        expected = rollout(flow, x, 3, 1, backend="torch").states[1:]
        torch.testing.assert_close(states, expected, rtol=0, atol=1e-14)
    assert texts[0].count("\n") < 1.1 * texts[1].count("\n")


def test_compiled_kernels_agree_with_torch_and_lanes_do_not_see_each_other() -> None:
    x = torch.tensor([0.0, 0.1, 0.39, 0.05], dtype=torch.float64) + 0.05 * torch.randn(
        2, 20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    flow = GaussLegendre(HENON, 0.1, 2)
    ends = [rollout(flow, x, STEPS, backend=backend).final for backend in ("torch", "numba")]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-12)
    some = torch.cat((x[0, :3], 10 * x[1]))
    alone = rollout(flow, some, STEPS, backend="numba")
    assert bool((alone.final[:3] == ends[1][0, :3]).all())


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_stages_without_a_solution_stop_their_trajectory_alone(backend: str) -> None:
    """Orbits that escape to infinity, and numbers whose squares are not finite."""
    x = torch.tensor(
        [[0.0, 0.1, 0.39, 0.05], [30.0, -20.0, 3.0, 4.0], [1e200, 0.0, 0.0, 0.0]], dtype=torch.float64
    )
    flow = GaussLegendre(HENON, 0.1, 2)
    run = rollout(flow, x.repeat(11, 1), 20, backend=backend)
    assert run.failed_at[0] == -1
    assert run.failed_at[1] > 1
    assert run.failed_at[2] == 1
    assert int(run.status[2]) == Status.NON_FINITE
    assert bool((run.status[1::3] >= int(Status.NOT_CONVERGED)).all())
    assert bool((run.final[2] == x[2]).all())
    assert bool(torch.isfinite(run.final).all())


def test_a_fixed_point_that_does_not_contract_is_reported() -> None:
    stiff = Hamiltonian("p**2/2 + 100*q**2")
    x = torch.tensor([0.5, 0.0], dtype=torch.float64)
    flow = GaussLegendre(stiff, 0.3)
    with pytest.raises(StepError, match="not solved to rounding"):
        flow(x)
    run = rollout(flow, x, 3, backend="torch")
    assert int(run.status) == Status.NOT_CONVERGED
    assert bool((run.final == x).all())
    states, _, codes = run_program(
        flow.kernel_program([]), x[None], 3, torch.zeros(0, 1, 1, dtype=torch.float64)
    )
    assert codes.tolist() == [Status.NOT_CONVERGED]
    assert bool((states[-1] == x).all())


def test_newton_solves_stiff_stages() -> None:
    """A linear oscillator with h omega = 4.2, where Gauss is its rational function, and a stiff field."""
    stiff = Hamiltonian("p**2/2 + 100*q**2")
    x = torch.tensor([0.5, 0.0], dtype=torch.float64)
    h = 0.3
    flow = GaussLegendre(stiff, h, solver="newton")
    z = h * torch.tensor([[0.0, 1.0], [-200.0, 0.0]], dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    exact = torch.linalg.solve(eye - z / 2 + z @ z / 12, eye + z / 2 + z @ z / 12) @ x
    torch.testing.assert_close(flow(x), exact, rtol=0, atol=1e-13)
    run = rollout(flow, x, 200, backend="torch")
    assert float((stiff.energy(run.states) / stiff.energy(x) - 1).abs().max()) < 1e-12
    pendulum = Hamiltonian("p**2/2 - 400*cos(q)")
    y = torch.tensor([[0.5, 0.0], [1.5, 3.0]], dtype=torch.float64)
    run = rollout(GaussLegendre(pendulum, 0.025, 6, solver="newton"), y, 40, backend="torch")
    exact = reference_solution(pendulum, y, [1.0])[0]
    torch.testing.assert_close(run.final, exact, rtol=0, atol=1e-5)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="stages: expected an integer"):
        GaussLegendre(MIXED, 0.1, 0)
    with pytest.raises(ValueError, match="stages: expected an integer from 2"):
        LobattoPair(MIXED, 0.1, 1)
    with pytest.raises(TypeError, match="HamiltonianSystem"):
        LobattoPair(STEERED, 0.1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="solver: expected"):
        GaussLegendre(MIXED, 0.1, solver="bisection")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tolerance: expected a positive"):
        GaussLegendre(MIXED, 0.1, tolerance=-1.0)
    with pytest.raises(ValueError, match="expected an explicit method"):
        ExplicitRungeKutta(MIXED, 0.1, Tableau("midpoint", 2, ((0.5,),), (1.0,)))
    with pytest.raises(ValueError, match="does not depend on time"):
        Tao(DRIVEN, 0.1)
    with pytest.raises(ValueError, match="order: expected"):
        Tao(MIXED, 0.1, order=3)
    with pytest.warns(UserWarning, match="well below"):
        Tao(MIXED, 0.4)
    with pytest.raises(TypeError, match="cannot be differentiated"):
        DOP853(MIXED, 0.1)(MIXED_START.clone().requires_grad_())
    with pytest.raises(TypeError, match="cannot be differentiated"):
        torch.func.vmap(DOP853(MIXED, 0.1))(MIXED_START)
    with pytest.raises(ValueError, match="go away from 0"):
        reference_solution(MIXED, MIXED_START, [1.0, 0.5])
    with pytest.raises(ValueError, match="rtol: expected at least"):
        reference_solution(MIXED, MIXED_START, [1.0], rtol=1e-16)
    with pytest.raises(NotImplementedError, match="no known adjoint"):
        RungeKutta4(MIXED, 0.1).adjoint()
