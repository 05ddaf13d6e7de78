"""Runge-Kutta methods: symplectic ones of Gauss and Lobatto type, explicit ones, and references."""

from ._explicit import ExplicitRungeKutta, RungeKutta4
from ._gauss import Gauss2, Gauss4, Gauss6, GaussLegendre, ImplicitMidpoint
from ._lobatto import LobattoPair
from ._reference import DOP853, reference_solution
from ._stages import LooseToleranceWarning
from ._tableau import Tableau

__all__ = [
    "DOP853",
    "ExplicitRungeKutta",
    "Gauss2",
    "Gauss4",
    "Gauss6",
    "GaussLegendre",
    "ImplicitMidpoint",
    "LobattoPair",
    "LooseToleranceWarning",
    "RungeKutta4",
    "Tableau",
    "reference_solution",
]
