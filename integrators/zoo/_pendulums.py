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
    n: int = 3, mass: float = 1.0, length: float = 1.0, gravity: float = 9.81, friction: float = 0.0
) -> Problem[Lagrangian]:
    """Equal point masses on massless rods, each hung from the one above, released at rest.

    ``L = (m l^2 / 2) sum_jk (n + 1 - max(j, k)) cos(q_j - q_k) v_j v_k + m g l sum_j (n + 1 - j) cos q_j``,
    angles from the vertical; the first rod starts at 1 rad, each of the others at half the angle above it.

    Friction in the joints adds ``-b (v_j - v_(j-1))`` to the acceleration of angle ``j``, ``v_0 = 0``, after
    White et al.; the energy is then observed, but not kept. ``PendulumChain`` has the same motion in
    Cartesian coordinates.

    Args:
        n: Number of masses.
        mass: Of each, in kg.
        length: Of each rod, in m.
        gravity: Acceleration of gravity in m/s^2.
        friction: Rate ``b`` in 1/s.

    Returns:
        The problem; SI units and radians.

    Raises:
        ValueError: If there is no mass, or friction is negative.
    """
    positive(mass=mass, length=length, gravity=gravity)
    if n < 1:
        raise ValueError(f"n: expected at least 1 mass, got {n}")
    if not 0 <= friction < float("inf"):
        raise ValueError(f"friction: expected a finite rate that is not negative, got {friction}")
    numbers = range(1, n + 1)
    kinetic = [f"{n + 1 - j}*v{j}**2" for j in numbers]
    kinetic += [f"2*{n + 1 - k}*cos(q{j} - q{k})*v{j}*v{k}" for j in numbers for k in numbers if j < k]
    height = " + ".join(f"{n + 1 - j}*cos(q{j})" for j in numbers)
    values = {"m": mass, "l": length, "g": gravity} | ({"b": friction} if friction else {})
    slip = ["v1", *(f"(v{j} - v{j - 1})" for j in range(2, n + 1))]
    forces = {
        f"q{k}": f"-b*m*l**2*({' + '.join(_inertia(n, k, j) + s for j, s in enumerate(slip, 1))})"
        for k in numbers
    }
    system = Lagrangian(
        f"m*l**2/2*({' + '.join(kinetic)}) + m*g*l*({height})",
        values,
        forces=forces if friction else None,
        units=("rad", "kg m^2/s"),
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


def _inertia(n: int, k: int, j: int) -> str:
    """Factor of an acceleration in the torque on a rod, over ``m l^2``."""
    return f"{n + 1 - max(k, j)}*" + ("" if k == j else f"cos(q{k} - q{j})*")
