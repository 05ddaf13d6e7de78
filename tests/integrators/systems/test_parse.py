"""Reading expressions: what text means, and what is said about text that means nothing."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
import torch

from integrators import Hamiltonian
from integrators.systems._parse import parse

X, Y = sympy.symbols("x y", real=True)
Q = sympy.Symbol("q")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x**2*3 - 1.5e-3", 3 * X**2 - sympy.Float("1.5e-3")),
        ("x + 2.e1 + .5", X + sympy.Float("20.5")),
        ("sqrt(x) + abs( x )/2", sympy.sqrt(X) + sympy.Abs(X) / 2),
        ("maximum(x, y) - minimum(x, 0)", sympy.Max(X, Y) - sympy.Min(X, 0)),
        ("sin(pi*x)", sympy.sin(sympy.pi * X)),
        ("E + I + S + N", sum(sympy.symbols("E I S N", real=True))),
        (sympy.Symbol("x") ** 2, X**2),
        (np.float64(0.25), sympy.Float("0.25")),
        (3, sympy.Integer(3)),
    ],
    ids=str,
)
def test_text_means_what_it_says(text, expected) -> None:
    assert sympy.simplify(parse(text) - expected) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p^2/2", r"write \*\* for powers, got \^"),
        ("2p + q", "cannot read '2p \\+ q': invalid syntax; products need"),
        ("p**2 + f(q)", "f is no known function.*there are abs, acos"),
        ("p**2 + q(1 + p)", "q is no known function.*a product needs"),
        ("p**2 + lambda*q", "lambda cannot be the name of a symbol"),
        ("p**2 if q else 1", "else, if cannot be the name of a symbol.*maximum"),
        ("p**2 = q", "expected numbers, symbols"),
        ("p**2 + q.real", "expected numbers, symbols"),
        ("p//2", "expected numbers, symbols"),
        ("__import__('os')", "expected numbers, symbols"),
        ("", "cannot read ''"),
        ("p + sin", "cannot read 'p \\+ sin'"),
        ("p + (q", "cannot read 'p \\+ \\(q': a parenthesis is open"),
        ("sin(p, q)", "sin takes exactly 1 argument"),
        ("p, q", "one expression, got"),
        ("p + 1/0", "finite numbers, got zoo; look for a division by zero"),
        ("p*10**400", "expected finite numbers"),
        ("p + sqrt(-1)*q", "real numbers, got I"),
        ("p + log(-2)", "real numbers, got I"),
        (None, "expected text, a sympy expression or a number, got NoneType"),
        (torch.nn.Linear(2, 1), "modules and functions, of torch or njit, are taken by MechanicalSystem"),
        (["p"], "expected text, a sympy expression or a number, got list"),
        (sympy.Eq(X, Y), "expected text, a sympy expression or a number, got Equality"),
        (sympy.Function("q")(Q), r"q\(q\) is a function without a formula; replace it by a symbol"),
    ],
    ids=str,
)
def test_what_means_nothing_is_refused(text, message: str) -> None:
    with pytest.raises(ValueError, match=f"^energy: .*{message}"):
        parse(text, "energy")


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (sympy.gamma(Q), "gamma has no code; use sums"),
        (sympy.Piecewise((Q, Q > 0), (0, True)), "Piecewise has no code"),
        (sympy.sign(Q), "derivative of sign or of a step has no code; make it smooth"),
        (sympy.Heaviside(Q), "derivative of sign or of a step has no code"),
    ],
    ids=str,
)
def test_what_has_no_code_is_refused(term, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Hamiltonian(sympy.Symbol("p") ** 2 / 2 + term)
