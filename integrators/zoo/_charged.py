"""A charged particle in a uniform magnetic field."""

from __future__ import annotations

import math

from torch import Tensor

from ..systems import Hamiltonian
from ._problem import Problem, positive, state


def charged_particle(field: float = 1.0, charge: float = 1.0, mass: float = 1.0) -> Problem[Hamiltonian]:
    """A particle in a uniform magnetic field along the third axis, ``H = |p - e A(q)|^2 / (2 m)``.

    ``A = (B / 2) (-q2, q1, 0)``; positions and momenta do not separate. The particle turns with the rate
    ``e B / m`` around a guiding centre that stays where it is, and moves along the field uniformly. The
    canonical angular momentum around the field, the momentum along it and the guiding centre are invariants.

    Args:
        field: Flux density ``B``; may be negative, not zero.
        charge: Charge ``e``; may be negative, not zero.
        mass: Mass.

    Returns:
        The problem in any coherent units, such as tesla, coulomb and kilogram.

    Raises:
        ValueError: If there is no charge or no field.
    """
    positive(mass=mass)
    rate = charge * field / mass
    if not 0 < abs(rate) < math.inf:
        raise ValueError(f"field: expected field and charge not to be zero, got {field} and {charge}")
    q, v = (1.0, 0.0, 0.0), (0.2, 0.8, 0.1)
    half = charge * field / 2

    def canonical(x: float, y: float, z: float, vx: float, vy: float, vz: float) -> Tensor:
        return state(x, y, z, mass * vx - half * y, mass * vy + half * x, mass * vz)

    def solution(t: float) -> Tensor:
        c, s = math.cos(rate * t), math.sin(rate * t)
        vx, vy = c * v[0] + s * v[1], -s * v[0] + c * v[1]
        centre = (q[0] + v[1] / rate, q[1] - v[0] / rate)
        return canonical(centre[0] - vy / rate, centre[1] + vx / rate, q[2] + v[2] * t, vx, vy, v[2])

    values = {"m": mass, "e": charge, "B": field}
    velocity = ("(p1 + e*B*q2/2)/m", "(p2 - e*B*q1/2)/m")
    return Problem(
        "charged particle in a uniform magnetic field",
        Hamiltonian(
            "((p1 + e*B*q2/2)**2 + (p2 - e*B*q1/2)**2 + p3**2)/(2*m)",
            values,
            positions="q1 q2 q3",
            momenta="p1 p2 p3",
            invariants={
                "angular_momentum": "q1*p2 - q2*p1",
                "momentum_along_field": "p3",
                "guiding_centre": [f"q1 + m/(e*B)*{velocity[1]}", f"q2 - m/(e*B)*{velocity[0]}"],
            },
        ),
        canonical(*q, *v),
        duration=100 / abs(rate),
        units={"time": "s", "energy": "J", "q": "m", "p": "kg m/s"},
        source="Jackson, Classical Electrodynamics, 3rd ed. 1998, section 12.2",
        parameters=values,
        solution=solution,
    )
