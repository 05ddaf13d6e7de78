"""Coefficients of Gauss, Lobatto and explicit methods against their defining conditions and known values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mpmath
import pytest
import torch

from integrators import Tableau
from integrators.runge_kutta._explicit import RUNGE_KUTTA_4
from integrators.runge_kutta._quadrature import continuation, quadrature
from integrators.runge_kutta._tableau import coupling, gauss, lobatto_pair


def quadrature_defect(b: Sequence[float], c: Sequence[float], order: int) -> float:
    """Largest violation of ``B(order)``."""
    return max(
        abs(math.fsum(w * x ** (k - 1) for w, x in zip(b, c, strict=True)) - 1 / k)
        for k in range(1, order + 1)
    )


def stage_defect(a: Sequence[Sequence[float]], c: Sequence[float], order: int) -> float:
    """Largest violation of ``C(order)``."""
    return max(
        abs(math.fsum(w * x ** (k - 1) for w, x in zip(row, c, strict=True)) - node**k / k)
        for row, node in zip(a, c, strict=True)
        for k in range(1, order + 1)
    )


@pytest.mark.parametrize("s", [1, 2, 3, 4, 7])
def test_gauss_conditions(s: int) -> None:
    table = gauss(s)
    c = [float(node) for node in quadrature("gauss", s)[0]]
    assert table.symplecticity_residual <= 2e-16
    assert quadrature_defect(table.b, c, 2 * s) <= 4e-16
    assert quadrature_defect(table.b, c, 2 * s + 1) > 1e-9
    assert stage_defect(table.a, c, s) <= 4e-16
    assert table.c == pytest.approx(c, abs=4e-16)
    m = coupling("gauss", s)
    assert bool((m + m.T == 1).all())
    single = coupling("gauss", s, torch.float32)
    assert bool((single + single.T == 1).all())
    assert (
        float(
            (m * torch.tensor(table.b, dtype=torch.float64) - torch.tensor(table.a, dtype=torch.float64))
            .abs()
            .max()
        )
        <= 2e-16
    )


def test_gauss_against_closed_forms_and_forty_digits() -> None:
    r3, r15 = math.sqrt(3), math.sqrt(15)
    assert gauss(1).a == ((0.5,),)
    assert gauss(2).a[0] == pytest.approx((1 / 4, 1 / 4 - r3 / 6), abs=1e-16)
    assert gauss(2).a[1] == pytest.approx((1 / 4 + r3 / 6, 1 / 4), abs=1e-16)
    assert gauss(3).a[0] == pytest.approx((5 / 36, 2 / 9 - r15 / 15, 5 / 36 - r15 / 30), abs=1e-16)
    assert gauss(3).a[2] == pytest.approx((5 / 36 + r15 / 30, 2 / 9 + r15 / 15, 5 / 36), abs=1e-16)
    with mpmath.workdps(40):
        roots = mpmath.polyroots(
            mpmath.taylor(lambda x: mpmath.legendre(7, x), 0, 7)[::-1], 200, extraprec=200
        )
        nodes = sorted(float((mpmath.re(r) + 1) / 2) for r in roots)
    assert [float(node) for node in quadrature("gauss", 7)[0]] == nodes


@pytest.mark.parametrize("s", [2, 3, 4, 5])
def test_lobatto_conditions(s: int) -> None:
    first, second = lobatto_pair(s)
    c = [float(node) for node in quadrature("lobatto", s)[0]]
    assert c[0] == 0
    assert c[-1] == 1
    assert quadrature_defect(first.b, c, 2 * s - 2) <= 4e-16
    assert quadrature_defect(first.b, c, 2 * s - 1) > 1e-9
    assert stage_defect(first.a, c, s) <= 4e-16
    assert s < 3 or stage_defect(second.a, c, s - 2) <= 4e-16
    a, other = torch.tensor(first.a, dtype=torch.float64), torch.tensor(second.a, dtype=torch.float64)
    b = torch.tensor(first.b, dtype=torch.float64)
    assert float((b[:, None] * other + (b[:, None] * a).T - b[:, None] * b).abs().max()) <= 2e-16


def test_lobatto_against_the_printed_tables() -> None:
    first, second = lobatto_pair(3)
    printed = (((0, 0, 0), (5 / 24, 1 / 3, -1 / 24), (1 / 6, 2 / 3, 1 / 6)),
               ((1 / 6, -1 / 6, 0), (1 / 6, 1 / 3, 0), (1 / 6, 5 / 6, 0)))  # fmt: skip
    for table, rows in zip((first, second), printed, strict=True):
        for row, expected in zip(table.a, rows, strict=True):
            assert row == pytest.approx(expected, abs=2e-16)
    assert lobatto_pair(2)[0].a == ((0, 0), (0.5, 0.5))
    assert lobatto_pair(2)[1].a == ((0.5, 0), (0.5, 0))
    inner = (5 - math.sqrt(5)) / 10
    assert [float(v) for v in quadrature("lobatto", 4)[0]] == pytest.approx(
        (0, inner, 1 - inner, 1), abs=1e-16
    )


@pytest.mark.parametrize(("kind", "s"), [("gauss", 1), ("gauss", 3), ("lobatto", 4)])
def test_slopes_of_a_polynomial_are_continued_exactly(kind: str, s: int) -> None:
    c, b = ([float(v) for v in part] for part in quadrature(kind, s)[:2])

    def slope(t: float) -> float:
        return 1 + sum((k + 0.5) * t**k for k in range(1, s))

    now, ahead = (
        torch.tensor([w * slope(start + t) for w, t in zip(b, c, strict=True)], dtype=torch.float64)
        for start in (0, 1)
    )
    found = torch.tensor(continuation(kind, s), dtype=torch.float64) @ now
    torch.testing.assert_close(found, ahead, rtol=1e-13, atol=0)


def test_explicit_tables() -> None:
    assert RUNGE_KUTTA_4.explicit
    assert RUNGE_KUTTA_4.c == (0, 0.5, 0.5, 1)
    assert RUNGE_KUTTA_4.symplecticity_residual > 0.01
    assert not gauss(2).explicit
    with pytest.raises(ValueError, match="expected 2 rows of 2"):
        Tableau("bad", 1, ((0.0,),), (0.5, 0.5))
    with pytest.raises(ValueError, match="sum to one"):
        Tableau("bad", 1, ((0.0,),), (0.5,))
