"""Lagrangians: momenta, energies and fields against Hamiltonians by hand and DOP853, kernels, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import solve_ivp

from integrators import GaussLegendre, Hamiltonian, Lagrangian, Verlet, rollout

from ._kernels import evaluate

DOUBLE = "v1**2 + v2**2/2 + cos(q1 - q2)*v1*v2 + 2*cos(q1) + cos(q2)"
DOUBLE_HAMILTONIAN = "(p1**2 - 2*cos(q1-q2)*p1*p2 + 2*p2**2)/(2*(2 - cos(q1-q2)**2)) - 2*cos(q1) - cos(q2)"
GYRO = (
    "m*(v1**2 + q1**2*v2**2)/2 + v3**2*(2 + sin(t))/2 + c*v1*v3/4 + w*q1**2*v2 + cos(t)*v1*q2 - k*q1**2/2"
    " + q3*sin(2*t)"
)
VALUES = {"m": 1.3, "c": 0.5, "w": 0.7, "k": 2.0}


def points(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def chain(n: int) -> str:
    """Pendulums of unit masses and lengths, each hung on the one before, in Cartesian velocities."""
    across = [" + ".join(f"cos(q{j})*v{j}" for j in range(1, k + 1)) for k in range(1, n + 1)]
    up = [" + ".join(f"sin(q{j})*v{j}" for j in range(1, k + 1)) for k in range(1, n + 1)]
    heights = " + ".join(f"{n + 1 - k}*cos(q{k})" for k in range(1, n + 1))
    kinetic = " + ".join(f"({a})**2/2 + ({b})**2/2" for a, b in zip(across, up, strict=True))
    return f"{kinetic} + g*({heights})"


def test_the_double_pendulum_is_the_one_of_its_hamiltonian() -> None:
    system, exact = Lagrangian(DOUBLE), Hamiltonian(DOUBLE_HAMILTONIAN)
    assert not system.separable
    x = points(2, 5, 4)
    torch.testing.assert_close(system.energy(x), exact.energy(x), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(system.field(x), exact.field(x), rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(system.gradient(x), exact.gradient(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    v = system.velocity_of(x)
    torch.testing.assert_close(system.state(x[..., :2], v), x, rtol=1e-13, atol=1e-13)
    assert system.field(x[:0]).shape == (0, 5, 4)


def test_implicit_midpoint_on_the_double_pendulum_has_the_published_errors() -> None:
    """q = (1, 0.5) at rest, h = 0.01, T = 100: energy 4.0e-6, state 9.9e-4, by independent code."""
    system, exact = Lagrangian(DOUBLE), Hamiltonian(DOUBLE_HAMILTONIAN)
    x = torch.tensor([1.0, 0.5, 0.0, 0.0], dtype=torch.float64)
    run = rollout(
        GaussLegendre(system, 0.01, stages=1),
        x,
        steps=10_000,
        observe=["energy"],
        observe_every=1,
        backend="numba",
    )
    energy = run.observations["energy"]
    assert 2e-6 < float((energy / energy[0] - 1).abs().max()) < 8e-6

    def field(_: float, z):
        return exact.field(torch.as_tensor(z)).numpy()

    end = solve_ivp(field, (0, 100), x.numpy(), method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    assert 5e-4 < float((run.final - torch.tensor(end)).abs().max()) < 2e-3


def test_gyroscopic_terms_and_time() -> None:
    """Momenta by differentiating L; dH/dx by differentiating the energy."""
    system = Lagrangian(GYRO, VALUES, invariants={"spin": "m*q1**2*v2 + w*q1**2", "clock": "v3*t"})
    assert (system.timed, system.separable, system.reversible) == (True, False, False)
    q, v, t = points(4, 3) + torch.tensor([3.0, 0, 0]), points(4, 3).flip(0), points(4, 1)
    r, f, w, m = q[:, 0], v[:, 1], 0.7, 1.3
    momenta = torch.stack(
        (
            m * v[:, 0] + 0.125 * v[:, 2] + t[:, 0].cos() * q[:, 1],
            m * r**2 * f + w * r**2,
            v[:, 2] * (2 + t[:, 0].sin()) + 0.125 * v[:, 0],
        ),
        -1,
    )
    x = system.state(q, v, t)
    torch.testing.assert_close(x, torch.cat((q, momenta, t), -1), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(system.velocity_of(x), v, rtol=1e-13, atol=1e-13)
    slope = torch.func.grad(lambda z: system.energy(z).sum())(x)
    torch.testing.assert_close(torch.cat(system.gradient(x), -1), slope[:, :6], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(system.invariant("spin", x), momenta[:, 1], rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(system.invariant("clock", x), v[:, 2] * t[:, 0], rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(system.field(x)[:, :3], v, rtol=1e-13, atol=1e-13)
    assert bool((system.field(x)[:, 6] == 1).all())


def test_kernels_equal_torch() -> None:
    forced = Lagrangian(
        GYRO, VALUES, forces={"q1": "u - v1*v3", "q3": "-v3**3"}, inputs="u",
        invariants={"spin": "m*q1**2*v2 + w*q1**2"},
    )  # fmt: skip
    assert not forced.exact_kicks
    x, u = points(6, 7) + torch.tensor([3.0, 0, 0, 0, 0, 0, 0]), points(6, 1)

    def everything(b, offset, rows, control, targets):
        forced.emit_field(b, offset, rows, control, targets[:7])
        forced.emit_gradient(b, offset, rows, targets[7:13])
        forced.emit_observable(b, "energy", offset, rows, targets[13:14])
        forced.emit_observable(b, "spin", offset, rows, targets[14:])

    observed = torch.stack((forced.energy(x), forced.invariant("spin", x)), -1)
    expected = [forced.field(x, u), *forced.gradient(x), observed]
    torch.testing.assert_close(
        evaluate(forced, everything, 15, x, u), torch.cat(expected, -1), rtol=0, atol=1e-12
    )


def test_constant_masses_are_split() -> None:
    """A full constant mass matrix; friction and inputs on a diagonal one."""
    full = Lagrangian("a*v1**2/2 + v2**2 + v1*v2/2 - q1**4/4 - q1*q2**2/2", {"a": 1.5})
    assert (full.separable, full.quadratic_kinetic) == (True, True)
    diagonal = Lagrangian(
        "a*v1**2/2 + v2**2 - q1**4/4 - q1*q2**2/2",
        {"a": 1.5, "b": 0.3},
        forces={"q1": "u - b*v1"},
        inputs="u",
    )
    assert (diagonal.damped, diagonal.exact_kicks, diagonal.control_size) == ((0,), True, 1)
    x, u = 0.5 * points(4, 4), torch.full((1,), 0.2, dtype=torch.float64)
    by_hand = Hamiltonian(
        "p1**2/(2*a) + p2**2/4 + q1**4/4 + q1*q2**2/2",
        {"a": 1.5, "b": 0.3}, forces={"p1": "u - b*p1/a"}, inputs="u",
    )  # fmt: skip
    torch.testing.assert_close(Verlet(diagonal, 0.1)(x, u), Verlet(by_hand, 0.1)(x, u), rtol=0, atol=1e-14)
    for system, held in ((full, None), (diagonal, u)):
        flow = Verlet(system, 0.05)
        ends = [rollout(flow, x, steps=50, controls=held, backend=b).final for b in ("torch", "numba")]
        torch.testing.assert_close(*ends, rtol=0, atol=1e-13)
    coupled = Lagrangian("v1**2 + v2**2 + v1*v2 - q1**2", forces={"q1": "-v1"})
    with pytest.raises(ValueError, match="F and c free of momenta"):
        Verlet(coupled, 0.1)
    Verlet(Lagrangian("v1**2 + v2**2 + v1*v2 - q1**2", forces={"q1": "-q2"}), 0.1)


def test_eight_pendulums_compile_and_keep_their_energy() -> None:
    """No symbolic inverse of the mass matrix: the kernel solves with it, and agrees with torch."""
    system = Lagrangian(chain(8), {"g": 9.81})
    q = torch.linspace(0.8, -0.4, 8, dtype=torch.float64) + 0.3 * points(3, 8)
    x = system.state(q, 0.1 * points(3, 8))
    written = evaluate(system, system.emit_field, 16, x)
    torch.testing.assert_close(written, system.field(x), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(system.momentum(q, written[:, :8]), x[:, 8:], rtol=1e-11, atol=1e-11)

    def field(_: float, z):
        return system.field(torch.as_tensor(z)).numpy()

    end = solve_ivp(field, (0, 0.3), x[0].numpy(), method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    assert float(system.energy(torch.tensor(end))) == pytest.approx(float(system.energy(x[0])), rel=1e-10)


def test_the_velocity_equations_are_those_of_lagrange() -> None:
    """d/dt dL/dv = dL/dq, with accelerations written out by automatic differentiation of L."""
    system = Lagrangian(chain(3), {"g": 9.81})

    def lagrangian(q: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        total = q.new_zeros(())
        for k in range(1, 4):
            across, up = (q[:k].cos() * v[:k]).sum(), (q[:k].sin() * v[:k]).sum()
            total = total + (across**2 + up**2) / 2 + 9.81 * q[:k].cos().sum()
        return total

    q, v = points(2, 3).unbind(0)
    momentum = torch.func.grad(lagrangian, 1)
    mass, cross = torch.func.jacrev(momentum, 1)(q, v), torch.func.jacrev(momentum, 0)(q, v)
    bend = torch.linalg.solve(mass, torch.func.grad(lagrangian)(q, v) - cross @ v)
    x = system.state(q, v)
    torch.testing.assert_close(x[3:], momentum(q, v), rtol=1e-13, atol=1e-13)
    _, rate = torch.func.jvp(system.velocity_of, (x,), (system.field(x),))[:2]
    torch.testing.assert_close(rate, bend, rtol=1e-11, atol=1e-11)


def test_derivatives_batches_and_precision() -> None:
    mass = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
    system = Lagrangian("m*(v1**2 + v2**2 + cos(q1)*v1*v2)/2 - q1**2*q2", {"m": mass})
    x = points(2, 4)
    torch.testing.assert_close(torch.vmap(system.field)(x), system.field(x))
    hessian = torch.func.vmap(torch.func.hessian(system.energy))(x)
    torch.testing.assert_close(hessian, hessian.mT, rtol=1e-12, atol=1e-12)
    by_rows = torch.stack([torch.autograd.functional.hessian(system.energy, row) for row in x])
    torch.testing.assert_close(hessian, by_rows, rtol=1e-11, atol=1e-11)
    (slope,) = torch.autograd.grad(system.energy(x).sum(), mass)
    kinetic = (x[:, 2:] * system.velocity_of(x).detach()).sum() / 2
    assert float(slope) == pytest.approx(-float(kinetic) / 1.5, rel=1e-12)
    assert Lagrangian("v**2/2 - q**2", dtype=torch.float32).field(x[:, :2].float()).dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("sqrt(1 - v1**2) - q1",), {}, "quadratic in the velocities v1, got.*by its Hamiltonian"),
        (("v1**4 - q1",), {}, "quadratic in the velocities"),
        (("v1**2/2 - q1**2 - q2**2",), {}, "no kinetic energy comes with v2"),
        (("v1**2/2 - v2**2/2",), {}, "positive definite mass matrix, but got"),
        (("v1**2/2 - k*q1",), {}, "expression: unknown symbol k; name positions q1, q2, ... and velocities"),
        (("q1**2",), {"positions": "q1", "velocities": "a b"}, "as many positions as velocities"),
        (("v1**2/2",), {"forces": {"v1": "1"}}, "forces: expected the positions q1 as keys, got v1"),
        (("v1**2/2",), {"forces": {"q1": "-p1"}}, r"forces\['q1'\]: unknown symbol p1; .*inputs="),
        (("m*v1**2/2",), {"parameters": {"m": math.nan}}, "one finite number"),
        (("x**2",), {}, "as many positions as velocities"),
    ],
)
def test_bad_input_is_refused(arguments, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Lagrangian(*arguments, **options)
