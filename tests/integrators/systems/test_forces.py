"""Inputs, friction and other forces: fields, splitting methods with exact kicks, controls in kernels."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from scipy.integrate import solve_ivp

from integrators import (
    SRKN6,
    BlanesMoanS6,
    Hamiltonian,
    KahanLi6,
    SymplecticEuler,
    Verlet,
    VerletDriftFirst,
    certify,
    rollout,
)
from integrators._exponential import exponential_ratio
from integrators._method import HamiltonianMethod

from ._kernels import evaluate

PUSHED = Hamiltonian(
    "p1**2/2 + p2**2/(2*m) - cos(q1) + q1*q2**2/2",
    parameters={"m": 1.5, "b": 0.4},
    forces={"p1": "u1*cos(2*t) - b*(1 + q2**2)*p1", "p2": "u2 - q1"},
    inputs="u1 u2",
)
START = torch.tensor([0.5, -0.3, 0.2, 0.7, 0.0], dtype=torch.float64)
INPUT = torch.tensor([0.8, -0.5], dtype=torch.float64)


def pushed_slope(t: float, z, u=(0.8, -0.5)) -> list[float]:
    q1, q2, p1, p2 = z
    return [
        p1,
        p2 / 1.5,
        -math.sin(q1) - q2**2 / 2 + u[0] * math.cos(2 * t) - 0.4 * (1 + q2**2) * p1,
        -q1 * q2 + u[1] - q1,
    ]


def test_the_field_has_the_forces_and_the_gradient_has_not() -> None:
    x = torch.tensor([0.5, -0.3, 0.2, 0.7, 1.3], dtype=torch.float64)
    assert PUSHED.field(x, INPUT).tolist() == pytest.approx(
        [*pushed_slope(1.3, x[:4].tolist()), 1.0], rel=1e-14
    )
    assert PUSHED.field(x).tolist() == pytest.approx(
        [*pushed_slope(1.3, x[:4].tolist(), (0, 0)), 1.0], rel=1e-14
    )
    slope = torch.func.grad(PUSHED.energy)(x)
    torch.testing.assert_close(torch.cat(PUSHED.gradient(x)), slope[:4])
    assert (PUSHED.timed, PUSHED.control_size, PUSHED.separable, PUSHED.forced) == (True, 2, True, True)
    batch, inputs = START + torch.rand(8, 5, dtype=torch.float64), torch.rand(8, 2, dtype=torch.float64)
    written = evaluate(PUSHED, PUSHED.emit_field, 5, batch, inputs)
    torch.testing.assert_close(written, PUSHED.field(batch, inputs), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("forces", "exact", "damped", "conservative", "reversible"),
    [
        ({"p1": "u - q1"}, True, (), True, True),
        ({"p1": "q2", "p2": "q1"}, True, (), True, True),
        ({"p1": "q2", "p2": "-q1"}, True, (), False, True),
        ({"p1": "-k*p1"}, True, (0,), False, False),
        ({"p1": "u*p1*sin(q2)"}, True, (0,), False, False),
        ({"p2": "-k*abs(p2)*p2"}, False, (), False, False),
        ({"p1": "k*p2", "p2": "-k*p1"}, False, (), False, False),
        ({"p1": "-k*p1*p1/p1"}, True, (0,), False, False),
        ({"p1": "-k*abs(p1)"}, False, (), False, True),
        ({"p1": "-k*sign(p1)"}, False, (), False, False),
        ({"p1": "k*sign(q1)"}, True, (), True, True),
        ({"p1": "sin(t)"}, True, (), True, False),
    ],
)
def test_the_kind_of_forces_is_found(forces, exact, damped, conservative, reversible) -> None:
    inputs = ["u"] if any("u" in e for e in forces.values()) else []
    system = Hamiltonian("(p1**2 + p2**2)/2 + q1**2*q2", {"k": 0.3}, forces=forces, inputs=inputs)
    found = (system.exact_kicks, system.damped, system.conservative, system.reversible)
    assert found == (exact, damped, conservative, reversible)
    if exact:
        flow = Verlet(system, 0.1)
        assert (flow.symplectic, flow.reversible, flow.symmetric) == (conservative, reversible, True)
        assert flow.evaluations == 2


def test_a_kick_with_friction_is_exact() -> None:
    """p' = F - c p from p0: F/c + (p0 - F/c) exp(-c h), with the limit for c h -> 0."""
    system = Hamiltonian("p**2/2 - 3*q", {"c": 1.0}, forces={"p": "u - c*p"}, inputs="u")
    for rate in (0.0, 1e-13, 1e-6, 0.4, 3.0, 50.0, -2.0):
        system.get_buffer("value_c").fill_(rate)
        x, u = torch.tensor([0.0, 0.7], dtype=torch.float64), torch.tensor([-1.1], dtype=torch.float64)
        end = SymplecticEuler(system, 0.5)(x, u)[1]
        with mpmath.workdps(40):
            c, h, f = mpmath.mpf(rate), mpmath.mpf("0.5"), mpmath.mpf(3) + mpmath.mpf(-1.1)
            exact = mpmath.mpf(0.7) * mpmath.exp(-c * h) + (f * h if not c else -f * mpmath.expm1(-c * h) / c)
        assert float(end) == pytest.approx(float(exact), rel=4e-16, abs=2e-16)


def test_the_ratio_of_exponentials() -> None:
    z = torch.tensor([0.0, 1e-300, -1e-9, 0.3, -0.999, 1.0, -1.001, 4.0, -30.0, -800.0], dtype=torch.float64)
    for one, value in zip(z.tolist(), exponential_ratio(z).tolist(), strict=True):
        exact = mpmath.expm1(mpmath.mpf(one)) / one if one else 1
        assert value == pytest.approx(float(exact), rel=5e-16)
    points = torch.tensor([0.0, 0.5, -1.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(exponential_ratio, (points,))
    near = torch.func.grad(torch.func.grad(lambda v: exponential_ratio(v)))(
        torch.zeros((), dtype=torch.float64)
    )
    assert float(near) == pytest.approx(1 / 3, rel=1e-15)


@pytest.mark.parametrize(
    ("method", "order", "counts"),
    [
        (Verlet, 2, (50, 100)),
        (VerletDriftFirst, 2, (50, 100)),
        (BlanesMoanS6, 4, (10, 20)),
        (KahanLi6, 6, (10, 20)),
    ],
)
def test_orders_with_forces_inputs_and_time(method, order: int, counts) -> None:
    exact = solve_ivp(pushed_slope, (0, 3.0), START[:4].numpy(), method="DOP853", rtol=1e-13, atol=1e-13).y[
        :, -1
    ]
    errors = []
    for count in counts:
        flow, x = method(PUSHED, 3.0 / count), START
        for _ in range(count):
            x = flow(x, INPUT)
        errors.append(float((x[:4] - torch.tensor(exact)).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35), errors
    assert errors[1] < 1e-3


def test_kernels_follow_controls_that_change() -> None:
    x = START + 0.1 * torch.rand(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    controls = torch.randn(60, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    flow = Verlet(PUSHED, 0.05, compensated=True)
    ends = [rollout(flow, x, steps=60, controls=controls, backend=b).final for b in ("torch", "numba")]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-13)
    assert float((ends[0] - rollout(flow, x, steps=60, backend="torch").final).abs().max()) > 0.05


def test_uniform_friction_shrinks_the_symplectic_form_exactly() -> None:
    """With p' = -dV/dq - c p every step maps the form to exp(-c h) times it."""
    system = Hamiltonian(
        "(p1**2 + p2**2)/2 + q1**2*q2 - cos(q2)", {"c": 0.7}, forces={"p1": "-c*p1", "p2": "-c*p2"}
    )
    flow = BlanesMoanS6(system, 0.1)
    x = torch.tensor([[0.3, -0.2, 0.5, 0.1]], dtype=torch.float64)
    derivative, form, _ = flow.phase_derivative(x)
    torch.testing.assert_close(
        derivative.mT @ form @ derivative, math.exp(-0.07) * form[None], rtol=0, atol=2e-15
    )
    torch.testing.assert_close(flow.inverse(flow(x)), x, rtol=0, atol=1e-15)


def test_structure_with_held_inputs() -> None:
    system = Hamiltonian("(p1**2 + p2**2)/2 + q1**2*q2", forces={"p1": "u"}, inputs="u")
    x = torch.tensor([[0.3, -0.2, 0.5, 0.1]], dtype=torch.float64)
    held = torch.tensor([0.4], dtype=torch.float64)
    certificate = certify(KahanLi6(system, 0.1), x, steps=16, control=held, backend="torch")
    assert certificate.symplectic_defect is not None
    assert certificate.symplectic_defect < 1e-14
    assert certificate.reversibility is not None
    assert certificate.reversibility < 1e-14


def test_odd_hamiltonians_are_not_reversible() -> None:
    assert Hamiltonian("p**2/2 + q**2").reversible
    assert not Hamiltonian("(p1 - q2)**2/2 + (p2 + q1)**2/2").reversible
    assert not Verlet(Hamiltonian("p**2/2 + q*sin(t)"), 0.1).reversible
    assert Verlet(Hamiltonian("p**2/2 + q*cos(t)"), 0.1).reversible


class _Unforced(HamiltonianMethod):
    def advance(self, carry, control, constants):
        return carry


def test_methods_refuse_forces_that_they_do_not_treat() -> None:
    cubic = Hamiltonian("p**2/2 + q**2", forces={"p": "-p**3"})
    with pytest.raises(ValueError, match=r"F and c free of momenta.*GaussLegendre and RungeKutta4"):
        Verlet(cubic, 0.1)
    with pytest.raises(ValueError, match=r"Hamiltonian alone.*GaussLegendre and RungeKutta4"):
        _Unforced(cubic, 0.1)
    with pytest.raises(ValueError, match="order only without friction; BlanesMoanS6"):
        SRKN6(Hamiltonian("p**2/2 + q**2", forces={"p": "-p"}), 0.1)
    SRKN6(Hamiltonian("p**2/2 + q**2", forces={"p": "q*sin(t)"}), 0.1)
    with pytest.raises(ValueError, match="without a closed form"):
        cubic.kick_forces(torch.zeros(1, dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"forces": {"q1": "u"}, "inputs": "u"},
            r"forces: expected the momenta p1, p2 as keys, got q1; write",
        ),
        ({"forces": {"p3": "1"}}, "got p3"),
        ({"forces": {"p1": "u"}}, r"forces\['p1'\]: unknown symbol u; .*inputs="),
        ({"inputs": "u"}, "inputs: u acts nowhere"),
        ({"forces": {"p1": "u"}, "inputs": "u w"}, "inputs: w acts nowhere"),
        ({"forces": {"p1": "q1"}, "inputs": "q1"}, "inputs: q1 is already among the positions"),
        ({"forces": {"p1": "k"}, "inputs": "k"}, "parameters: k is already among the inputs"),
    ],
)
def test_bad_forces_are_refused(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Hamiltonian("(p1**2 + p2**2)/2 + k*q1*q2", {"k": 1.0}, **options)


def test_inputs_in_the_energy_are_refused() -> None:
    with pytest.raises(ValueError, match="expression: unknown symbol u"):
        Hamiltonian("p**2/2 - u*q", forces={"p": "u"}, inputs="u")
