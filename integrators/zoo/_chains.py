"""Chains of particles on a line with nonlinear springs, and the Hénon-Heiles system."""

from __future__ import annotations

import math
from itertools import pairwise

import sympy
import torch

from ..systems import Hamiltonian
from ._problem import Problem, state

_ONE = dict.fromkeys(("time", "energy", "q", "p"), "1")


def henon_heiles() -> Problem[Hamiltonian]:
    """Hénon and Heiles, ``H = |p|^2 / 2 + |q|^2 / 2 + q1^2 q2 - q2^3 / 3``, energy 0.08196666666666667.

    Returns:
        The problem on an orbit next to a regular one; dimensionless.
    """
    return Problem(
        "Hénon-Heiles",
        Hamiltonian("(p1**2 + p2**2)/2 + (q1**2 + q2**2)/2 + q1**2*q2 - q2**3/3"),
        state(0.0, 0.1, 0.39, 0.05),
        duration=1000.0,
        units=_ONE,
        source="Hénon, Heiles, Astron. J. 69 (1964) 73",
        accuracy=1e-9,
    )


def quartic() -> Problem[Hamiltonian]:
    """A particle in the plane in the potential ``|q|^4 / 4``.

    Returns:
        The problem, dimensionless; the angular momentum is kept beside the energy.
    """
    return Problem(
        "quartic",
        Hamiltonian(
            "(p1**2 + p2**2)/2 + (q1**2 + q2**2)**2/4", invariants={"angular_momentum": "q1*p2 - q2*p1"}
        ),
        state(0.8, -0.3, 0.2, 0.7),
        duration=100.0,
        units=_ONE,
        source="White et al., arXiv:2410.23667 (2024), published code",
        accuracy=1e-10,
    )


def fput(n: int = 32, beta: float = 0.3, alpha: float = 0.0) -> Problem[Hamiltonian]:
    """Fermi, Pasta, Ulam and Tsingou's chain with quadratic and cubic forces between walls.

    ``H = sum p_j^2 / 2 + sum (d_j^2 / 2 + alpha d_j^3 / 3 + beta d_j^4 / 4)``, ``d_j = q_(j+1) - q_j``,
    ``q_0 = q_(n+1) = 0``. Starts at rest in the lowest mode, ``q_j = 4 sqrt(2 / (n + 1)) sin(pi j / (n +
    1))``. The masses are 1, so that momenta are velocities.

    Args:
        n: Number of particles.
        beta: Strength of the cubic force.
        alpha: Strength of the quadratic force; a spring has a second rest length where ``alpha^2 > 4 beta``.

    Returns:
        The problem; dimensionless.

    Raises:
        ValueError: If there is no particle.
    """
    if n < 1:
        raise ValueError(f"n: expected at least 1 particle, got {n}")
    names = ["0", *(f"q{j}" for j in range(1, n + 1)), "0"]
    bend = "({b} - {a})**2/2 + beta*({b} - {a})**4/4" + (" + alpha*({b} - {a})**3/3" if alpha else "")
    springs = " + ".join(bend.format(a=a, b=b) for a, b in pairwise(names))
    values = {"beta": beta} | ({"alpha": alpha} if alpha else {})
    kinetic = " + ".join(f"p{j}**2" for j in range(1, n + 1))
    number = torch.arange(1, n + 1, dtype=torch.float64)
    mode = 4 * math.sqrt(2 / (n + 1)) * torch.sin(math.pi * number / (n + 1))
    return Problem(
        "Fermi-Pasta-Ulam-Tsingou",
        Hamiltonian(f"({kinetic})/2 + {springs}", values),
        torch.cat((mode, torch.zeros_like(mode))),
        duration=1000.0,
        units=_ONE,
        source="Fermi, Pasta, Ulam, Tsingou, Studies of Nonlinear Problems, Los Alamos 1940 (1955)",
        parameters=values,
        accuracy=1e-9,
    )


def toda(n: int = 3) -> Problem[Hamiltonian]:
    """Toda's chain on a ring, ``H = sum p_j^2 / 2 + sum exp(q_j - q_(j+1))``, indices modulo ``n``.

    The eigenvalues of Flaschka's matrix do not change; its traces of powers 1 to 4 (up to ``n``) are the
    invariants ``momentum``, ``second``, ``third`` and ``fourth``. Here the matrix ``L`` has ``p_j`` on the
    diagonal, ``exp(q_j - q_(j+1))`` above it and 1 below, and the trace of ``L^k`` is divided by ``k``, so
    that ``second`` is the energy.

    Args:
        n: Number of particles, at least 3.

    Returns:
        The problem; dimensionless.

    Raises:
        ValueError: If there are too few particles.
    """
    if n < 3:
        raise ValueError(f"n: expected at least 3 particles on a ring, got {n}")
    q = sympy.symbols(f"q1:{n + 1}", real=True)
    p = sympy.symbols(f"p1:{n + 1}", real=True)
    bonds = [sympy.exp(q[j] - q[(j + 1) % n]) for j in range(n)]
    names = ("momentum", "second", "third", "fourth")[: min(n, 4)]
    traces = _traces(p, bonds, len(names))
    number = torch.arange(n, dtype=torch.float64)
    start = torch.cat((0.3 * torch.cos(2.0 * number), 0.6 * torch.sin(1.0 + 3.0 * number)))
    return Problem(
        "Toda",
        Hamiltonian(
            sum(v**2 for v in p) / 2 + sum(bonds),
            positions=q,
            momenta=p,
            invariants=dict(zip(names, traces, strict=True)),
        ),
        start,
        duration=100.0,
        units=_ONE,
        source="Flaschka, Phys. Rev. B 9 (1974) 1924",
        accuracy=1e-10,
    )


def _traces(p: list[sympy.Symbol], bonds: list[sympy.Expr], count: int) -> list[sympy.Expr]:
    """Traces of the first powers of the cyclic matrix, over the power."""
    n = len(p)
    place = [sympy.Symbol(f"bond{j}") for j in range(n)]
    matrix = sympy.zeros(n, n)
    for j in range(n):
        matrix[j, j] = p[j]
        matrix[j, (j + 1) % n] += place[j]
        matrix[(j + 1) % n, j] += 1
    power, out = sympy.eye(n), []
    for k in range(1, count + 1):
        power = (power * matrix).applyfunc(sympy.expand)
        trace = sympy.expand(power.trace() / k)
        for winding in (sympy.prod(place), sympy.Integer(1)):
            if k == n:
                trace -= winding  # once around the ring: constant, as the bonds multiply to one
        out.append(sympy.expand(trace).subs(dict(zip(place, bonds, strict=True))))
    return out
