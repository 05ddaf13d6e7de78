from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from integrators import (
    AccelerationField,
    GaussLegendre,
    ProjectedField,
    ProjectedStep,
    RungeKutta4,
    Status,
    StepError,
    VectorField,
    Verlet,
    rollout,
)

from ._pendulum import ROD, STACKED, disturbed, hamiltonian, raw, states


def euclidean(mode: str = "project", gamma: float | None = None) -> ProjectedField:
    constraints = ["(q1**2 + q2**2)/2", STACKED[1]]
    return ProjectedField(disturbed(0.05), constraints, mode=mode, gamma=gamma)  # type: ignore[arg-type]


def deviation(field: ProjectedField, x0: Tensor, x: Tensor) -> Tensor:
    return (field.constraint(x) - field.constraint(x0)).norm(dim=-1)


def test_step_ends_on_the_level_of_the_first_state() -> None:
    field = euclidean()
    x0 = states() * 1.3
    flow = ProjectedStep(RungeKutta4(field, 0.02))
    plain = RungeKutta4(field, 0.02).unroll(x0, steps=5)
    path = flow.unroll(x0, steps=5)
    assert deviation(field, x0, path).max() <= 2e-15
    assert deviation(field, x0, plain).max() > 1e-9
    assert (path - plain).abs().max() <= 1e-6
    assert (flow(x0) - path[0]).abs().max() == 0


@pytest.mark.parametrize("metric", ["gauss", "symplectic", "euclidean"])
def test_rates_are_projected_too(metric: str) -> None:
    base = hamiltonian() if metric == "symplectic" else raw()
    field = ProjectedField(base, ROD, metric=metric, level="zero")  # type: ignore[arg-type]
    path = ProjectedStep(RungeKutta4(field, 0.05), iterations=3).unroll(states(), steps=20)
    assert field.constraint(path).abs().max() <= 1e-14


def test_order_of_the_method_is_kept() -> None:
    field = ProjectedField(raw(), ROD)
    x = states()
    coarse, fine, end = (
        ProjectedStep(RungeKutta4(field, 1 / n)).unroll(x, steps=n)[-1] for n in (20, 40, 160)
    )
    assert 13 < (coarse - end).abs().max() / (fine - end).abs().max() < 20
    assert ProjectedStep(RungeKutta4(field, 0.1)).order == 4


def test_any_method_and_any_map_can_be_wrapped() -> None:
    x = states()
    path = ProjectedStep(GaussLegendre(ProjectedField(raw(), ROD), 0.02)).unroll(x, steps=3)
    assert (path[:, :, :2].norm(dim=-1) - 1).abs().max() <= 2e-15
    free = Verlet(hamiltonian(), 0.01)
    onto = ProjectedField(hamiltonian(), ROD, level="zero")
    path = ProjectedStep(free, 4, onto=onto).unroll(x, steps=3)
    assert onto.constraint(path).abs().max() <= 1e-14


def test_stabilised_field_is_given_its_level() -> None:
    gamma = 10.0
    field = euclidean("stabilise", gamma)
    x0 = states() * 1.2
    flow = ProjectedStep(RungeKutta4(field, 0.02), iterations=0)
    assert flow.control_size == 0
    path = flow.unroll(x0, steps=200)
    none = RungeKutta4(euclidean("none"), 0.02).unroll(x0, steps=200)
    drift, bound = deviation(field, x0, none), deviation(field, x0, path)
    slope = field.manifold.constraint.jacobian(path)
    driven = (slope @ field.base.field(path).unsqueeze(-1)).norm(dim=(-2, -1)).amax()
    assert bound.max() <= 1.5 * driven / gamma  # |G f| / gamma
    assert 0.02 * driven / gamma < bound[100:].max() < 0.5 * drift[100:].max()


def test_failures_have_a_status_per_trajectory() -> None:
    field = ProjectedField(disturbed(0.05), STACKED, level="zero")
    flow = ProjectedStep(RungeKutta4(field, 0.3), iterations=1)
    x = states(((0.1, 0.0), (2.0, 9.0)))
    status = flow.try_advance(flow.start(x, None), None, None)[1]
    assert status.tolist() == [Status.NOT_CONVERGED, Status.NOT_CONVERGED]
    loose = ProjectedStep(RungeKutta4(field, 0.3), iterations=1, tolerance=1e-3)
    _, status = loose.try_advance(loose.start(x, None), None, None)
    assert status.tolist() == [Status.OK, Status.NOT_CONVERGED]
    with pytest.raises(StepError, match="1 of 2"):
        loose(x)


def test_infeasible_start() -> None:
    field = ProjectedField(raw(), ROD, level="zero")
    flow = ProjectedStep(RungeKutta4(field, 0.01))
    x = states().float().double()  # data in single precision
    assert field.constraint(x).abs().max() > 1e-9
    with pytest.raises(ValueError, match=r"length.*project_initial=True"):
        flow(x + 1e-6)
    mended = ProjectedStep(RungeKutta4(field, 0.01), project_initial=True)
    run = mended.unroll(x + 1e-6, steps=2)
    assert field.constraint(run).abs().max() <= 1e-15
    assert (run - flow.unroll(states(), steps=2)).abs().max() <= 1e-5
    fallen = states() + torch.tensor([0.0, 0.0, 0.1, 0.1], dtype=torch.float64)
    initial = ProjectedField(raw(), ROD)  # a level has no say in velocities off the rod
    with pytest.raises(ValueError, match="do not satisfy"):
        ProjectedStep(RungeKutta4(initial, 0.01))(fallen)
    stretched = torch.cat((1.5 * states()[:, :2], states()[:, 2:]), -1)
    path = ProjectedStep(RungeKutta4(initial, 0.01)).unroll(stretched, steps=3)
    assert (path[..., :2].norm(dim=-1) - 1.5).abs().max() <= 1e-15


def test_derivatives_through_a_rollout() -> None:
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    field = ProjectedField(AccelerationField(2, net, ["0", "-9.81"]), ROD)
    flow = ProjectedStep(RungeKutta4(field, 0.05), iterations=1)
    weight = net[0].weight
    assert isinstance(weight, nn.Parameter)

    def loss() -> Tensor:
        return flow.unroll(states(), steps=3).square()[..., 1:3].sum()

    loss().backward()
    gradient, step = weight.grad, 1e-5
    assert gradient is not None
    for i, j in ((0, 0), (3, 2), (5, 3)):
        with torch.no_grad():
            weight[i, j] += step
            up = loss()
            weight[i, j] -= 2 * step
            down = loss()
            weight[i, j] += step
        central = float(up - down) / (2 * step)
        assert abs(float(gradient[i, j]) - central) <= 1e-7 * float(gradient.abs().max())


def test_transforms_of_torch() -> None:
    field = ProjectedField(raw(), ROD)
    flow = ProjectedStep(RungeKutta4(field, 0.05))
    x = states()
    assert (torch.func.vmap(flow)(x) - flow(x)).abs().max() <= 1e-14
    jacobian = torch.func.vmap(torch.func.jacrev(flow))(x)
    forward = torch.func.vmap(torch.func.jacfwd(flow))(x)
    assert (jacobian - forward).abs().max() <= 1e-12
    rank = torch.linalg.matrix_rank(jacobian, atol=1e-8)
    assert rank.tolist() == [3, 3, 3]  # a level of its own for each start, but no velocity along the rod


def test_other_steps_share_the_field() -> None:
    flow = ProjectedStep(RungeKutta4(ProjectedField(raw(), ROD), 0.05))
    back = flow.with_step(-0.05)
    assert back.inner.h == -0.05
    assert back.field is flow.field
    assert (back(flow(states())) - states()).abs().max() <= 1e-4


def test_single_precision() -> None:
    field = euclidean().float()
    flow = ProjectedStep(RungeKutta4(field, 0.02))
    x = states().float()
    path = flow.unroll(x, steps=4)
    assert path.dtype == torch.float32
    assert deviation(field, x, path).max() <= 1e-6


def test_what_does_not_fit_is_refused() -> None:
    field = ProjectedField(raw(), ROD)
    with pytest.raises(TypeError, match="onto="):
        ProjectedStep(RungeKutta4(raw(), 0.1))
    with pytest.raises(TypeError, match="method"):
        ProjectedStep(field)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="iterations"):
        ProjectedStep(RungeKutta4(field, 0.1), iterations=-1)
    with pytest.raises(ValueError, match="tolerance"):
        ProjectedStep(RungeKutta4(field, 0.1), tolerance=0.0)
    other = RungeKutta4(VectorField({"a": "1"}), 0.1)
    with pytest.raises(ValueError, match="onto"):
        ProjectedStep(other, onto=field)


def test_rollouts_of_constraints_in_torch_fall_back() -> None:
    field = ProjectedField(raw(), lambda q: (q * q).sum(-1, keepdim=True))
    run = rollout(ProjectedStep(RungeKutta4(field, 0.02)), states(), 5, observe=["constraint"])
    seen = run.observations["constraint"]
    assert (seen - seen[:1]).abs().max() <= 2e-15
    with pytest.raises(TypeError, match="give expressions"):
        rollout(RungeKutta4(field, 0.02), states(), 5, backend="numba")
