"""Hamiltonian systems from expressions: values and derivatives against sympy and autograd, and refusals."""

from __future__ import annotations

import math

import pytest
import sympy
import torch

from integrators import Hamiltonian, KahanLi6, rollout
from integrators.systems._code import generate

DOUBLE = "(p1**2 - 2*cos(q1-q2)*p1*p2 + 2*p2**2)/(2*m*(2 - cos(q1-q2)**2)) - 2*g*cos(q1) - g*cos(q2)"


def points(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_values_and_gradients_of_a_system_that_is_not_separable() -> None:
    system = Hamiltonian(DOUBLE, parameters={"m": 1.3, "g": 9.81})
    assert not system.separable
    assert not system.quadratic_kinetic
    x = points(2, 3, 4).requires_grad_()
    energy = system.energy(x)
    (slope,) = torch.autograd.grad(energy.sum(), x)
    torch.testing.assert_close(torch.cat(system.gradient(x), -1), slope, rtol=1e-13, atol=1e-13)
    symbols = sympy.symbols("q1 q2 p1 p2 m g", real=True)
    exact = sympy.lambdify(symbols, sympy.sympify(DOUBLE, locals={s.name: s for s in symbols}), "mpmath")
    q1, q2, p1, p2 = (float(v) for v in x.detach()[1, 2])
    assert float(energy.detach()[1, 2]) == pytest.approx(float(exact(q1, q2, p1, p2, 1.3, 9.81)), rel=1e-14)
    with pytest.raises(ValueError, match="not of the form"):
        system.force(x[..., :2])


@pytest.mark.parametrize(
    ("expression", "separable", "quadratic"),
    [
        ("p**2/2 + q**4", True, True),
        ("p1**2/2 + p2**2/(2*3) + p1*p2/4 + q1*q2", True, True),
        ("sqrt(1 + p**2) + q**2", True, False),
        ("p**2/2 + p + q**2", True, False),
        ("p**2*(1 + q**2)/2", False, False),
        ("p**2/2 + q**2*cos(t)", True, True),
    ],
)
def test_structure_is_found(expression: str, separable: bool, quadratic: bool) -> None:
    system = Hamiltonian(expression)
    assert (system.separable, system.quadratic_kinetic) == (separable, quadratic)
    assert system.timed == ("t" in expression.replace("sqrt", ""))


def test_names_order_and_cyclic_positions() -> None:
    system = Hamiltonian("p10**2/2 + p2**2/2 + q2**2")
    assert [s.name for s in system.positions] == ["q2", "q10"]
    polar = Hamiltonian("p_r**2/2 + p_f**2/(2*r**2) - 1/r", positions="r f", momenta="p_r, p_f")
    assert polar.degrees == 2
    x = torch.tensor([2.0, 0.3, 0.5, 1.5], dtype=torch.float64)
    assert float(polar.energy(x)) == pytest.approx(0.125 + 1.5**2 / 8 - 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Hamiltonian("p**2/2 + k*q**2"), r"unknown symbol k.*parameters="),
        (
            lambda: Hamiltonian("p1**2/2 + q1", positions="q1 q2", momenta="p1"),
            "as many positions as momenta",
        ),
        (lambda: Hamiltonian("q**2"), None),
        (lambda: Hamiltonian("p**2 +* q"), "cannot read"),
        (lambda: Hamiltonian("__import__('os')"), "expected numbers, symbols"),
        (lambda: Hamiltonian("p**2 + gamma(q)"), "gamma is no known function"),
        (lambda: Hamiltonian("p**2 + k*q", parameters={"k": math.nan}), "one finite number"),
        (lambda: Hamiltonian("p**2 + k*q", parameters={"k": "1"}), "number, got '1'"),  # type: ignore[dict-item]
        (lambda: Hamiltonian("p**2 + k*q", parameters={"k": torch.ones(2)}), "one finite number, got tensor"),
        (
            lambda: Hamiltonian("p**2 + q*t").energy(torch.ones(2).double()),
            r"shape \(\.\.\., 3\), got \(2,\)",
        ),
        (lambda: Hamiltonian("p**2/2", invariants={"L": "q*p*w"}), r"invariants\['L'\]: unknown symbol w"),
        (lambda: Hamiltonian("p**2 + sqrt(-1)*q"), "real numbers|cannot"),
    ],
)
def test_bad_expressions_are_refused(call, message) -> None:
    if message is None:
        call()
        return
    with pytest.raises(ValueError, match=message):
        call()


def test_generated_code_covers_powers_quotients_and_extrema() -> None:
    x, y = sympy.symbols("x y", real=True, positive=True)
    for e in (
        x**5 / y**3,
        x ** sympy.Rational(3, 2),
        y**-0.5,
        x ** sympy.Rational(3, 4),
        x ** sympy.Rational(-9, 4),
        x**2.7,
        sympy.Max(x, y) - sympy.Min(x, 2),
        x**y,
    ):
        code = generate([e])
        scope = {"x": 1.7, "y": 0.6, "sqrt": math.sqrt, "power": math.pow, "maximum": max, "minimum": min}
        for name, text in code.lines:
            scope[name] = eval(text, dict(scope))
        value = eval(code.results[0], dict(scope))
        assert value == pytest.approx(
            float(e.subs({x: sympy.Float("1.7", 30), y: sympy.Float("0.6", 30)})), rel=1e-14
        )


@pytest.mark.slow
def test_kernel_functions_equal_torch() -> None:
    """Every function in a force, rolled out on both backends; angles far from zero too."""
    names = ("sin", "cos", "exp", "tanh", "cosh", "sinh", "atan", "abs", "sqrt(4 + q2**2)*cos")
    potential = " + ".join(f"{name}(q1/3)" for name in names)
    system = Hamiltonian(f"(p1**2 + p2**2)/2 + {potential} + log(3 + q1**2) + maximum(q1, 0.3) + q2**2")
    x = 0.5 * points(5, 4)
    ends = [rollout(KahanLi6(system, 0.02), x, steps=20, backend=b).final for b in ("torch", "numba")]
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)
