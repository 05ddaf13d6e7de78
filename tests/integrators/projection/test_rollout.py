"""Compiled rollouts: the same as in torch, and over many steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from geomlearn.nn import MLP
from integrators import (
    AccelerationField,
    ExplicitRungeKutta,
    FlowMap,
    Hamiltonian,
    ProjectedField,
    ProjectedStep,
    RungeKutta4,
    Status,
    Tableau,
    VectorField,
    rollout,
)

from ..kernels._interpreted import run_program
from ._pendulum import disturbed, state, states

LENGTH, RATE = "(q1**2 + q2**2)/2", "q1*v1 + q2*v2"
H = 0.01


def midpoint(field: ProjectedField) -> ExplicitRungeKutta:
    """Two stages, whose code is half as long as that of four."""
    return ExplicitRungeKutta(field, 0.02, Tableau("midpoint", 2, ((0.0, 0.0), (0.5, 0.0)), (0.0, 1.0), ""))


def euclidean(h: float = H) -> RungeKutta4:
    return RungeKutta4(ProjectedField(disturbed(0.0), [LENGTH, RATE]), h)


def gauss() -> ProjectedStep:
    """A network, known forces, a mass matrix, a rod whose length changes, and states off the constraints."""
    net = MLP([4, 5, 2], generator=torch.Generator().manual_seed(0))
    base = AccelerationField(2, net, ["0", "-g"], parameters={"g": 9.81})
    moving = ["q1**2 + q2**2 - (1 + a*sin(3*t))**2"]
    field = ProjectedField(
        base, moving, mass=[[1.0, 0.2], [0.2, 2.0]], level="zero", parameters={"a": 0.1}
    )  # fmt: skip
    return ProjectedStep(midpoint(field), iterations=3, project_initial=True)


def dirac() -> ProjectedStep:
    base = Hamiltonian("(p1**2 + p2**2 + p1*p2/3)/2 + 9.81*q2 + cos(2*q1)")
    return ProjectedStep(midpoint(ProjectedField(base, [LENGTH])), iterations=3)


def stabilised() -> ProjectedStep:
    field = ProjectedField(
        disturbed(0.3), [LENGTH, RATE], mode="stabilise", gamma=5.0, mass=[1.0, 1.0, 2.0, 3.0]
    )
    return ProjectedStep(midpoint(field), iterations=0)


def interpreted(flow: ProjectedStep | ExplicitRungeKutta, x: Tensor, steps: int) -> tuple[Tensor, ...]:
    """States, constraints and codes by the kernel's text, run by Python itself."""
    return run_program(flow.kernel_program(["constraint"]), x, steps, torch.zeros(0, 1, 1))


@pytest.mark.parametrize("build", [gauss, dirac, stabilised], ids=["gauss", "dirac", "stabilised"])
def test_kernel_does_what_torch_does(build: Callable[[], ProjectedStep]) -> None:
    flow = build()
    x = 1.2 * states()
    x[:, 2:] -= (x[:, :2] * x[:, 2:]).sum(-1, keepdim=True) * x[:, :2] / (x[:, :2] ** 2).sum(-1, keepdim=True)
    if flow.field.metric == "symplectic":
        x = flow.field.project(x)
    if flow.space.size == 5:
        x = torch.cat((x, torch.zeros(3, 1, dtype=torch.float64)), -1)
    path, seen, codes = interpreted(flow, x, 25)
    expected = flow.unroll(x, steps=25)
    assert (path - expected).abs().max() <= 1e-12
    assert (seen - flow.constraint(expected)).abs().max() <= 1e-12
    assert codes.eq(Status.OK).all()
    if flow.iterations:
        off = flow.field.manifold.residual(path, flow.field.level_of(x))
        assert off.abs().max() <= 1e-13


def violation(flow: FlowMap, steps: int) -> tuple[Tensor, Tensor]:
    """Times, and the running maximum of ``|c - c0|``, pendulum from two radians at rest."""
    x = state(2.0, 0.0)
    run = rollout(flow, x, steps, every=steps, observe=["constraint"], observe_every=20)
    assert run.status.eq(Status.OK).all()
    seen = run.observations["constraint"]
    return run.observation_times, (seen - seen[0]).norm(dim=-1).cummax(0).values


def test_projected_field_leaves_in_proportion_to_time_and_the_errors_of_the_method() -> None:
    times, off = violation(euclidean(), 100_000)
    first = [off[(times <= t + 1e-9).nonzero().max()] for t in (10, 100, 1000)]
    assert 5 < first[1] / first[0] < 15
    assert 5 < first[2] / first[1] < 15
    _, fine = violation(euclidean(0.5 * H), 20_000)
    assert 12 < first[1] / fine[-1] < 80  # order 4 of the method, or 5 of its rate


def test_projected_step_stays() -> None:
    _, off = violation(ProjectedStep(euclidean(), iterations=1), 100_000)
    assert off[-1] <= 1e-14


def test_vanishing_gradient_stops_a_trajectory() -> None:
    prey = VectorField({"x": "1.5*x - x*y", "y": "x*y - 3*y"})
    field = ProjectedField(prey, ["x - 3*log(x) + y - 1.5*log(y)"])
    x = torch.tensor([[1.0, 2.0], [3.0, 1.5]], dtype=torch.float64)
    _, _, codes = interpreted(midpoint(field), x, 10)
    assert codes.tolist() == [Status.OK, Status.NON_FINITE]


def test_missed_constraints_stop_a_trajectory() -> None:
    flow = ProjectedStep(RungeKutta4(ProjectedField(disturbed(0.05), [LENGTH, RATE]), 0.3), 1, 1e-3)
    x = states(((0.1, 0.0), (2.0, 9.0)))
    _, _, codes = interpreted(flow, x, 1)
    assert codes.tolist() == [Status.OK, Status.NOT_CONVERGED]


def test_many_constraints_are_solved_in_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrators.projection._kernel._WRITTEN_OUT", 0)
    flow = midpoint(ProjectedField(disturbed(0.3), [LENGTH, RATE], mass=[1.0, 1.0, 2.0, 3.0]))
    assert "gram_solve" in flow.kernel_program([]).source(1)
    path, _, _ = interpreted(flow, states(), 10)
    assert (path - flow.unroll(states(), steps=10)).abs().max() <= 1e-12
