"""Problems on symmetric positive definite matrices: covariances, mixtures, Gaussian posteriors.

What they share is a matrix tau = A A^T with a structured factor A, moved by the natural-gradient step
with momentum of ``geomlearn.optim``.

Example:
    >>> import torch
    >>> from geomlearn.spd import fit_covariance
    >>> x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> fit = fit_covariance(x, "diagonal")
    >>> torch.allclose(fit.covariance.diagonal(), x.var(0, correction=0))
    True
"""

from ._covariance import CovarianceFit, fit_covariance
from ._gaussian import GaussianState, gaussian_start, gaussian_step
from ._minimize import SPDResult, minimize_spd
from ._mixture import MixtureSlope, MixtureState, mixture_slope, mixture_step
from ._mixture_fit import MixtureFit, fit_gaussian_mixture
from ._mixture_start import MixtureStart
from ._models import Expectation, GeneralisedLinearModel, LogDensity, PosteriorModel
from ._posterior import GaussianPosterior, fit_gaussian_posterior, posterior_step
from ._problems import LogDeterminant, MetricNearness, SPDProblem

__all__ = [
    "CovarianceFit",
    "Expectation",
    "GaussianPosterior",
    "GaussianState",
    "GeneralisedLinearModel",
    "LogDensity",
    "LogDeterminant",
    "MetricNearness",
    "MixtureFit",
    "MixtureSlope",
    "MixtureStart",
    "MixtureState",
    "PosteriorModel",
    "SPDProblem",
    "SPDResult",
    "fit_covariance",
    "fit_gaussian_mixture",
    "fit_gaussian_posterior",
    "gaussian_start",
    "gaussian_step",
    "minimize_spd",
    "mixture_slope",
    "mixture_step",
    "posterior_step",
]
