"""Optimizers for structure-preserving models, to be used as torch's own.

Example:
    >>> import torch
    >>> from geomlearn.optim import BregmanSLC
    >>> x = torch.tensor([3.0, -2.0], requires_grad=True)
    >>> optimizer = BregmanSLC([x], lr=4.0)
    >>> optimizer.param_groups[0]["family"]
    'exponential'
"""

from ._bregman import BrAVO, BregmanHTVI, BregmanSLC
from ._bregman_core import Clock
from ._bregman_flow import BregmanState, bregman_start, bregman_step, bregman_sweep, iterations_to
from ._bregman_hamiltonian import PhasePoint, bregman_hamiltonian, bregman_leapfrog, bregman_rest
from ._bregman_rule import BregmanRule
from ._levenberg_marquardt import LevenbergMarquardt
from ._levenberg_marquardt_core import Iteration, NonFiniteResidualError
from ._levenberg_marquardt_function import LeastSquaresResult, levenberg_marquardt
from ._manifold_parameter import ManifoldParameter
from ._natural_gradient import (
    KroneckerRule,
    LayerSpectrum,
    StructuredNaturalGradient,
    StructureFit,
    structure_fit,
)
from ._riemannian_adam import RiemannianAdam
from ._riemannian_sgd import RiemannianSGD
from ._spd_core import SPDState, spd_matrix, spd_start, spd_step
from ._spd_momentum import SPDMomentum
from ._spd_rule import SPDRule

__all__ = [
    "BrAVO",
    "BregmanHTVI",
    "BregmanRule",
    "BregmanSLC",
    "BregmanState",
    "Clock",
    "Iteration",
    "KroneckerRule",
    "LayerSpectrum",
    "LeastSquaresResult",
    "LevenbergMarquardt",
    "ManifoldParameter",
    "NonFiniteResidualError",
    "PhasePoint",
    "RiemannianAdam",
    "RiemannianSGD",
    "SPDMomentum",
    "SPDRule",
    "SPDState",
    "StructureFit",
    "StructuredNaturalGradient",
    "bregman_hamiltonian",
    "bregman_leapfrog",
    "bregman_rest",
    "bregman_start",
    "bregman_step",
    "bregman_sweep",
    "iterations_to",
    "levenberg_marquardt",
    "spd_matrix",
    "spd_start",
    "spd_step",
    "structure_fit",
]
