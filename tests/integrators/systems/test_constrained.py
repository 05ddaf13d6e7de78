"""Constrained systems: pendulums in Cartesian coordinates against angles, projection, ranks, kernels."""

from __future__ import annotations

import math

import pytest
import torch

from integrators import Hamiltonian, StepError
from integrators.systems import ConstrainedHamiltonian

from ._kernels import evaluate

BALL = "q1**2 + q2**2 + q3**2 - l**2"


def points(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def double() -> ConstrainedHamiltonian:
    """Two masses on rods in the plane."""
    return ConstrainedHamiltonian(
        "(p1**2 + p2**2)/(2*a) + (p3**2 + p4**2)/(2*b) + g*(a*q2 + b*q4)",
        {"upper": "q1**2 + q2**2 - 1", "lower": "(q3 - q1)**2 + (q4 - q2)**2 - 1"},
        parameters={"a": 1.0, "b": 2.0, "g": 9.81},
        units=("m", "kg m/s"),
    )


def test_forces_jacobian_and_masses_are_the_expressions() -> None:
    system = double()
    assert (system.degrees, system.constraint_names) == (4, ("upper", "lower"))
    assert [part.unit for part in system.space.parts] == ["m", "kg m/s"]
    x = points(2, 5, 8)
    q, p = x[..., :4], x[..., 4:]
    slope = torch.func.grad(lambda z: system.energy(z).sum())(x)
    torch.testing.assert_close(system.force(q), -slope[..., :4])
    torch.testing.assert_close(system.velocity(p), slope[..., 4:])
    torch.testing.assert_close(p @ system.inverse_mass, slope[..., 4:])
    assert system.inverse_mass.diagonal().tolist() == [1.0, 1.0, 0.5, 0.5]
    exact = torch.func.vmap(torch.func.jacrev(system.constraint))(q.reshape(-1, 4))
    torch.testing.assert_close(system.constraint_jacobian(q).reshape(-1, 2, 4), exact)
    assert system.constraint_jacobian(q[:0]).shape == (0, 5, 2, 4)


def test_the_field_of_a_pendulum_is_that_of_its_angle() -> None:
    pendulum = ConstrainedHamiltonian(
        "(p1**2 + p2**2)/(2*m) + m*g*q2", ["q1**2 + q2**2 - l**2"], {"m": 2.0, "g": 9.81, "l": 0.5}
    )
    angle, rate, m, g, l = 0.7, 1.3, 2.0, 9.81, 0.5  # noqa: E741
    s, c = math.sin(angle), math.cos(angle)
    x = torch.tensor([l * s, -l * c, m * l * c * rate, m * l * s * rate], dtype=torch.float64)
    bend = -g / l * s
    exact = [l * c * rate, l * s * rate, m * l * (c * bend - s * rate**2), m * l * (s * bend + c * rate**2)]
    assert pendulum.field(x).tolist() == pytest.approx(exact, rel=1e-14)
    assert float(pendulum.residual(x).abs().max()) < 1e-15
    tension = m * (g * c + l * rate**2)
    assert float(pendulum.multipliers(x)) == pytest.approx(tension / (2 * l), rel=1e-14)


def test_the_double_pendulum_agrees_with_its_angles() -> None:
    """Accelerations of both angles, from the Hamiltonian in angles by the chain rule."""
    free = Hamiltonian(
        "(p1**2*b - 2*b*cos(q1 - q2)*p1*p2 + (a + b)*p2**2)/(2*b*(a + b*sin(q1 - q2)**2))"
        " - g*((a + b)*cos(q1) + b*cos(q2))",
        parameters={"a": 1.0, "b": 2.0, "g": 9.81},
    )

    def cartesian(z: torch.Tensor) -> torch.Tensor:
        q, v = z[:2], free.gradient(z)[1]
        sin, cos = q.sin(), q.cos()
        along = [cos[0] * v[0], sin[0] * v[0], cos[0] * v[0] + cos[1] * v[1], sin[0] * v[0] + sin[1] * v[1]]
        places = [sin[0], -cos[0], sin[0] + sin[1], -cos[0] - cos[1]]
        masses = torch.tensor([1.0, 1.0, 2.0, 2.0], dtype=z.dtype)
        return torch.cat((torch.stack(places), masses * torch.stack(along)))

    z = torch.tensor([0.4, -1.1, 0.8, 0.3], dtype=torch.float64)
    pushed = torch.func.jvp(cartesian, (z,), (free.field(z),))
    x, rate = pushed[0], pushed[1]
    torch.testing.assert_close(double().field(x), rate, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(double().energy(x), free.energy(z), rtol=1e-14, atol=0)


def test_projection_reaches_the_constraints_and_stays_there() -> None:
    system = double()
    x = torch.tensor([0.6, -0.8, 1.5, -1.2, 0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    near = x + 0.1 * points(3, 4, 8)
    there = system.project(near)
    assert there.shape == near.shape
    assert float(system.residual(there).abs().max()) < 5e-15
    torch.testing.assert_close(system.project(there), there, rtol=0, atol=1e-14)
    assert float((there - near).norm(dim=-1).max()) < 0.8
    assert system.project(near[:0]).shape == near[:0].shape
    single = system.to(torch.float32).project(near.float())
    assert float(system.residual(single).abs().max()) < 5e-6


def test_redundant_and_impossible_constraints_are_named() -> None:
    with pytest.raises(ValueError, match="constraints: g2 depends on the others"):
        ConstrainedHamiltonian("(p1**2 + p2**2)/2", ["q1 + q2", "2*q1 + 2*q2 - 1"])
    with pytest.raises(ValueError, match="constraints: third depends on the others"):
        ConstrainedHamiltonian("(p1**2 + p2**2)/2", {"a": "q1", "b": "q2 - 1", "third": "q1*q2"})
    ball = ConstrainedHamiltonian("(p1**2 + p2**2 + p3**2)/2 + q3", {"length": BALL}, {"l": 1.0})
    with pytest.raises(ValueError, match="constraint length depends on the others at q"):
        ball.project(torch.zeros(6, dtype=torch.float64))
    imaginary = ConstrainedHamiltonian("(p1**2 + p2**2)/2", {"length": "q1**2 + q2**2 + 1"})
    with pytest.raises(StepError, match="1 of 1 states do not reach the constraints length"):
        imaginary.project(torch.tensor([0.3, 0.2, 0.0, 0.0], dtype=torch.float64))


def test_kernels_equal_torch() -> None:
    system, x = double(), points(6, 8)
    q, p = x[:, :4], x[:, 4:]

    def everything(b, offset, rows, _, targets):
        system.emit_force(b, offset, rows[:4], [], targets[:4])
        system.emit_velocity(b, offset, rows[4:], targets[4:8])
        system.emit_constraint(b, offset, rows[:4], targets[8:10])
        system.emit_constraint_jacobian(b, offset, rows[:4], targets[10:])

    expected = [
        system.force(q),
        system.velocity(p),
        system.constraint(q),
        system.constraint_jacobian(q).flatten(-2),
    ]
    torch.testing.assert_close(
        evaluate(system, everything, 18, x), torch.cat(expected, -1), rtol=0, atol=1e-14
    )


def test_masses_and_lengths_are_trained() -> None:
    mass = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
    system = ConstrainedHamiltonian("(p1**2 + p2**2)/(2*m) + q2", ["q1**2 + q2**2 - 1"], {"m": mass})
    x = system.project(torch.tensor([0.6, -0.9, 0.3, 0.1], dtype=torch.float64)).detach()

    def rate(x: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(_Field(system), {"system.value_m": m}, (x,))

    assert torch.autograd.gradcheck(rate, (x.requires_grad_(), mass))


class _Field(torch.nn.Module):
    def __init__(self, system: ConstrainedHamiltonian) -> None:
        super().__init__()
        self.system = system

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.system.field(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("p1**2*q1 + q2", ["q1"]), "constant M.*Cartesian"),
        (("p1**2/2 + p1 + q1**2", ["q1"]), "constant M"),
        (("p1**4 + q1", ["q1"]), "constant M"),
        (("p1**2/2 - p2**2/2", ["q1"]), "positive definite mass matrix"),
        (("p1**2/2", ["q1 - p1"]), r"constraints\['g1'\]: unknown symbol p1.*functions of positions"),
        (("p1**2/2", ["q1 - t"]), r"constraints\['g1'\]: unknown symbol t.*time is not taken"),
        (("p1**2/2 + k*q1**2", ["q1"]), "expression: unknown symbol k"),
        (("p1**2/2", []), "one or more functions of positions"),
        (("p1**2/2 + q2", {"a": "q1"}), None),
    ],
)
def test_bad_input_is_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message or "positive definite mass matrix"):
        ConstrainedHamiltonian(*arguments)
