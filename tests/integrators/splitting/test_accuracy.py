"""Orders, structure, derivatives and refusals of splitting methods."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import solve_ivp

from integrators import certify, rollout, splitting
from integrators.systems import Hamiltonian

KEPLER = Hamiltonian(
    "(p1**2 + p2**2)/2 - 1/sqrt(q1**2 + q2**2)", invariants={"angular_momentum": "q1*p2 - q2*p1"}
)
KEPLER_START = torch.tensor([0.4, 0.0, 0.0, 2.0], dtype=torch.float64)
HENON = Hamiltonian("(p1**2 + p2**2)/2 + (q1**2 + q2**2)/2 + q1**2*q2 - q2**3/3")
HENON_START = torch.tensor([0.0, 0.1, 0.39, 0.05], dtype=torch.float64)


@pytest.mark.parametrize(
    "name", [n for n in splitting.__all__ if n not in ("Scheme", "Splitting", "SofroniouSpaletta10", "Tao")]
)
def test_measured_order(name: str) -> None:
    """Errors against DOP853 at 1e-13 fall with the stated order."""
    method = getattr(splitting, name)

    def field(_: float, z):
        force = HENON.force(torch.tensor(z[:2], dtype=torch.float64)).numpy()
        return [z[2], z[3], force[0], force[1]]

    time = 4.0
    exact = solve_ivp(field, (0, time), HENON_START.numpy(), method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    order = method.scheme_used.order
    counts = {1: (400, 800), 2: (100, 200), 3: (80, 160), 4: (16, 32), 6: (12, 24), 8: (7, 14)}[order]
    errors = []
    for count in counts:
        x = HENON_START
        flow = method(HENON, time / count)
        for _ in range(count):
            x = flow(x)
        errors.append(float((x - torch.tensor(exact)).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.45 if order < 8 else 1.5), errors


def test_structure_of_a_step() -> None:
    x = torch.stack((HENON_START, torch.tensor([0.2, -0.1, 0.1, 0.3], dtype=torch.float64)))
    for name in ("SymplecticEuler", "Verlet", "SRKN6", "KahanLi8"):
        certificate = certify(getattr(splitting, name)(HENON, 0.1), x, steps=1000)
        assert certificate.symplectic_defect is not None
        assert certificate.symplectic_defect <= 1e-13
        assert certificate.inverse is not None
        assert certificate.inverse <= 1e-14
        if name != "SymplecticEuler":
            assert certificate.reversibility is not None
            assert certificate.reversibility <= 1e-14
            assert not certificate.energy_drifts
    adjoint = splitting.SymplecticEuler(HENON, 0.1).adjoint()
    assert adjoint.scheme.factors == (("drift", 1.0), ("kick", 1.0))


def test_torch_and_kernel_agree_and_broadcast() -> None:
    x = HENON_START + 0.05 * torch.randn(
        2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    timed = Hamiltonian("p**2/(2*m) - cos(q) - a*q*cos(w*t)", parameters={"m": 1.3, "a": 0.2, "w": 2.0})
    angle = torch.tensor([[0.3, 0.1, 0.0], [1.2, -0.4, 0.5]], dtype=torch.float64)
    every = ("SymplecticEuler", "Verlet", "BlanesMoanS6", "SRKN11", "McLachlanAtela4")
    cases = ((HENON, x, every), (KEPLER, KEPLER_START.expand(5, 4), every[3:4]), (timed, angle, every[1:3]))
    for system, start, names in cases:
        for name in names:
            flow = getattr(splitting, name)(system, 0.05)
            ends = [rollout(flow, start, steps=100, backend=backend).final for backend in ("torch", "numba")]
            torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-12)


def test_time_dependent_forces_against_dop853() -> None:
    system = Hamiltonian("p**2/2 - cos(q) - 0.3*q*cos(2*t)")
    flow = splitting.BlanesMoanS10(system, 0.05)
    run = rollout(flow, torch.tensor([0.5, 0.0, 0.0], dtype=torch.float64), steps=200, backend="numba")

    def field(t: float, z):
        return [z[1], -math.sin(z[0]) + 0.3 * math.cos(2 * t)]

    exact = solve_ivp(field, (0, 10), [0.5, 0.0], method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    torch.testing.assert_close(run.final[:2], torch.tensor(exact), rtol=0, atol=1e-9)
    assert float(run.final[2]) == pytest.approx(10)


def test_gradients_through_steps_and_parameters() -> None:
    stiffness = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
    system = Hamiltonian("p**2/2 + k*q**2/2 + q**4/4", parameters={"k": stiffness})
    flow = splitting.PEFRL(system, 0.1)
    x = torch.tensor([0.4, -0.2], dtype=torch.float64, requires_grad=True)

    def end(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(flow, {"system.value_k": k}, (flow(x),))

    assert torch.autograd.gradcheck(end, (x, stiffness))
    assert torch.allclose(torch.vmap(flow)(x[None]), flow(x[None]))


def test_systems_that_a_method_cannot_treat_are_refused() -> None:
    mixed = Hamiltonian("p**2*(1 + q**2)/2 + q**2/2")
    with pytest.raises(ValueError, match=r"needs H = T\(p\) \+ V\(q\)"):
        splitting.Verlet(mixed, 0.1)
    relativistic = Hamiltonian("sqrt(1 + p**2) + q**2/2")
    splitting.KahanLi8(relativistic, 0.1)
    with pytest.raises(ValueError, match="BlanesMoanS6"):
        splitting.SRKN6(relativistic, 0.1)
    with pytest.raises(ValueError, match="h: expected"):
        splitting.Verlet(HENON, 0.0)
    with pytest.raises(TypeError, match="HamiltonianSystem"):
        splitting.Verlet("p**2/2", 0.1)  # type: ignore[arg-type]


def test_a_collision_stops_its_trajectory_alone() -> None:
    x = torch.stack((KEPLER_START, torch.tensor([1e-200, 0.0, 0.0, 0.0], dtype=torch.float64)))
    for backend in ("torch", "numba"):
        run = rollout(splitting.Verlet(KEPLER, 0.01), x, steps=50, backend=backend)
        assert run.failed_at.tolist() == [-1, 1]
        assert bool(torch.isfinite(run.states).all())
