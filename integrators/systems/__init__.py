"""Systems to integrate: from a symbolic expression, for torch and for kernels."""

from ._hamiltonian import Hamiltonian
from ._system import HamiltonianSystem

__all__ = ["Hamiltonian", "HamiltonianSystem"]
