"""Systems to integrate: from a symbolic expression, for torch and for kernels."""

from ._constrained import ConstrainedHamiltonian
from ._constrained_mechanical import ConstrainedMechanicalSystem, Constraints
from ._constrained_system import ConstrainedSystem
from ._hamiltonian import Hamiltonian
from ._lagrangian import Lagrangian
from ._mass import InverseMass, MassLike
from ._mechanical import MechanicalSystem
from ._module_field import ModuleField
from ._module_hamiltonian import ModuleHamiltonian, SeparableModules
from ._poincare import PoincareTransformed, poincare_transformed
from ._poisson import PoissonSystem
from ._scalar import Scalar
from ._skew_gradient import SkewGradientSystem
from ._symbolic import SymbolicSystem
from ._system import HamiltonianSystem, System
from ._vector_field import VectorField

__all__ = [
    "ConstrainedHamiltonian",
    "ConstrainedMechanicalSystem",
    "ConstrainedSystem",
    "Constraints",
    "Hamiltonian",
    "HamiltonianSystem",
    "InverseMass",
    "Lagrangian",
    "MassLike",
    "MechanicalSystem",
    "ModuleField",
    "ModuleHamiltonian",
    "PoincareTransformed",
    "PoissonSystem",
    "Scalar",
    "SeparableModules",
    "SkewGradientSystem",
    "SymbolicSystem",
    "System",
    "VectorField",
    "poincare_transformed",
]
