"""Fitting a mixture of Gaussians to samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lie import StructuredFactor, StructuredSPD

from ..optim import SPDRule
from ._arguments import (
    float_tensor,
    reachable,
    require_spread,
    rounding_of,
    sample_matrix,
    spd_matrices,
    spd_set,
)
from ._descend import Limits, Seen, descend
from ._gaussian import gaussian_start, log_densities
from ._mixture import MixtureSlope, MixtureState, mixture_slope, mixture_step, natural_norm
from ._mixture_start import MixtureStart, first_mixture


@dataclass(frozen=True)
class MixtureFit:
    """What ``fit_gaussian_mixture`` found: the mixture with the largest likelihood on the way.

    Attributes:
        weights: Weights, shape (K,).
        means: Means, shape (K, n).
        covariances: Covariances, shape (K, n, n).
        precisions: Their inverses, shape (K, n, n).
        structure: The structure of the factors of the precisions.
        log_likelihood: Mean log-density of the samples, minus the ridge term if there is one.
        log_likelihoods: That at the start and after each iteration, shape (iterations + 1,).
        iterations: Number of steps, those taken back included.
        gradient_norm: Length of the natural gradient at the end.
        status: As of ``SPDResult``, or ``"collapsed"``: a component shrank to too few samples for a
            covariance. Then use fewer components, a ridge, or another start.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor
    precisions: Tensor
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
        """Number of free parameters, for information criteria."""
        count, n = self.means.shape
        return count * (n + self.structure.dim) + count - 1

    def responsibilities(self, x: ArrayLike | Tensor) -> Tensor:
        """Compute the probability of each component given a sample, (samples, n) to (samples, K)."""
        return self._joint(x).softmax(1)

    def log_density(self, x: ArrayLike | Tensor) -> Tensor:
        """Compute the log-density of samples, (samples, n) to (samples,)."""
        return self._joint(x).logsumexp(1)

    def _joint(self, x: ArrayLike | Tensor) -> Tensor:
        made = sample_matrix(x, "x", least=1).to(self.means)
        if made.shape[1] != self.means.shape[1]:
            raise ValueError(f"x: expected {self.means.shape[1]} columns, got {made.shape[1]}")
        root = torch.linalg.cholesky(self.precisions)
        return (log_densities(made, self.means, root)[0] + self.weights.log()[:, None]).mT


def fit_gaussian_mixture(
    samples: ArrayLike | Tensor,
    components: int,
    structure: str | StructuredFactor = "full",
    *,
    start: MixtureStart | MixtureFit | None = None,
    generator: torch.Generator | None = None,
    lr: float = 1.0,
    momentum: float = 0.0,
    restart: bool = True,
    step_bound: float | None = 0.5,
    backtrack: bool = True,
    ridge: float = 0.0,
    max_iterations: int = 2000,
    tolerance: float = 1e-4,
) -> MixtureFit:
    """Fit a mixture of Gaussians by maximum likelihood, with natural steps of all components and weights.

    With lr=1 and momentum=0 a step agrees with one of expectation maximisation to first order, and counts
    of iterations are alike. Where components overlap both are slow; momentum=0.9 with lr=0.2 then needs a
    fraction of the iterations. Where they are well separated momentum is a waste.

    The likelihood has many local maxima, and which one is found depends on the start.

    Args:
        samples: Samples, shape (samples, n).
        components: Number of components K.
        structure: Structure of the factors of the precisions: ``"full"``, ``"diagonal"``, another name
            without options, or ``lie.structured_factor(name, n, ...)``.
        start: First weights, means and covariances; None means those of k-means clusters of the samples in
            units of their deviations, without the entries that the structure does not have.
        generator: Source of randomness of k-means; None is one with seed 0.
        lr: Rate.
        momentum: Momentum, see ``geomlearn.optim.SPDRule``.
        restart: Whether momentum is dropped where it goes uphill.
        step_bound: Largest Frobenius norm of the change of log A, A the factor of a precision.
        backtrack: As of ``minimize_spd``.
        ridge: Number r >= 0 of a prior that adds r / w_k of the variance of each variable to the covariance
            of a component of weight w_k, so that none collapses.
        max_iterations: Largest number of iterations.
        tolerance: Length of the natural gradient that ends the run. Its square is about the decrease of the
            mean log-likelihood that expectation maximisation would make in a step.

    Returns:
        The mixture.

    Raises:
        ValueError: If samples are of the wrong shape, not finite or too few, a variable is constant, or the
            start is not a mixture of such components.
        TypeError: If an argument has the wrong type.

    References:
        R. Hosseini, S. Sra: Matrix manifold optimization for Gaussian mixtures, NIPS 2015; W. Lin, V.
        Duruisseaux, M. Leok, F. Nielsen, M. E. Khan, M. Schmidt: Simplifying momentum-based positive-definite
        submanifold optimization, ICML 2023.

    Example:
        >>> import torch
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.cat([torch.randn(200, 2, generator=g), 5 + torch.randn(200, 2, generator=g)])
        >>> fit = fit_gaussian_mixture(x, 2)
        >>> fit.status, fit.weights.mul(10).round().tolist()
        ('gradient', [5.0, 5.0])
    """
    x, count = sample_matrix(samples, "samples"), _count(components)
    limits = Limits(backtrack, max_iterations, tolerance, rounding_of(x))
    limits.check()
    if not ridge >= 0:
        raise ValueError(f"ridge: expected a number >= 0, got {ridge!r}")
    centre, scale = x.mean(0), x.std(0, correction=0)
    require_spread(scale, x)
    manifold = spd_set(structure, x.shape[1])
    if len(x) <= count:
        raise ValueError(f"samples: expected more than the {count} components, got {len(x)}")
    rule = SPDRule(manifold, lr=lr, momentum=momentum, restart=restart, step_bound=step_bound)
    state = _state(rule, _start(start, x, count, generator, centre, scale), exact=start is not None)
    return _run(_Task(rule, x, scale.square(), ridge, limits), state)


class _Task(NamedTuple):
    rule: SPDRule
    x: Tensor
    variances: Tensor
    ridge: float
    limits: Limits

    def see(self, state: MixtureState) -> Seen[MixtureSlope]:
        """Value and gradient, and its length."""
        slope = mixture_slope(self.x, state, self.ridge * self.variances if self.ridge else None)
        norm = float(natural_norm(slope, self.rule, state))
        return Seen(float(slope.value), norm, slope, "collapsed" if self.collapsed(state, slope) else None)

    def collapsed(self, state: MixtureState, slope: MixtureSlope) -> bool:
        """Whether a component has no samples or no volume left."""
        thinnest = float((state.components.factor.square().sum(-1) * self.variances).max())
        fewest = float(slope.mass.min()) * len(self.x)
        return thinnest > torch.finfo(self.x.dtype).eps ** -0.6 or fewest < 1e-3

    def step(self, share: float, state: MixtureState, slope: MixtureSlope) -> MixtureState:
        """A step of a share of the rate."""
        return mixture_step(self.rule, state, slope.scaled(share))


def _run(task: _Task, state: MixtureState) -> MixtureFit:
    if not math.isfinite(task.see(state).value):
        raise ValueError("start: expected a mixture under which all samples have a density > 0")
    run = descend(state, task.see, task.step, lambda state: state.at_rest, task.limits)
    factor = run.state.components.factor
    return MixtureFit(
        weights=run.state.logits.softmax(0),
        means=run.state.components.mean,
        covariances=task.rule.factor.inverse_matrix(factor),
        precisions=task.rule.factor.matrix(factor),
        structure=task.rule.factor,
        log_likelihood=-run.value,
        log_likelihoods=-run.values,
        iterations=run.iterations,
        gradient_norm=run.norm,
        status=run.status,
    )


def _start(
    start: MixtureStart | MixtureFit | None,
    x: Tensor,
    count: int,
    generator: torch.Generator | None,
    centre: Tensor,
    scale: Tensor,
) -> MixtureStart:
    """Moments of clusters, or those of the caller."""
    if start is None:
        generator = torch.Generator(x.device).manual_seed(0) if generator is None else generator
        found = first_mixture((x - centre) / scale, count, generator)
        covariances = scale[:, None] * found.covariances * scale
        return MixtureStart(found.weights, centre + scale * found.means, covariances)
    if not isinstance(start, MixtureStart | MixtureFit):
        raise TypeError(f"start: expected a MixtureStart or a MixtureFit, got {type(start).__name__}")
    n = x.shape[1]
    weights = float_tensor(start.weights, "start.weights").to(x)
    means = float_tensor(start.means, "start.means").to(x)
    covariances = float_tensor(start.covariances, "start.covariances").to(x)
    if weights.shape != (count,) or not bool((weights > 0).all()):
        raise ValueError(f"start.weights: expected {count} positive numbers, got {weights.tolist()}")
    if means.shape != (count, n):
        raise ValueError(f"start.means: expected shape ({count}, {n}), got {tuple(means.shape)}")
    if covariances.shape != (count, n, n):
        raise ValueError(
            f"start.covariances: expected shape ({count}, {n}, {n}), got {tuple(covariances.shape)}"
        )
    return MixtureStart(weights / weights.sum(), means, spd_matrices(covariances, n, "start.covariances"))


def _state(rule: SPDRule, first: MixtureStart, *, exact: bool) -> MixtureState:
    manifold = rule.manifold
    n = first.means.shape[1]
    if exact or not isinstance(manifold, StructuredSPD) or manifold.dim == n * (n + 1) // 2:
        precisions = torch.linalg.inv(first.covariances)
        precisions = 0.5 * (precisions + precisions.mT)
    else:
        precisions = reachable(manifold, 1 / first.covariances.diagonal(dim1=-2, dim2=-1))
    logits = first.weights.log()
    return MixtureState(gaussian_start(rule, first.means, precisions), logits, torch.zeros_like(logits))


def _count(components: int) -> int:
    if isinstance(components, bool) or not isinstance(components, int) or components < 1:
        raise ValueError(f"components: expected a whole number >= 1, got {components!r}")
    return components
