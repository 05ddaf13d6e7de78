"""Runge-Kutta methods: symplectic ones of Gauss and Lobatto type, explicit ones, and references."""

from ._gauss import Gauss2, Gauss4, Gauss6, GaussLegendre, ImplicitMidpoint
from ._stages import LooseToleranceWarning

__all__ = ["Gauss2", "Gauss4", "Gauss6", "GaussLegendre", "ImplicitMidpoint", "LooseToleranceWarning"]
