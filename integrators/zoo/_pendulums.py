"""Chains of pendulums in a plane."""

from __future__ import annotations

from collections.abc import Sequence

from ..systems import Hamiltonian, Lagrangian
from ._problem import Problem, positive, state


def double_pendulum(
    masses: Sequence[float] = (1.0, 1.0),
    lengths: Sequence[float] = (1.0, 1.0),
    gravity: float = 9.81,
    angles: Sequence[float] = (1.0, 0.5),
) -> Problem[Hamiltonian]:
    """Two point masses on massless rods, released at rest; positions and momenta do not separate.

    ``H = (m2 l2^2 p1^2 + (m1 + m2) l1^2 p2^2 - 2 m2 l1 l2 p1 p2 cos(q1 - q2)) / (2 l1^2 l2^2 m2 (m1 + m2
    sin(q1 - q2)^2)) - (m1 + m2) g l1 cos q1 - m2 g l2 cos q2``, angles from the vertical.

    Args:
        masses: Masses in kg, the upper one first.
        lengths: Lengths in m.
        gravity: Acceleration of gravity in m/s^2.
        angles: Initial angles in radians.

    Returns:
        The problem; SI units and radians.
    """
    (m1, m2), (l1, l2) = masses, lengths
    positive(mass=m1, second_mass=m2, length=l1, second_length=l2, gravity=gravity)
    values = {"m1": m1, "m2": m2, "l1": l1, "l2": l2, "g": gravity}
    over = "m2*l2**2*p1**2 + (m1 + m2)*l1**2*p2**2 - 2*m2*l1*l2*p1*p2*cos(q1 - q2)"
    under = "2*l1**2*l2**2*m2*(m1 + m2*sin(q1 - q2)**2)"
    height = "(m1 + m2)*g*l1*cos(q1) + m2*g*l2*cos(q2)"
    return Problem(
        "double pendulum",
        Hamiltonian(f"({over})/({under}) - ({height})", values, units=("rad", "kg m^2/s")),
        state(*angles, 0.0, 0.0),
        duration=10.0,
        units={"time": "s", "energy": "J", "q": "rad", "p": "kg m^2/s"},
        source="Landau, Lifshitz, Mechanics, 3rd ed. 1976, section 5",
        parameters=values,
        accuracy=1e-10,
    )


def n_pendulum(
    n: int = 3, mass: float = 1.0, length: float = 1.0, gravity: float = 9.81
) -> Problem[Lagrangian]:
    """Equal point masses on massless rods, each hung from the one above, released at rest.

    ``L = (m l^2 / 2) sum_jk (n + 1 - max(j, k)) cos(q_j - q_k) v_j v_k + m g l sum_j (n + 1 - j) cos q_j``,
    angles from the vertical; the first rod starts at 1 rad, each of the others at half the angle above it.

    Args:
        n: Number of masses.
        mass: Of each, in kg.
        length: Of each rod, in m.
        gravity: Acceleration of gravity in m/s^2.

    Returns:
        The problem; SI units and radians.

    Raises:
        ValueError: If there is no mass.
    """
    positive(mass=mass, length=length, gravity=gravity)
    if n < 1:
        raise ValueError(f"n: expected at least 1 mass, got {n}")
    numbers = range(1, n + 1)
    kinetic = [f"{n + 1 - j}*v{j}**2" for j in numbers]
    kinetic += [f"2*{n + 1 - k}*cos(q{j} - q{k})*v{j}*v{k}" for j in numbers for k in numbers if j < k]
    height = " + ".join(f"{n + 1 - j}*cos(q{j})" for j in numbers)
    values = {"m": mass, "l": length, "g": gravity}
    system = Lagrangian(
        f"m*l**2/2*({' + '.join(kinetic)}) + m*g*l*({height})", values, units=("rad", "kg m^2/s")
    )
    return Problem(
        f"{n}-pendulum",
        system,
        state(*(0.5**j for j in range(n)), *(0.0 for _ in range(n))),
        duration=10.0,
        units={"time": "s", "energy": "J", "q": "rad", "p": "kg m^2/s"},
        source="Landau, Lifshitz, Mechanics, 3rd ed. 1976, section 5",
        parameters=values,
        accuracy=1e-9,
    )
