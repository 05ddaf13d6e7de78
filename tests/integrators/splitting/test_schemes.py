"""Coefficients of the splitting schemes against the order conditions of the free algebra."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import factorial

import pytest

from integrators import splitting
from integrators.splitting import Splitting
from integrators.splitting._scheme import Scheme

NAMED = {
    name: value.scheme_used  # type: ignore[attr-defined]
    for name in splitting.__all__
    if isinstance(value := getattr(splitting, name), type)
    and issubclass(value, Splitting)
    and value is not Splitting
}


def residual(scheme: Scheme, order: int) -> float:
    """Largest violation of: words of n letters have coefficient 1 / n! in the product of the exponentials."""
    words = {w: float(w == ()) for n in range(order + 1) for w in itertools.product("ab", repeat=n)}
    for kind, weight in scheme.factors:
        letter = "a" if kind == "drift" else "b"
        grown = {}
        for word in words:
            total, tail = words[word], 0
            while tail < len(word) and word[len(word) - 1 - tail] == letter:
                tail += 1
                total += weight**tail / factorial(tail) * words[word[: len(word) - tail]]
            grown[word] = total
        words = grown
    return max(abs(value - 1 / factorial(len(word))) for word, value in words.items())


@pytest.mark.parametrize("name", [n for n, s in NAMED.items() if not s.quadratic_only and s.order <= 8])
def test_order_conditions_hold_and_not_one_more(name: str) -> None:
    scheme = NAMED[name]
    assert residual(scheme, scheme.order) < 2e-14 * 4**scheme.order / scheme.order
    assert residual(scheme, scheme.order + 1) > 1e-7


def test_the_condition_tells_a_wrong_coefficient() -> None:
    good = NAMED["KahanLi6"]
    wrong = Scheme("wrong", 6, tuple(reversed(good.drifts[:2])) + good.drifts[2:], good.kicks, False)
    assert residual(wrong, 6) > 1e-3


@pytest.mark.parametrize("name", list(NAMED))
def test_symmetry_and_adjoint(name: str) -> None:
    scheme = NAMED[name]
    assert scheme.symmetric == (name not in ("SymplecticEuler", "Ruth3", "McLachlanAtela4"))
    assert scheme.adjoint().factors == scheme.factors[::-1]
    assert [kind for kind, _ in scheme.factors[:2]] == (
        ["kick", "drift"] if scheme.kick_first else ["drift", "kick"]
    )


def test_exact_coefficients() -> None:
    ruth = NAMED["Ruth3"]
    assert [Fraction(c).limit_denominator(100) for c in ruth.kicks] == [
        Fraction(-1, 24),
        Fraction(3, 4),
        Fraction(7, 24),
    ]
    assert {n: s.forces for n, s in NAMED.items()} == {
        "ABA864": 7, "PEFRL": 4, "BlanesMoanS10": 10, "BlanesMoanS6": 6, "KahanLi6": 9, "KahanLi8": 17,
        "McLachlan4": 5, "McLachlanAtela4": 4, "Ruth3": 3, "SRKN11": 11, "SRKN14": 14, "SRKN6": 6,
        "SofroniouSpaletta10": 35, "Suzuki4": 5, "SuzukiUmeno8": 15, "SymplecticEuler": 1, "Verlet": 1,
        "VerletDriftFirst": 1, "Yoshida4": 3, "Yoshida6": 7, "Yoshida8": 15,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("drifts", "kicks", "message"), [((1.0,), (1.0, 0.0, 0.0), "alternate"), ((0.9,), (1.0,), "sum to one")]
)
def test_inconsistent_coefficients_are_refused(drifts, kicks, message) -> None:
    with pytest.raises(ValueError, match=message):
        Scheme("bad", 1, drifts, kicks, True)
