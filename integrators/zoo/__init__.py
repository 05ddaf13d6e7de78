"""Ready problems: systems with a start, units, invariants and a solution to compare with.

Every function returns a ``Problem``: ``problem.system`` goes into a method, ``problem.start`` into a
rollout, and ``problem.reference(t)`` is the state at a time, in closed form or integrated to rounding error.
"""

from ._bodies import n_body
from ._chains import fput, henon_heiles, quartic, toda
from ._charged import charged_particle
from ._kepler import kepler
from ._nearly_periodic import NearlyPeriodic, coupled_oscillators, gyrating_particle
from ._orbits import figure_eight, outer_solar_system
from ._oscillators import harmonic, pendulum, spring_chain
from ._pendulum_chain import PendulumChain
from ._pendulums import double_pendulum, n_pendulum
from ._populations import lotka_volterra
from ._power_grid import PowerGrid, power_grid
from ._problem import Problem
from ._rigid import free_rigid_body, heavy_top, quadrotor, quadrotor_integrator

__all__ = [
    "NearlyPeriodic",
    "PendulumChain",
    "PowerGrid",
    "Problem",
    "charged_particle",
    "coupled_oscillators",
    "double_pendulum",
    "figure_eight",
    "fput",
    "free_rigid_body",
    "gyrating_particle",
    "harmonic",
    "heavy_top",
    "henon_heiles",
    "kepler",
    "lotka_volterra",
    "n_body",
    "n_pendulum",
    "outer_solar_system",
    "pendulum",
    "power_grid",
    "quadrotor",
    "quadrotor_integrator",
    "quartic",
    "spring_chain",
    "toda",
]
