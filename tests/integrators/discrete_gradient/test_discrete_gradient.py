"""Discrete-gradient methods: energy, order, dissipation, derivatives, failures."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import solve_ivp

from integrators import Hamiltonian, PoissonSystem, Status, StepError, certify, rollout
from integrators.discrete_gradient import (
    AverageVectorField,
    DiscreteGradient,
    GonzalezMidpoint,
    ItohAbe,
    SymmetricItohAbe,
)
from integrators.systems import MechanicalSystem, VectorField

from ..kernels._interpreted import run_program

NO_INPUTS = torch.zeros(0, 2, 1, dtype=torch.float64)
HENON = Hamiltonian("(p1**2 + p2**2)/2 + (q1**2 + q2**2)/2 + q1**2*q2 - q2**3/3")
HENON_START = torch.tensor([0.0, 0.1, 0.39, 0.05], dtype=torch.float64)
PENDULUM = Hamiltonian("p**2/2 - cos(q)")
PREY = PoissonSystem(
    "x1 - 3*log(x1) + x2 - 1.5*log(x2)",
    {(0, 1): "-x1*x2"},
    invariants={"predators": "x1 - 3*log(x1) + x2 - 1.5*log(x2)"},
)  # x1' = 1.5 x1 - x1 x2, x2' = x1 x2 - 3 x2
BODY = PoissonSystem(
    "(x1**2/2 + x2**2 + x3**2/3)/2",
    {(0, 1): "-x3", (0, 2): "x2", (1, 2): "-x1"},
    casimirs={"squared_momentum": "x1**2 + x2**2 + x3**2"},
)
DAMPED = PoissonSystem("x1**2/2 + x1**4/4 + x2**2/2", {(0, 1): "1"}, dissipation={(1, 1): "0.3"})
METHODS = (GonzalezMidpoint, AverageVectorField, ItohAbe, SymmetricItohAbe)


def test_energy_to_rounding_in_a_compiled_rollout() -> None:
    """The energy is about 0.08, the terms that it is the sum of about 0.1."""
    start = torch.stack((HENON_START, torch.tensor([0.2, -0.1, 0.1, 0.3], dtype=torch.float64)))
    flow = GonzalezMidpoint(HENON, 0.1)
    run = rollout(flow, start, 2000, 100, observe=["energy"], observe_every=1, backend="numba")
    energy = run.observations["energy"]
    assert float((energy - energy[0]).abs().max()) <= 1.5e-15
    slow = rollout(flow, start, 100, backend="torch").final
    torch.testing.assert_close(slow, run.states[1], rtol=0, atol=1e-12)
    assert flow.energy_preserving
    assert not flow.symplectic


@pytest.mark.parametrize(
    ("method", "bound"), [(AverageVectorField, 1e-15), (ItohAbe, 1e-14), (SymmetricItohAbe, 1e-14)]
)
@pytest.mark.parametrize("compensated", [False, True])
def test_kernels_keep_the_energy_and_do_what_torch_does(
    method: type[DiscreteGradient], bound: float, compensated: bool
) -> None:
    start = torch.stack((HENON_START, torch.zeros(4, dtype=torch.float64)))
    flow = method(HENON, 0.1, compensated=compensated)
    states, energy, codes = run_program(flow.kernel_program(["energy"]), start, 200, NO_INPUTS)
    assert float((energy - HENON.energy(start).unsqueeze(-1)).abs().max()) <= bound
    assert not codes.any()
    assert torch.equal(states[-1, 1], start[1])
    slow = rollout(flow, start, 50, backend="torch").final
    torch.testing.assert_close(slow, states[49], rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_kernels_with_dissipation_and_time(method: type[DiscreteGradient]) -> None:
    driven = Hamiltonian("p**2/2 - cos(q) - 0.3*q*cos(2*t)")
    starts = ([[1.0, 0.5], [0.1, -0.2]], [[0.5, 0.0, 0.0], [1.0, 0.2, 0.3]])
    for system, start in zip((DAMPED, driven), starts, strict=True):
        x, flow = torch.tensor(start, dtype=torch.float64), method(system, 0.1)
        states, _, _ = run_program(flow.kernel_program([]), x, 30, NO_INPUTS)
        slow = rollout(flow, x, 30, backend="torch").final
        torch.testing.assert_close(slow, states[-1], rtol=0, atol=1e-12)


def flow_order(method: type[DiscreteGradient], system: object) -> int:
    """The stated order; one more for increments of an energy that is a sum of functions of one variable."""
    return 2 if system in (PREY, BODY) else int(method.order or 0)


@pytest.mark.parametrize("method", METHODS)
def test_measured_order(method: type[DiscreteGradient]) -> None:
    for system, start, time in (
        (HENON, HENON_START, 2.0),
        (PREY, torch.tensor([2.0, 2.0], dtype=torch.float64), 1.0),
        (BODY, torch.tensor([0.5, 1.0, -0.3], dtype=torch.float64), 2.0),
    ):

        def field(_: float, z, system=system):
            return system.field(torch.tensor(z)).numpy()

        exact = solve_ivp(field, (0, time), start.numpy(), method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
        order = flow_order(method, system)
        errors = []
        for count in (20, 40):
            x, flow = start, method(system, time / count)
            for _ in range(count):
                x = flow(x)
            errors.append(float((x - torch.tensor(exact)).abs().max()))
            if method is not AverageVectorField or system is not PREY:
                assert float((system.energy(x) - system.energy(start)).abs()) < 1e-14
        assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2), errors


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("h", [0.05, 0.3])
def test_damped_energy_falls_at_every_step(method: type[DiscreteGradient], h: float) -> None:
    flow = method(DAMPED, h)
    x = torch.tensor([1.0, 0.5], dtype=torch.float64)
    energies = [DAMPED.energy(x)]
    for _ in range(60):
        x = flow(x)
        energies.append(DAMPED.energy(x))
    assert bool((torch.stack(energies).diff() < 0).all())
    assert not flow.energy_preserving


def test_time_dependent_energy_against_dop853() -> None:
    system = Hamiltonian("p**2/2 - cos(q) - 0.3*q*cos(2*t)")

    def field(t: float, z):
        return [z[1], -math.sin(z[0]) + 0.3 * math.cos(2 * t)]

    exact = solve_ivp(field, (0, 2), [0.5, 0.0], method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    errors = []
    for count in (40, 80):
        x, flow = torch.tensor([0.5, 0.0, 0.0], dtype=torch.float64), GonzalezMidpoint(system, 2 / count)
        for _ in range(count):
            x = flow(x)
        errors.append(float((x[:2] - torch.tensor(exact)).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.1)
    assert float(x[2]) == pytest.approx(2)
    assert not flow.energy_preserving


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_against_differences(method: type[DiscreteGradient]) -> None:
    stiffness = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    system = Hamiltonian(
        "p**2/2 + k*q**2/2 + q**4/4", parameters={"k": torch.nn.Parameter(stiffness.detach())}
    )
    flow = method(system, 0.2)
    x = torch.tensor([[0.4, -0.2], [0.3, 0.7]], dtype=torch.float64, requires_grad=True)

    def end(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        values = {"system.value_k": k}
        return torch.func.functional_call(flow, values, (torch.func.functional_call(flow, values, (x,)),))

    assert torch.autograd.gradcheck(end, (x, stiffness))
    jacobians = torch.vmap(torch.func.jacrev(flow))(x.detach())
    forward = torch.vmap(torch.func.jacfwd(flow))(x.detach())
    torch.testing.assert_close(jacobians, forward, rtol=0, atol=1e-13)


def test_structure_of_a_step() -> None:
    certificate = certify(
        GonzalezMidpoint(PENDULUM, 0.2), torch.tensor([[1.0, 0.3]]).double(), 64, backend="torch"
    )
    assert not certificate.symplectic
    assert certificate.reversible
    assert certificate.invertible
    assert certificate.order == pytest.approx(2, abs=0.2)
    x = torch.tensor([1.0, 0.3], dtype=torch.float64)
    flow = ItohAbe(PENDULUM, 0.2)
    torch.testing.assert_close(flow.inverse(flow(x)), x, rtol=0, atol=1e-15)
    assert not flow.reversible


def test_quadrature_follows_the_degree() -> None:
    assert [AverageVectorField(Hamiltonian(f"p**2/2 + q**{m}"), 0.1).nodes for m in (2, 3, 4, 5, 6)] == [
        1, 2, 2, 3, 3,
    ]  # fmt: skip
    flow = AverageVectorField(PENDULUM, 0.1)
    assert (flow.nodes, flow.degree, flow.energy_preserving) == (5, None, False)
    assert "error of the quadrature" in repr(flow)
    assert not AverageVectorField(HENON, 0.1, nodes=1).energy_preserving
    errors = []
    for h in (0.1, 0.05):
        x = torch.tensor([2.0, 0.5], dtype=torch.float64)
        y = AverageVectorField(PENDULUM, h, nodes=1)(x)
        errors.append(float((PENDULUM.energy(y) - PENDULUM.energy(x)).abs()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(3, abs=0.5)


def test_a_step_that_is_too_long_is_reported() -> None:
    flow = GonzalezMidpoint(HENON, 3.0)
    x = torch.stack((torch.zeros(4, dtype=torch.float64), 5 * HENON_START))
    with pytest.raises(StepError, match="1 of 2 trajectories failed"):
        flow(x)
    run = rollout(flow, x, 4, backend="torch")
    assert run.failed_at.tolist() == [-1, 1]
    assert int(run.status[1]) in (Status.NOT_CONVERGED, Status.NON_FINITE)


def test_small_oscillations_stay_clean() -> None:
    """Near the equilibrium the difference of two energies is rounding: it must not push the state about."""
    for amplitude in (1e-9, 1e-6, 1e-4, 1e-2):
        x, flow = torch.tensor([amplitude, 0.0], dtype=torch.float64), GonzalezMidpoint(PENDULUM, 0.1)
        for _ in range(50):
            x = flow(x)
        turned = 50 * 2 * math.atan(0.05)
        scaled = x / amplitude
        expected = torch.tensor([math.cos(turned), -math.sin(turned)], dtype=torch.float64)
        torch.testing.assert_close(scaled, expected, rtol=0, atol=max(1e-5, amplitude**2))


@pytest.mark.parametrize("method", METHODS)
def test_shapes_and_dtypes(method: type[DiscreteGradient]) -> None:
    single = Hamiltonian("p**2/2 - cos(q)", dtype=torch.float32)
    flow = method(single, 0.1)
    for shape in ((2,), (0, 2), (2, 3, 2)):
        x = torch.full(shape, 0.5)
        y = flow(x)
        assert y.shape == shape
        assert y.dtype == torch.float32
        assert float((single.energy(y) - single.energy(x)).abs().max() if y.numel() else 0.0) < 1e-6


def test_systems_without_an_energy_to_keep_are_refused() -> None:
    with pytest.raises(TypeError, match="SkewGradientSystem"):
        GonzalezMidpoint(VectorField({"x": "-x"}), 0.1)
    pull = VectorField({"x": "v", "v": "-x + u"}, inputs="u")
    with pytest.raises(TypeError, match="GaussLegendre"):
        AverageVectorField(pull, 0.1)
    with pytest.raises(ValueError, match="nodes: expected at least 1"):
        AverageVectorField(HENON, 0.1, nodes=0)
    learned = MechanicalSystem(1, potential=lambda q: (q**4).sum(-1))
    assert GonzalezMidpoint(learned, 0.1).energy_preserving
    assert AverageVectorField(learned, 0.1).degree is None
