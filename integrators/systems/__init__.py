"""Systems to integrate: from a symbolic expression, for torch and for kernels."""

from ._constrained import ConstrainedHamiltonian
from ._constrained_mechanical import ConstrainedMechanicalSystem
from ._constrained_system import ConstrainedSystem
from ._hamiltonian import Hamiltonian
from ._lagrangian import Lagrangian
from ._mechanical import MechanicalSystem
from ._module_field import ModuleField
from ._module_hamiltonian import ModuleHamiltonian, SeparableModules
from ._poincare import PoincareTransformed, poincare_transformed
from ._poisson import PoissonSystem
from ._skew_gradient import SkewGradientSystem
from ._symbolic import SymbolicSystem
from ._system import HamiltonianSystem, System
from ._vector_field import VectorField

__all__ = [
    "ConstrainedHamiltonian",
    "ConstrainedMechanicalSystem",
    "ConstrainedSystem",
    "Hamiltonian",
    "HamiltonianSystem",
    "Lagrangian",
    "MechanicalSystem",
    "ModuleField",
    "ModuleHamiltonian",
    "PoincareTransformed",
    "PoissonSystem",
    "SeparableModules",
    "SkewGradientSystem",
    "SymbolicSystem",
    "System",
    "VectorField",
    "poincare_transformed",
]
