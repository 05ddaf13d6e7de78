"""Gauss and Lobatto quadrature on [0, 1] and collocation at their nodes, in decimal arithmetic."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext, localcontext
from functools import cache
from itertools import pairwise

DIGITS = 50
Row = tuple[Decimal, ...]


def legendre(count: int, x: Decimal) -> list[Decimal]:
    """Values of the Legendre polynomials ``P_0 ... P_count`` at a point."""
    values = [Decimal(1), x]
    for k in range(1, count):
        values.append(((2 * k + 1) * x * values[k] - k * values[k - 1]) / (k + 1))
    return values[: count + 1]


def _slope(n: int, x: Decimal) -> Decimal:
    """``P_n'(x)`` inside (-1, 1)."""
    values = legendre(n, x)
    return n * (values[n - 1] - x * values[n]) / (1 - x * x)


def _gauss_nodes(s: int) -> list[Decimal]:
    nodes = []
    for k in range(s):
        x = Decimal(math.cos(math.pi * (k + 0.75) / (s + 0.5)))
        for _ in range(8):
            x -= legendre(s, x)[s] / _slope(s, x)
        nodes.append(x if abs(x) > Decimal(10) ** -30 else Decimal(0))
    return sorted(nodes)


def _lobatto_nodes(s: int) -> list[Decimal]:
    """The ends and the zeros of ``P_n'``, ``n = s - 1``, between which those of ``P_n`` lie."""
    n = s - 1
    zeros, nodes = _gauss_nodes(n), []
    for low, high in pairwise(zeros):
        x = (low + high) / 2
        for _ in range(60):
            slope = _slope(n, x)
            step = slope * (1 - x * x) / (2 * x * slope - n * (n + 1) * legendre(n, x)[n])
            x -= step
            if abs(step) < Decimal(10) ** (5 - getcontext().prec):
                break
        nodes.append(x if abs(x) > Decimal(10) ** -30 else Decimal(0))
    return [Decimal(-1), *nodes, Decimal(1)]


@cache
def quadrature(kind: str, s: int) -> tuple[Row, Row, tuple[Row, ...]]:
    """Nodes, weights and the integrals of the Lagrange polynomials divided by the weights.

    With the discrete orthogonality of the Legendre polynomials ``P_k`` at the nodes ``x_j = 2 c_j - 1`` the
    Lagrange polynomials are ``b_j sum_k P_k(x_j) P_k(x) / g_k``, and their integrals have closed forms.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, II.1.

    Args:
        kind: ``"gauss"`` or ``"lobatto"``.
        s: Number of nodes, for Lobatto at least 2.

    Returns:
        ``c``, ``b`` and the rows of ``m_ij = a_ij / b_j`` with ``a_ij`` the integral of the ``j``-th Lagrange
        polynomial from 0 to ``c_i``.
    """
    with localcontext() as context:
        context.prec = DIGITS
        if kind == "gauss":
            x = _gauss_nodes(s)
            b = [1 / ((1 - node * node) * _slope(s, node) ** 2) for node in x]
        else:
            x = _lobatto_nodes(s)
            b = [1 / (s * (s - 1) * legendre(s - 1, node)[s - 1] ** 2) for node in x]
        norms = [Decimal(1) / (2 * k + 1) for k in range(s)]
        if kind == "lobatto":
            norms[-1] = Decimal(1) / (s - 1)
        values = [legendre(s, node) for node in x]
        m = []
        for i in range(s):
            integrals = [(x[i] + 1) / 2]
            integrals += [(values[i][k + 1] - values[i][k - 1]) / (2 * (2 * k + 1)) for k in range(1, s)]
            m.append(tuple(sum(integrals[k] * values[j][k] / norms[k] for k in range(s)) for j in range(s)))
        c = tuple((node + 1) / 2 for node in x)
        return c, tuple(b), tuple(tuple(Decimal(v) for v in row) for row in m)


@cache
def continuation(kind: str, s: int) -> tuple[tuple[float, ...], ...]:
    """Values at ``1 + c_i`` of the polynomials that are ``b_j`` times one at ``c_j``, divided by ``b_j^2``.

    They continue weighted slopes of one step into the next: ``b_i f_i = sum_j w_ij b_j f_j`` with
    ``w_ij = b_i l_j(1 + c_i) / b_j``.

    Args:
        kind: ``"gauss"`` or ``"lobatto"``.
        s: Number of nodes.

    Returns:
        Rows of ``w``.
    """
    c, b, _ = quadrature(kind, s)
    rows = []
    for i in range(s):
        row = []
        for j in range(s):
            value = b[i] / b[j]
            for k in range(s):
                if k != j:
                    value *= (1 + c[i] - c[k]) / (c[j] - c[k])
            row.append(float(value))
        rows.append(tuple(row))
    return tuple(rows)
