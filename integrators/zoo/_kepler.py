"""Kepler's problem."""

from __future__ import annotations

import math

from torch import Tensor

from ..systems import Hamiltonian
from ._problem import Problem, positive, state


def kepler(eccentricity: float = 0.6) -> Problem[Hamiltonian]:
    """An ellipse of semi-axis 1 around a centre of attraction 1, ``H = |p|^2 / 2 - 1 / |q|``.

    Starts at the pericentre ``(1 - e, 0)`` and returns after ``2 pi``. The solution comes from Kepler's
    equation ``t = E - e sin E``. Angular momentum and the Laplace-Runge-Lenz vector
    ``(p2 L - q1 / |q|, -p1 L - q2 / |q|)`` are invariants.

    Args:
        eccentricity: Eccentricity ``e``, from 0 (a circle) to less than 1.

    Returns:
        The problem; dimensionless, units of length and time are those of the semi-axis and the mean motion.

    Raises:
        ValueError: If the orbit is not an ellipse.
    """
    e = eccentricity
    if not 0 <= e < 1:
        raise ValueError(f"eccentricity: expected at least 0 and less than 1, got {e}")
    positive(eccentricity=1 - e)
    minor = math.sqrt((1 - e) * (1 + e))

    def solution(t: float) -> Tensor:
        anomaly = eccentric_anomaly(t, e)
        c, s = math.cos(anomaly), math.sin(anomaly)
        rate = 1 / (1 - e * c)
        return state(c - e, minor * s, -s * rate, minor * c * rate)

    momentum = "(q1*p2 - q2*p1)"
    return Problem(
        "Kepler",
        Hamiltonian(
            "(p1**2 + p2**2)/2 - 1/sqrt(q1**2 + q2**2)",
            invariants={
                "angular_momentum": momentum,
                "laplace_runge_lenz": [
                    f"p2*{momentum} - q1/sqrt(q1**2 + q2**2)",
                    f"-p1*{momentum} - q2/sqrt(q1**2 + q2**2)",
                ],
            },
        ),
        state(1 - e, 0.0, 0.0, math.sqrt((1 + e) / (1 - e))),
        duration=200 * math.pi,
        units=dict.fromkeys(("time", "energy", "q", "p"), "1"),
        source="Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, section I.2.1",
        parameters={"eccentricity": e},
        period=2 * math.pi,
        solution=solution,
    )


def eccentric_anomaly(mean: float, e: float) -> float:
    """Solve Kepler's equation ``mean = E - e sin E`` to rounding by Newton's method inside a bracket.

    Args:
        mean: Mean anomaly in radians.
        e: Eccentricity, at least 0 and less than 1.

    Returns:
        ``E`` in radians, in the same revolution.
    """
    reduced = math.remainder(mean, 2 * math.pi)
    low, high = reduced - e, reduced + e
    anomaly = reduced
    for _ in range(100):
        residual = anomaly - e * math.sin(anomaly) - reduced
        if residual > 0:
            high = anomaly
        else:
            low = anomaly
        trial = anomaly - residual / (1 - e * math.cos(anomaly))
        following = trial if low <= trial <= high else (low + high) / 2
        if abs(following - anomaly) <= 1e-16 * max(1.0, abs(anomaly)):
            break
        anomaly = following
    return following + (mean - reduced)
