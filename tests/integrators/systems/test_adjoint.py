"""Gradients in reverse mode: values, and the work that they take."""

from __future__ import annotations

import re

import pytest
import sympy

from integrators.systems._adjoint import staged_gradient
from integrators.zoo import fput

Q = sympy.symbols("q1:5", real=True)


@pytest.mark.parametrize(
    "expression",
    [
        "(q1 - q2)**2/2 + (q2 - q3)**4/4 + q4**2",
        "1/sqrt((q1 - q2)**2 + (q3 - q4)**2) + q1*(q2 - q3)",
        "exp(q1 - q2) + exp(q2 - q1) + sin(q3 + cos(q1 - q2))**2",
        "log(1 + (q1 + q2*q3)**2)*(q2 - q1)**3 + Abs(q3 - q4)",
        "q1*q2 + q3",
    ],
)
def test_staged_gradients_are_gradients(expression: str) -> None:
    names = {s.name: s for s in Q}
    parsed = sympy.sympify(expression, locals=names)
    staged = staged_gradient(parsed, Q)
    point = dict(zip(Q, (0.3, -0.7, 1.1, 0.2), strict=True))
    values = dict(point)
    for symbol, value in staged.definitions:
        values[symbol] = value.subs(values)
    for symbol, slope in zip(Q, staged.outputs, strict=True):
        assert float(slope.subs(values)) == pytest.approx(
            float(sympy.diff(parsed, symbol).subs(point)), rel=1e-14
        )


def test_the_force_along_a_bond_is_computed_once() -> None:
    """Each bond takes three products (the square, the cube, the stiffness) and three sums."""
    masses = 16
    code = fput(masses).system._force.code
    text = [*(value for _, value in code.lines), *code.results]
    products = sum(len(re.findall(r"(?<!1\.0 )\*", value)) for value in text)
    sums = sum(value.count("+") for value in text)
    assert products <= 3 * (masses + 1)
    assert sums <= 3 * (masses + 1)
