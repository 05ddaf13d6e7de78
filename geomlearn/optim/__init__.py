"""Optimizers."""

from ._levenberg_marquardt import LevenbergMarquardt
from ._levenberg_marquardt_core import Iteration, NonFiniteResidualError
from ._levenberg_marquardt_function import LeastSquaresResult, levenberg_marquardt

__all__ = [
    "Iteration",
    "LeastSquaresResult",
    "LevenbergMarquardt",
    "NonFiniteResidualError",
    "levenberg_marquardt",
]
