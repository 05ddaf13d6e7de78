from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from integrators import (
    AccelerationField,
    ConstrainedHamiltonian,
    DependentConstraintsError,
    Hamiltonian,
    ModuleHamiltonian,
    ProjectedField,
    VectorField,
    project_vector,
)
from integrators.systems import System
from integrators.zoo import power_grid

from ._pendulum import GRAVITY, ROD, STACKED, exact, hamiltonian, raw, state, states

TRUE = torch.tensor([0.9943, 0.8375, -5.9224, -2.7787], dtype=torch.float64)
STACKED_X = ["x1**2 + x2**2 - 1", "x1*x3 + x2*x4"]
EUCLIDEAN = torch.tensor([-2.4037, -2.0246, -2.2016, -7.1961], dtype=torch.float64)


def rod(q: Tensor) -> Tensor:
    return (q * q).sum(-1, keepdim=True) - 1


def network(size: int, outputs: int, seed: int = 0) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(size, 8), nn.Tanh(), nn.Linear(8, outputs)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return net


@pytest.mark.parametrize("constraint", [ROD, rod], ids=["text", "function"])
@pytest.mark.parametrize("metric", ["gauss", "symplectic", "euclidean"])
def test_three_projections_of_free_fall(metric: str, constraint: object) -> None:
    x = state(0.7, 1.3)
    base = hamiltonian() if metric == "symplectic" else raw()
    field = ProjectedField(base, constraint, metric=metric)  # type: ignore[arg-type]
    got = field.field(x)
    assert (got - (EUCLIDEAN if metric == "euclidean" else TRUE)).abs().max() <= 5e-5
    if metric == "euclidean":
        assert abs(float((got - exact(x)).norm()) - 7.29) <= 5e-3
        assert (got[:2] / x[2:] + 2.4175).abs().max() <= 5e-5
    else:
        assert (got - exact(x)).abs().max() <= 1e-13


def test_a_tangent_field_is_left_as_it_is() -> None:
    x = states()
    assert (ProjectedField(exact, STACKED_X, size=4).field(x) - exact(x)).abs().max() <= 1e-14


def test_mechanics_chooses_its_metric() -> None:
    assert ProjectedField(raw(), ROD).metric == "gauss"
    assert ProjectedField(hamiltonian(), ROD).metric == "symplectic"
    assert ProjectedField(network(4, 2), ROD, size=4).metric == "gauss"
    assert ProjectedField(network(4, 4), ["x1 + x4"], size=4).metric == "euclidean"


def test_rates_are_the_stacked_constraints() -> None:
    x = states() + 0.01 * torch.arange(12.0, dtype=torch.float64).reshape(3, 4)
    implied = ProjectedField(raw(), ROD, metric="euclidean")
    stated = ProjectedField(raw(), ["q1**2 + q2**2 - 1", STACKED[1]], metric="euclidean", rates=False)
    assert implied.constraint_names == ("length", "dlength/dt")
    assert (implied.field(x) - stated.field(x)).abs().max() <= 1e-13
    assert (implied.constraint(x)[:, 1] - 2 * stated.constraint(x)[:, 1]).abs().max() <= 1e-15


def test_field_is_tangent_to_every_level() -> None:
    x = 3 * states()
    field = ProjectedField(network(4, 4), ["x1**2 - x3*x4", "sin(x2) + x1"], size=4)
    slope = field.manifold.constraint.jacobian(x)
    assert (slope @ field.field(x).unsqueeze(-1)).abs().max() <= 1e-13


def test_masses_are_those_of_the_constrained_hamiltonian() -> None:
    mass = torch.tensor([[2.0, 0.3], [0.3, 1.5]], dtype=torch.float64)
    inverse = torch.linalg.inv(mass)
    (a, b), (_, c) = inverse.tolist()
    kinetic = f"({a}*p1**2 + 2*{b}*p1*p2 + {c}*p2**2)/2"
    reference = ConstrainedHamiltonian(f"{kinetic} + {GRAVITY}*q2", ["q1**2 + q2**2 - 1"])
    x = states()
    momenta = torch.cat((x[:, :2], x[:, 2:] @ mass), -1)
    expected = reference.field(momenta)
    free = AccelerationField(2, [f"-{b}*{GRAVITY}", f"-{c}*{GRAVITY}"])
    gauss = ProjectedField(free, ROD, mass=mass).field(x)
    assert (gauss[:, :2] - expected[:, :2]).abs().max() <= 1e-13
    assert (gauss[:, 2:] @ mass - expected[:, 2:]).abs().max() <= 1e-12
    dirac = ProjectedField(Hamiltonian(f"{kinetic} + {GRAVITY}*q2"), ROD).field(momenta)
    assert (dirac - expected).abs().max() <= 1e-12


@pytest.mark.parametrize("kind", ["separable", "not separable"])
def test_dirac_off_the_manifold_is_the_symplectic_projection(kind: str) -> None:
    h = "(p1**2 + p2**2)/2 + 9.81*q2 + cos(q1)"
    base: System = Hamiltonian(h if kind == "separable" else f"{h} + q1*p1*p2 + p1**4")
    field = ProjectedField(base, ROD)
    x = states()[:2] + 0.1 * torch.tensor([1.0, -0.5, 0.3, 0.7], dtype=torch.float64)
    slope = torch.func.vmap(torch.func.jacrev(field.constraint))(x)
    expected = project_vector(slope, base.field(x), "symplectic")
    assert (field.field(x) - expected).abs().max() <= 1e-12


def test_dirac_keeps_the_energy_and_euclid_does_not() -> None:
    def energy(z: Tensor) -> Tensor:
        q, p = z[..., :2], z[..., 2:]
        return 0.5 * (p * p).sum(-1) + torch.sin(3 * q[..., 0]) + q[..., 1] ** 2

    base = ModuleHamiltonian(energy, 2)
    x = states()
    slope = torch.func.vmap(torch.func.grad(energy))(x)
    dirac = (slope * ProjectedField(base, ROD).field(x)).sum(-1)
    euclid = (slope * ProjectedField(base, ROD, metric="euclidean", rates=True).field(x)).sum(-1)
    assert dirac.abs().max() <= 1e-13
    assert euclid.abs().max() > 0.1


def moving_rod(q: Tensor, t: Tensor) -> Tensor:
    return (q * q).sum(-1, keepdim=True) - (1 + 0.1 * torch.sin(3 * t)) ** 2


@pytest.mark.parametrize("metric", ["gauss", "euclidean"])
@pytest.mark.parametrize(
    "constraint", [["q1**2 + q2**2 - (1 + 0.1*sin(3*t))**2"], moving_rod], ids=["text", "function"]
)
def test_constraints_that_move(constraint: object, metric: str) -> None:
    field = ProjectedField(raw(), constraint, metric=metric)  # type: ignore[arg-type]
    assert field.space.size == 5
    assert field.timed
    x = torch.cat((states(), torch.tensor([[0.0], [0.4], [1.1]], dtype=torch.float64)), -1)
    x = field.project(x, torch.zeros(1, dtype=torch.float64))
    slope = torch.func.vmap(torch.func.jacrev(field.constraint))(x)
    rates = (slope @ field.field(x).unsqueeze(-1)).squeeze(-1)
    assert rates.abs().max() <= 1e-12
    untimed = ProjectedField(raw(), ROD, metric=metric)  # type: ignore[arg-type]
    without = torch.cat((untimed.field(x[:, :4]), torch.ones_like(x[:, 4:])), -1)
    missed = (slope @ without.unsqueeze(-1)).squeeze(-1).abs().amax(-1)
    assert missed[:2].min() > 0.05  # what a projection without the derivative in time misses


def test_time_of_the_base_is_the_time_of_the_constraint() -> None:
    base = VectorField({"a": "cos(t)", "b": "1"})
    field = ProjectedField(base, ["a - b*t"])
    x = torch.tensor([0.3, 0.2, 2.0], dtype=torch.float64)
    got = field.field(x)
    assert abs(float(got[0] - 0.2 - 2.0 * got[1])) <= 1e-15
    assert float(got[2]) == 1.0


def test_stabilised_field() -> None:
    x = states() * 1.1
    field = ProjectedField(network(4, 4), STACKED_X, size=4, mode="stabilise", gamma=8.0, level="zero")
    base = field.base.field(x)
    slope, off = field.manifold.constraint.jacobian(x), field.constraint(x)
    expected = base - 8.0 * (torch.linalg.pinv(slope) @ off.unsqueeze(-1)).squeeze(-1)
    assert (field.field(x) - expected).abs().max() <= 1e-12
    fed = ProjectedField(network(4, 4), STACKED_X, size=4, mode="stabilise", gamma=8.0)
    assert fed.control_size == 2
    assert (fed.field(x, fed.level_of(x)) - base).abs().max() <= 1e-14
    assert (fed.field(x, torch.zeros(2, dtype=torch.float64)) - expected).abs().max() <= 1e-12
    with pytest.raises(ValueError, match="ProjectedStep"):
        fed.field(x)


def test_mode_none_is_the_base() -> None:
    field = ProjectedField(network(4, 4), STACKED_X, size=4, mode="none")
    assert torch.equal(field.field(states()), field.base.field(states()))
    assert field.observables == {"constraint": 2}


def test_dependent_gradients_are_named() -> None:
    twice = ProjectedField(raw(), {"rod": ROD["length"], "again": "2*q1**2 + 2*q2**2 - 2"})
    with pytest.raises(DependentConstraintsError, match=r"rod.*again"):
        twice.field(states())
    kept = ProjectedField(raw(), [ROD["length"], "2*q1**2 + 2*q2**2 - 2"], rank_deficient=True)
    assert (kept.field(states()) - exact(states())).abs().max() <= 1e-12


def test_where_the_gradient_of_an_invariant_vanishes() -> None:
    prey = VectorField({"x": "1.5*x - x*y", "y": "x*y - 3*y"})
    invariant = ["x - 3*log(x) + y - 1.5*log(y)"]
    rest = torch.tensor([3.0, 1.5], dtype=torch.float64)
    field = ProjectedField(prey, invariant)
    with pytest.raises(DependentConstraintsError, match="g1"):
        field.field(rest)
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert (field.field(x) - prey.field(x)).abs().max() <= 1e-15
    allowed = ProjectedField(prey, invariant, rank_deficient=True)
    assert torch.equal(allowed.field(rest), prey.field(rest))


def test_folded_linkage() -> None:
    arms = ["q1**2 + q2**2 - 1", "(q3 - q1)**2 + (q4 - q2)**2 - 1", "q4"]
    base = AccelerationField(4, ["0", "0", "0", "0"])
    folded = torch.tensor([1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    with pytest.raises(DependentConstraintsError):
        ProjectedField(base, [*arms, "q3 - 2"]).field(folded)
    bent = folded.clone()
    bent[:3] = torch.tensor([0.8, 0.6, 1.6], dtype=torch.float64)
    assert ProjectedField(base, arms).field(bent).isfinite().all()


def test_slack_bus_is_held_by_constraints_of_its_own() -> None:
    grid = power_grid().system
    v = grid.operating_point
    expressions = grid.expressions
    assert len(expressions) == 20
    net = network(28, 28)
    field = ProjectedField(net, expressions, size=28, level="zero")
    assert field.constraint(v).abs().max() <= 1e-7
    slope = field.manifold.constraint.jacobian(v)
    assert (slope - grid.constraint_jacobian(v)).abs().max() <= 1e-12
    loads = slope[:18]
    assert abs(float(torch.linalg.cond(loads @ loads.mT)) - 426) <= 1
    slope_of_net = field.field(v)
    assert slope_of_net[[1, 15]].abs().max() <= 1e-12
    assert (slope @ slope_of_net).abs().max() <= 1e-12
    mask = torch.ones(28, dtype=torch.float64)
    mask[[1, 15]] = 0.0
    masked = project_vector(loads, mask * net(v))
    assert masked[[1, 15]].abs().max() > 1e-3  # masked before a projection that knows no slack bus


def test_field_under_the_transforms_of_torch() -> None:
    x = states()
    field = ProjectedField(AccelerationField(2, network(4, 2), ["0", "-9.81"]), ROD)
    whole = field.field(x)
    assert (torch.func.vmap(field.field)(x) - whole).abs().max() <= 1e-13
    jacobian = torch.func.vmap(torch.func.jacrev(field.field))(x)
    assert (torch.func.vmap(torch.func.jacfwd(field.field))(x) - jacobian).abs().max() <= 1e-12
    step = 1e-6
    for k, e in enumerate(torch.eye(4, dtype=torch.float64)):
        central = (field.field(x + step * e) - field.field(x - step * e)) / (2 * step)
        assert (jacobian[..., k] - central).abs().max() <= 1e-6
    assert field.field(x[:0]).shape == (0, 4)
    assert field.field(x[0]).shape == (4,)


def test_parameters_of_constraints_are_trained() -> None:
    radius = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    field = ProjectedField(raw(), ["q1**2 + q2**2 - r**2*cosh(v0*t)**2"], parameters={"r": radius, "v0": 0.3})
    assert any(p is radius for p in field.parameters())
    x = torch.cat((states(), torch.full((3, 1), 0.2, dtype=torch.float64)), -1)
    field.field(x).square().sum().backward()
    assert radius.grad is not None
    assert radius.grad.abs() > 0.1


def test_single_precision() -> None:
    field = ProjectedField(network(4, 4).float(), lambda x: (x * x).sum(-1, keepdim=True), size=4)
    x = states().float()
    slope = field.field(x)
    assert slope.dtype == torch.float32
    assert (x * slope).sum(-1).abs().max() <= 1e-6


Build = Callable[[], ProjectedField]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ProjectedField(network(3, 3), ["x1"], size=3, metric="gauss"), "even number"),
        (lambda: ProjectedField(network(4, 4), ["x1"]), "size"),
        (lambda: ProjectedField(network(4, 4), ["x1"], size=4, metric="gauss"), "q' = v"),
        (lambda: ProjectedField(raw(), ["q1"], metric="symplectic"), "HamiltonianSystem"),
        (lambda: ProjectedField(raw(), ["q1*v1"]), "functions of the positions"),
        (lambda: ProjectedField(raw(), ["q1*v1"], metric="euclidean"), "rates=False"),
        (lambda: ProjectedField(hamiltonian(), ["q1 - t"]), "without t"),
        (lambda: ProjectedField(hamiltonian(), ["q1"], mass=2.0), "masses of the Hamiltonian"),
        (lambda: ProjectedField(raw(), ["q1", "q2", "q1 + q2"]), "between 1 and 2"),
        (lambda: ProjectedField(raw(), []), "between 1 and 2"),
        (lambda: ProjectedField(raw(), ["q1"], mode="stabilise"), "gamma"),
        (lambda: ProjectedField(raw(), ["q1"], gamma=2.0), "gamma"),
        (lambda: ProjectedField(raw(), ["q1"], mode="stabilise", gamma=-1.0), "gamma"),
        (lambda: ProjectedField(raw(), ["q1"], "gauss", mode="stabilise", gamma=1.0), "euclidean"),
        (lambda: ProjectedField(raw(), ["q1"], level="first"), "level"),  # type: ignore[arg-type]
        (lambda: ProjectedField(raw(), lambda q: q.sum(-1)), r"shape \(2, m\)"),
        (lambda: ProjectedField(raw(), lambda q: q, parameters={"a": 1.0}), "parameters"),
        (lambda: ProjectedField(raw(), ["q1"], mass=[1.0, 2.0, 3.0]), "mass"),
        (lambda: ProjectedField(raw(), ["q1"], size=6), "size"),
    ],
    ids=[
        "odd", "no size", "no velocities", "no Hamiltonian", "velocities", "velocities with rates", "time",
        "mass", "too many", "none", "no gamma", "gamma", "negative gamma", "stabilised metric", "level",
        "shape", "parameters", "masses", "size",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(build: Build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_what_is_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="base"):
        ProjectedField("net", ["x1"], size=2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="constraints"):
        ProjectedField(raw(), 3)  # type: ignore[arg-type]
