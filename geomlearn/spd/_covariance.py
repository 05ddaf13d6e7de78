"""Covariance matrices with a structure, by maximum likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lie import StructuredFactor

from ..optim import SPDRule
from ._arguments import (
    float_tensor,
    reachable,
    require_spread,
    sample_matrix,
    sample_weights,
    spd_matrices,
    spd_set,
)
from ._gaussian import log_densities
from ._minimize import minimize_spd
from ._problems import LogDeterminant, SPDProblem


@dataclass(frozen=True)
class CovarianceFit:
    """What ``fit_covariance`` found.

    Attributes:
        mean: Mean of the samples, shape (n,).
        covariance: The covariance, shape (n, n).
        precision: Its inverse, shape (n, n).
        factor: The structured factor A: of the matrix that ``of`` names, shape (n, n).
        structure: The structure of A.
        log_likelihood: Mean log-density of the samples.
        log_likelihoods: That at the start and after each iteration, shape (iterations + 1,).
        iterations: Number of steps.
        gradient_norm: Affine-invariant norm of the gradient at the end.
        status: Why the run ended, as of ``SPDResult``.
    """

    mean: Tensor
    covariance: Tensor
    precision: Tensor
    factor: Tensor
    structure: StructuredFactor
    log_likelihood: float
    log_likelihoods: Tensor
    iterations: int
    gradient_norm: float
    status: str

    @property
    def converged(self) -> bool:
        """Whether the gradient ended the run."""
        return self.status == "gradient"

    @property
    def parameters(self) -> int:
        """Number of free parameters of mean and covariance, for information criteria."""
        return len(self.mean) + self.structure.dim

    def log_density(self, x: ArrayLike | Tensor) -> Tensor:
        """Compute the log-density of samples, (samples, n) to (samples,)."""
        made = sample_matrix(x, "x", least=1).to(self.mean)
        root = torch.linalg.cholesky(self.precision)
        return log_densities(made, self.mean, root)[0]


class _CovarianceLikelihood(SPDProblem):
    """Twice the negative log-likelihood by the covariance tau, tr(tau^-1 Q) + log det tau."""

    def __init__(self, Q: Tensor) -> None:
        self.Q, self.n = Q, len(Q)

    @property
    def minimiser(self) -> Tensor:
        return self.Q

    @property
    def minimum(self) -> float:
        return float(self.n + torch.linalg.slogdet(self.Q)[1])

    def value(self, tau: Tensor) -> Tensor:
        whitened = torch.linalg.solve_ex(tau, self.Q)[0]
        return whitened.diagonal(dim1=-2, dim2=-1).sum(-1) + torch.linalg.slogdet(tau)[1]

    def gradient(self, tau: Tensor) -> Tensor:
        inverse = torch.linalg.inv_ex(tau)[0]
        return inverse - inverse @ self.Q @ inverse

    def frame_gradient(self, A: Tensor) -> Tensor:
        half = torch.linalg.solve_ex(A, self.Q)[0]
        eye = torch.eye(self.n, dtype=A.dtype, device=A.device)
        return eye - torch.linalg.solve_ex(A, half.mT)[0]


def fit_covariance(
    samples: ArrayLike | Tensor,
    structure: str | StructuredFactor = "full",
    *,
    of: Literal["covariance", "precision"] = "precision",
    weights: ArrayLike | Tensor | None = None,
    start: ArrayLike | Tensor | None = None,
    lr: float = 1.0,
    momentum: float = 0.0,
    restart: bool = True,
    step_bound: float | None = 0.5,
    backtrack: bool = True,
    max_iterations: int = 1000,
    tolerance: float = 1e-6,
) -> CovarianceFit:
    """Estimate mean and structured covariance of a Gaussian by maximum likelihood.

    The estimate has a factor A of the structure, and the covariance is A A^T, or its inverse for
    of="precision". With as few parameters as the structure has, a covariance of many variables can be
    estimated from fewer samples than variables. Structures of all SPD matrices (full, lower, upper) give the
    covariance of the samples, which needs more samples than variables.

    Args:
        samples: Samples, shape (samples, n).
        structure: Name of a structure without options, or ``lie.structured_factor(name, n, ...)``.
        of: Which matrix has the structured factor.
        weights: Weights of the samples of any positive sum, shape (samples,).
        start: First covariance, which the structure must reach, shape (n, n); None means the variances, or
            for structures without diagonal matrices their geometric mean.
        lr: Rate; 1 is Newton's step for the full structure.
        momentum: Momentum, see ``geomlearn.optim.SPDRule``.
        restart: Whether momentum is dropped where it goes uphill.
        step_bound: Largest Frobenius norm of the change log A.
        backtrack: As of ``minimize_spd``.
        max_iterations: Largest number of iterations.
        tolerance: Norm of the gradient that ends the run. The log-likelihood per sample is then off by
            about a quarter of its square, on a well-conditioned problem.

    Returns:
        The estimate.

    Raises:
        ValueError: If samples or weights have the wrong shape or are not finite, a variable is constant,
            there are too few samples for the structure, or the start is not SPD or not of the structure.
        TypeError: If an argument has the wrong type.

    Example:
        >>> import lie, torch
        >>> x = torch.randn(50, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> fit = fit_covariance(x, lie.structured_factor("block_lower", 100, rank=2), of="covariance")
        >>> fit.status, fit.parameters
        ('gradient', 397)
    """
    if of not in ("covariance", "precision"):
        raise ValueError(f"of: expected 'covariance' or 'precision', got {of!r}")
    x = sample_matrix(samples, "samples")
    n = x.shape[1]
    w = sample_weights(weights, x)
    mean = w @ x
    second = ((x - mean) * w[:, None]).mT @ (x - mean)
    variances = second.diagonal()
    spread = variances.sqrt()
    require_spread(spread, x)
    manifold = spd_set(structure, n)
    least = torch.linalg.eigvalsh(second / (spread[:, None] * spread))[0]
    if manifold.dim == n * (n + 1) // 2 and float(least) <= 16 * n * torch.finfo(x.dtype).eps:
        raise ValueError(
            f"samples: {len(x)} samples of {n} variables have a singular covariance, so the likelihood of"
            " all covariances is unbounded; choose a structure with fewer parameters"
        )
    of_covariance = of == "covariance"
    rule = SPDRule(manifold, lr=lr, momentum=momentum, restart=restart, step_bound=step_bound)
    if start is None:
        first = reachable(manifold, variances if of_covariance else 1 / variances)
    else:
        first = spd_matrices(float_tensor(start, "start").to(x), n, "start")
        first = first if of_covariance else torch.linalg.inv(first)
    found = minimize_spd(
        _CovarianceLikelihood(second) if of_covariance else LogDeterminant(second),
        rule,
        first,
        backtrack=backtrack,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    likelihoods = -0.5 * (found.values + n * math.log(2 * math.pi))
    inverse = manifold.factor.inverse_matrix(found.factor)
    covariance, precision = (found.matrix, inverse) if of_covariance else (inverse, found.matrix)
    return CovarianceFit(
        mean=mean,
        covariance=covariance,
        precision=precision,
        factor=found.factor,
        structure=manifold.factor,
        log_likelihood=-0.5 * (found.value + n * math.log(2 * math.pi)),
        log_likelihoods=likelihoods,
        iterations=found.iterations,
        gradient_norm=found.gradient_norm,
        status=found.status,
    )
