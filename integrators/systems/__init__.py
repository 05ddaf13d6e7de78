"""Systems to integrate: from a symbolic expression, for torch and for kernels."""

from ._hamiltonian import Hamiltonian
from ._symbolic import SymbolicSystem
from ._system import HamiltonianSystem, System

__all__ = ["Hamiltonian", "HamiltonianSystem", "SymbolicSystem", "System"]
