"""Oscillators that are solved in closed form."""

from __future__ import annotations

import math
from itertools import pairwise

import scipy
import torch
from torch import Tensor

from ..systems import Hamiltonian
from ._problem import Problem, positive, state

_SI = {"time": "s", "energy": "J", "q": "m", "p": "kg m/s"}
_GOLDSTEIN = "Goldstein, Poole, Safko, Classical Mechanics, 3rd ed. 2002"


def harmonic(mass: float = 1.0, stiffness: float = 1.0) -> Problem[Hamiltonian]:
    """A mass on a spring, ``H = p^2 / (2 m) + k q^2 / 2``, released at 1 m with 0.5 kg m/s.

    Args:
        mass: Mass ``m`` in kg.
        stiffness: Stiffness ``k`` in N/m.

    Returns:
        The problem, solved by a cosine and a sine; SI units.
    """
    positive(mass=mass, stiffness=stiffness)
    rate = math.sqrt(stiffness / mass)
    q, p = 1.0, 0.5

    def solution(t: float) -> Tensor:
        c, s = math.cos(rate * t), math.sin(rate * t)
        return state(q * c + p / (mass * rate) * s, p * c - mass * rate * q * s)

    values = {"m": mass, "k": stiffness}
    return Problem(
        "harmonic oscillator",
        Hamiltonian("p**2/(2*m) + k*q**2/2", values, units=("m", "kg m/s")),
        state(q, p),
        duration=20 * math.pi / rate,
        units=_SI,
        source=_GOLDSTEIN,
        parameters=values,
        period=2 * math.pi / rate,
        solution=solution,
    )


def pendulum(
    angle: float = 2.0, mass: float = 1.0, length: float = 1.0, gravity: float = 9.81
) -> Problem[Hamiltonian]:
    """A pendulum released at rest, ``H = p^2 / (2 m l^2) - m g l cos q``.

    Solved by Jacobi's elliptic functions with modulus ``k = sin(angle / 2)`` and ``w = sqrt(g / l)``:
    ``sin(q / 2) = k cd(w t)``.

    Args:
        angle: Angle from the lowest point at which it is released, in radians, between 0 and pi.
        mass: Mass in kg.
        length: Length in m.
        gravity: Acceleration of gravity in m/s^2.

    Returns:
        The problem; SI units and radians.

    Raises:
        ValueError: If the pendulum would stand upright or not move.
    """
    positive(mass=mass, length=length, gravity=gravity)
    if not 0 < abs(angle) < math.pi:
        raise ValueError(f"angle: expected a size between 0 and pi, got {angle}")
    k = math.sin(angle / 2)
    m, rate, inertia = k * k, math.sqrt(gravity / length), mass * length**2
    quarter = float(scipy.special.ellipk(m))

    def solution(t: float) -> Tensor:
        sn, cn, dn, _ = (float(v) for v in scipy.special.ellipj(math.remainder(rate * t, 4 * quarter), m))
        slope = -2 * k * rate * math.sqrt(1 - m) * sn / dn
        return state(2 * math.asin(k * cn / dn), inertia * slope)

    values = {"m": mass, "l": length, "g": gravity}
    return Problem(
        "pendulum",
        Hamiltonian("p**2/(2*m*l**2) - m*g*l*cos(q)", values, units=("rad", "kg m^2/s")),
        state(angle, 0.0),
        duration=40 * quarter / rate,
        units={"time": "s", "energy": "J", "q": "rad", "p": "kg m^2/s"},
        source="Whittaker, A Treatise on the Analytical Dynamics of Particles, 4th ed. 1937, section 44",
        parameters=values,
        period=4 * quarter / rate,
        solution=solution,
    )


def spring_chain(n: int = 5, mass: float = 1.0, stiffness: float = 1.0) -> Problem[Hamiltonian]:
    """Equal masses between walls, joined by springs, solved by normal modes.

    ``H = sum p_j^2 / (2 m) + (k / 2) sum (q_(j+1) - q_j)^2`` with ``q_0 = q_(n+1) = 0``. The modes are
    ``sqrt(2 / (n + 1)) sin(j l pi / (n + 1))`` with rates ``2 sqrt(k / m) sin(l pi / (2 (n + 1)))``. At the
    start the first mass is displaced by 1 m, all are at rest.

    Args:
        n: Number of masses.
        mass: Of each, in kg.
        stiffness: Of each spring, in N/m.

    Returns:
        The problem, with the energies of the modes as invariants; SI units.

    Raises:
        ValueError: If there is no mass.
    """
    positive(mass=mass, stiffness=stiffness)
    if n < 1:
        raise ValueError(f"n: expected at least 1 mass, got {n}")
    numbers = torch.arange(1, n + 1, dtype=torch.float64)
    shapes = math.sqrt(2 / (n + 1)) * torch.sin(torch.outer(numbers, numbers) * math.pi / (n + 1))
    rates = 2 * math.sqrt(stiffness / mass) * torch.sin(numbers * math.pi / (2 * (n + 1)))
    first = shapes[0]  # the modes in a displacement of the first mass

    def solution(t: float) -> Tensor:
        return torch.cat(
            (shapes @ (first * torch.cos(rates * t)), -mass * shapes @ (first * rates * torch.sin(rates * t)))
        )

    names = ["0", *(f"q{j}" for j in range(1, n + 1)), "0"]
    springs = " + ".join(f"({b} - {a})**2" for a, b in pairwise(names))
    kinetic = " + ".join(f"p{j}**2" for j in range(1, n + 1))
    modes = [
        f"({_combination('p', row)})**2/(2*m) + {rate!r}*k/2*({_combination('q', row)})**2"
        for row, rate in zip(shapes.tolist(), (rates**2 * mass / stiffness).tolist(), strict=True)
    ]
    values = {"m": mass, "k": stiffness}
    return Problem(
        "spring-mass chain",
        Hamiltonian(
            f"({kinetic})/(2*m) + k/2*({springs})",
            values,
            invariants={"mode_energies": modes},
            units=("m", "kg m/s"),
        ),
        torch.eye(2 * n, dtype=torch.float64)[0],
        duration=20 * math.pi / float(rates[0]),
        units=_SI,
        source=_GOLDSTEIN,
        parameters=values,
        solution=solution,
    )


def _combination(letter: str, weights: list[float]) -> str:
    return " + ".join(f"({w!r})*{letter}{j}" for j, w in enumerate(weights, 1))
