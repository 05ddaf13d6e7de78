"""Poisson systems from expressions: rigid body and Lotka-Volterra by hand, checks of structure, kernels."""

from __future__ import annotations

import math

import pytest
import sympy
import torch

from integrators import Hamiltonian, PoissonSystem
from integrators.systems import SkewGradientSystem
from integrators.systems._identity import vanishes

from ._kernels import evaluate

SKEW = {(0, 1): "-x3", (0, 2): "x2", (1, 2): "-x1"}
SQUARE = "x1**2 + x2**2 + x3**2"


def points(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def body(**options) -> PoissonSystem:
    return PoissonSystem(
        "x1**2/(2*a) + x2**2/(2*b) + x3**2/(2*c)", SKEW, parameters={"a": 2.0, "b": 1.0, "c": 2 / 3},
        casimirs={"square": SQUARE}, **options,
    )  # fmt: skip


def test_rigid_body_obeys_euler_and_keeps_energy_and_casimir() -> None:
    system = body(units="kg m^2/s")
    x = points(5, 3)
    omega = x / torch.tensor([2.0, 1.0, 2 / 3], dtype=torch.float64)
    torch.testing.assert_close(system.field(x), torch.linalg.cross(x, omega), rtol=0, atol=1e-14)
    torch.testing.assert_close(system.gradient(x), omega, rtol=1e-15, atol=0)
    b = system.structure(x)
    assert b.shape == (5, 3, 3)
    torch.testing.assert_close(b @ omega[..., None], system.field(x)[..., None], rtol=0, atol=1e-14)
    assert bool((b == -b.mT).all())
    assert (system.jacobi, system.dissipative, system.casimirs) == (True, False, ("square",))
    assert system.observables == {"energy": 1, "square": 1}
    torch.testing.assert_close(system.invariant("square", x), (x * x).sum(-1))
    assert system.structure(x[0]).shape == (3, 3)
    assert system.structure(x[:0]).shape == (0, 3, 3)


def test_gradient_and_field_come_from_the_energy() -> None:
    """The generic base derives by automatic differentiation what the expressions give."""
    system, x = body(), points(2, 3, 3)
    by_autograd = SkewGradientSystem.gradient(system, x)
    torch.testing.assert_close(system.gradient(x), by_autograd, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(system.field(x), SkewGradientSystem.field(system, x), rtol=1e-14, atol=1e-14)


def test_lotka_volterra_has_a_state_dependent_structure() -> None:
    """x' = x (a - y), y' = y (x - 1) with H = x - log x + y - a log y."""
    system = PoissonSystem(
        "x - log(x) + y - a*log(y)", [["0", "-x*y"], ["x*y", "0"]], parameters={"a": 2.0}, variables="x y"
    )
    assert system.space.labels() == ["x", "y"]
    x = points(7, 2).exp()
    a, b = x.unbind(-1)
    torch.testing.assert_close(system.field(x), torch.stack((a * (2 - b), b * (a - 1)), -1))


def test_dissipation_lowers_the_energy_and_kernels_equal_torch() -> None:
    drag = [["k*x2**2", "-k*x1*x2", 0], ["-k*x1*x2", "k*x1**2", 0], [0, 0, "0.1"]]
    system = PoissonSystem("x1**2 + x2**4 + x3**2", SKEW, {"k": 0.3}, dissipation=drag)
    x = points(20, 3)
    d = system.dissipation(x)
    assert system.dissipative
    assert bool((torch.linalg.eigvalsh(d) > -1e-12).all())
    torch.testing.assert_close(system.operator(x), system.structure(x) - d)
    rate = (system.gradient(x) * system.field(x)).sum(-1)
    torch.testing.assert_close(rate, -torch.einsum("ni,nij,nj->n", system.gradient(x), d, system.gradient(x)))

    def everything(b, offset, rows, control, targets):
        system.emit_field(b, offset, rows, control, targets[:3])
        system.emit_gradient(b, offset, rows, targets[3:6])
        system.emit_structure(b, offset, rows, targets[6:15])
        system.emit_operator(b, offset, rows, targets[15:])

    expected = [
        system.field(x),
        system.gradient(x),
        system.structure(x).flatten(-2),
        system.operator(x).flatten(-2),
    ]
    torch.testing.assert_close(
        evaluate(system, everything, 24, x), torch.cat(expected, -1), rtol=0, atol=1e-13
    )


def test_canonical_structure_gives_the_hamiltonian_system() -> None:
    h = "p1**2*(1 + q1**2)/2 + q1*q2 + p2**2/2"
    canonical = {(0, 2): 1, (1, 3): 1}
    poisson, x = PoissonSystem(h, canonical, variables="q1 q2 p1 p2"), points(3, 4)
    torch.testing.assert_close(poisson.field(x), Hamiltonian(h).field(x), rtol=1e-14, atol=1e-14)
    assert poisson.space.names == ("q", "p")


def test_jacobi_identity_is_needed_unless_one_says_not() -> None:
    """B = hat(a(x)) satisfies it only where a . curl a = 0; a = (x2, 0, 1) has a . curl a = -1."""
    bad = {(0, 1): "-1", (0, 2): 0, (1, 2): "-x2"}
    with pytest.raises(
        ValueError, match=r"Jacobi identity fails for \(x1, x2, x3\).*-?1, not 0.*check_jacobi"
    ):
        PoissonSystem(SQUARE, bad)
    assert not PoissonSystem(SQUARE, bad, check_jacobi=False).jacobi


def test_identities_that_need_trigonometry_are_seen() -> None:
    x, y = sympy.symbols("x y", real=True)
    assert vanishes(sympy.sin(x + y) - sympy.sin(x) * sympy.cos(y) - sympy.cos(x) * sympy.sin(y))
    assert vanishes(sympy.sqrt(x**2 + 2 * x + 1) - sympy.Abs(x + 1))
    assert not vanishes(sympy.sin(x) - x)
    assert not vanishes(sympy.Rational(1, 10**20) * x)
    assert not vanishes(sympy.Float(1e-20))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PoissonSystem("x1**2", [[0, 1], [1, 0]]), r"skew matrix, got 1 at \(1, 0\) and 1"),
        (lambda: PoissonSystem("x1**2", {(0, 1): 1, (1, 1): "x1"}), r"skew matrix, got x1 at \(1, 1\)"),
        (lambda: PoissonSystem("x1**2", [[0, 1], [-1, 0], [0, 0]]), "3 rows of 3 expressions, got 3"),
        (lambda: PoissonSystem("x1**2", {(0, 2): 1}, variables="x1 x2"), r"from 0 to 1, got \(0, 2\)"),
        (lambda: PoissonSystem("x1**2", {(0, 1): "k"}), r"structure\[0, 1\]: unknown symbol k"),
        (lambda: PoissonSystem("x1**2 + w", {(0, 1): 1}), "hamiltonian: unknown symbol w"),
        (lambda: PoissonSystem("x1**2*t", {(0, 1): 1}), "t stands for time.*VectorField"),
        (
            lambda: PoissonSystem(SQUARE, SKEW, casimirs={"c": "x1"}),
            r"casimirs\['c'\]: B grad C must be 0, but its x2 entry is x3",
        ),
        (
            lambda: PoissonSystem("x1**2", {(0, 1): 1}, dissipation={(0, 0): "-1"}),
            "positive semidefinite matrix, got the eigenvalue -1",
        ),
        (lambda: PoissonSystem("x1", {(0, 1): 1}, dissipation=[[1, 2], [0, 1]]), "symmetric matrix, got 0"),
        (lambda: PoissonSystem("k*x1", {(0, 1): 1}, {"k": math.nan}), "one finite number"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
