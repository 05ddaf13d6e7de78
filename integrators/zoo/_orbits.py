"""Orbits of several bodies with published initial states."""

from __future__ import annotations

from dataclasses import replace

from ..systems import Hamiltonian
from ._bodies import n_body
from ._problem import Problem

_OUTER = (  # mass in solar masses, position in au, velocity in au/day, on 5 September 1994 at 0 h
    (1.00000597682, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    (0.000954786104043, (-3.5023653, -3.8169847, -1.5507963), (0.00565429, -0.00412490, -0.00190589)),
    (0.000285583733151, (9.0755314, -3.0458353, -1.6483708), (0.00168318, 0.00483525, 0.00192462)),
    (0.0000437273164546, (8.3101420, -16.2901086, -7.2521278), (0.00354178, 0.00137102, 0.00055029)),
    (0.0000517759138449, (11.4707666, -25.7294829, -10.8169456), (0.00288930, 0.00114527, 0.00039677)),
    (1 / 1.3e8, (-15.5387357, -25.2225594, -3.1902382), (0.00276725, -0.00170702, -0.00136504)),
)
_EIGHT = (0.970004356848408564, -0.243087529819544083, 0.466203685047928669, 0.432365731312284685)
_EIGHT_PERIOD = 6.32591398035787072


def outer_solar_system() -> Problem[Hamiltonian]:
    """The sun, the outer planets from Jupiter to Neptune and Pluto, in au, days and solar masses.

    Returns:
        The problem over 200 000 days.
    """
    masses, positions, velocities = zip(*_OUTER, strict=True)
    problem = n_body(masses, positions, velocities, 2.95912208286e-4, 200_000.0, ("M_sun", "au", "d"))
    return replace(
        problem,
        name="outer solar system",
        source="Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, section I.2.4",
        accuracy=1e-8,
    )


def figure_eight() -> Problem[Hamiltonian]:
    """Three equal masses that follow each other along a figure of eight; dimensionless.

    Angular momentum is zero. The initial state and the period are Simo's values carried on to 18 digits by
    Newton's method on a Taylor series of order 28 in 34 digits, which returns to the start to 1e-28.

    Returns:
        The problem, with its period.
    """
    x, y, u, v = _EIGHT
    problem = n_body(
        (1.0, 1.0, 1.0),
        ((x, y), (-x, -y), (0.0, 0.0)),
        ((u, v), (u, v), (-2 * u, -2 * v)),
        duration=_EIGHT_PERIOD,
    )
    return replace(
        problem,
        name="figure eight",
        source="Chenciner, Montgomery, Ann. of Math. 152 (2000) 881",
        period=_EIGHT_PERIOD,
        accuracy=1e-11,
    )
