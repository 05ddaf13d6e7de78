"""Gaussian approximations of posteriors with a structured precision, by variational inference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lie import StructuredFactor

from ..optim import SPDRule
from ._arguments import float_tensor, reachable, rounding_of, spd_matrices, spd_set
from ._descend import Limits, Seen, descend
from ._gaussian import GaussianState, gaussian_start, gaussian_step, log_densities
from ._models import Expectation, GeneralisedLinearModel, PosteriorModel


@dataclass(frozen=True)
class GaussianPosterior:
    """What ``fit_gaussian_posterior`` found: the Gaussian with the largest evidence bound on the way.

    Attributes:
        mean: Mean, shape (n,).
        covariance: Covariance, shape (n, n).
        precision: Its inverse S = A A^T, shape (n, n).
        factor: A, shape (n, n).
        structure: The structure of A.
        model: What was approximated.
        elbo: Evidence lower bound, E[log p(data, w)] + entropy.
        elbos: That at the start and after each iteration, shape (iterations + 1,).
        iterations: Number of steps, those taken back included.
        gradient_norm: Length of the natural gradient at the end.
        status: Why the run ended, as of ``SPDResult``.
    """

    mean: Tensor
    covariance: Tensor
    precision: Tensor
    factor: Tensor
    structure: StructuredFactor
    model: PosteriorModel
    elbo: float
    elbos: Tensor
    iterations: int
    gradient_norm: float
    status: str

    @property
    def converged(self) -> bool:
        """Whether the gradient ended the run."""
        return self.status == "gradient"

    @property
    def deviations(self) -> Tensor:
        """Standard deviation of each unknown, shape (n,)."""
        return self.covariance.diagonal().sqrt()

    def sample(self, *batch: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw unknowns, shape (*batch, n)."""
        z = torch.randn(
            *batch, len(self.mean), generator=generator, dtype=self.mean.dtype, device=self.mean.device
        )
        return self.mean + torch.linalg.solve(self.factor.mT, z.unsqueeze(-1)).squeeze(-1)

    def log_density(self, w: ArrayLike | Tensor) -> Tensor:
        """Compute the log-density of unknowns, (samples, n) to (samples,)."""
        return log_densities(float_tensor(w, "w").to(self.mean), self.mean, self.factor)[0]

    def predict(self, features: ArrayLike | Tensor) -> Tensor:
        """Average the mean of new targets over the posterior of a generalised linear model, (samples,).

        Args:
            features: New features, shape (samples, n).

        Returns:
            Expected targets, for ``"bernoulli"`` the probabilities of 1.

        Raises:
            TypeError: If the model is another.
        """
        if not isinstance(self.model, GeneralisedLinearModel):
            raise TypeError("predict needs a GeneralisedLinearModel; average over sample(...) instead")
        return self.model.predict(features, self.mean, self.factor)


def posterior_step(
    rule: SPDRule, state: GaussianState, expectation: Expectation, share: float = 1.0
) -> GaussianState:
    """Make one natural-gradient step of variational inference; pure.

    mu <- mu - beta S^-1 E[f'] and A <- A h((beta/2) Pi(A^-1 E[f''] A^-T - I)), f = -log p, S = A A^T, with
    momentum as in ``gaussian_step``.

    Args:
        rule: The method; its structure is that of the precision.
        state: The Gaussian.
        expectation: Averages over it, from ``PosteriorModel.expectation``.
        share: Share of the rate of the rule that is taken.

    Returns:
        The Gaussian a step later.
    """
    eye = torch.eye(state.mean.shape[-1], dtype=state.mean.dtype, device=state.mean.device)
    value = expectation.value - _entropy(state.factor)
    curvature = share * (eye - expectation.curvature)
    return gaussian_step(rule, state, share * expectation.slope, curvature, value)


def fit_gaussian_posterior(
    model: PosteriorModel,
    structure: str | StructuredFactor = "full",
    *,
    mean: ArrayLike | Tensor | None = None,
    precision: ArrayLike | Tensor | None = None,
    lr: float = 1.0,
    momentum: float = 0.0,
    restart: bool = True,
    step_bound: float | None = 0.5,
    backtrack: bool = True,
    max_iterations: int = 1000,
    tolerance: float = 1e-4,
) -> GaussianPosterior:
    """Approximate a posterior by the Gaussian with a structured precision that is nearest in KL(q || p).

    Args:
        model: ``GeneralisedLinearModel``, ``LogDensity`` or another ``PosteriorModel``.
        structure: Structure of the factor of the precision: ``"full"``, ``"lower"``, ``"diagonal"`` (mean
            field), another name without options, or ``lie.structured_factor(name, n, ...)``.
        mean: First mean, shape (n,); None means 0.
        precision: First precision, which the structure must reach, shape (n, n); None means the diagonal of
            the second derivative of -log p at the first mean, where it is positive, and 1 elsewhere.
        lr: Rate; with 1 and a Gaussian posterior the full structure is there in a few steps.
        momentum: Momentum, see ``geomlearn.optim.SPDRule``.
        restart: Whether momentum is dropped where it goes uphill.
        step_bound: Largest Frobenius norm of the change of log A.
        backtrack: As of ``minimize_spd``.
        max_iterations: Largest number of iterations.
        tolerance: Length of the natural gradient that ends the run; the bound is then off by about half its
            square, times the condition number that is left in the frame of the factor.

    Returns:
        The approximation.

    Raises:
        ValueError: If the first mean or precision is of the wrong shape, not finite, not SPD or not of the
            structure, or the log-density is not finite there.
        TypeError: If an argument has the wrong type.

    References:
        W. Lin, F. Nielsen, M. E. Khan, M. Schmidt: Tractable structured natural-gradient descent using local
        parameterizations, ICML 2021.

    Example:
        >>> import torch
        >>> from geomlearn.spd import GeneralisedLinearModel
        >>> x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> fit = fit_gaussian_posterior(GeneralisedLinearModel(x, (x[:, 0] > 0).double()))
        >>> fit.status, bool(fit.mean[0] > 3 * fit.deviations[0])
        ('gradient', True)
    """
    if not isinstance(model, PosteriorModel):
        raise TypeError(
            "model: expected a PosteriorModel, as GeneralisedLinearModel or LogDensity, got"
            f" {type(model).__name__}"
        )
    limits = Limits(backtrack, max_iterations, tolerance)
    limits.check()
    manifold = spd_set(structure, model.n)
    rule = SPDRule(manifold, lr=lr, momentum=momentum, restart=restart, step_bound=step_bound)
    first = torch.zeros(model.n, dtype=model.dtype, device=model.device)
    if mean is not None:
        first = float_tensor(mean, "mean").to(first)
        if first.shape != (model.n,):
            raise ValueError(f"mean: expected shape ({model.n},), got {tuple(first.shape)}")
    if precision is None:
        scale = reachable(manifold, _curvature_at(model, first))
    else:
        scale = spd_matrices(float_tensor(precision, "precision").to(first), model.n, "precision")
    return _run(model, rule, gaussian_start(rule, first, scale), limits._replace(rounding=rounding_of(first)))


def _run(model: PosteriorModel, rule: SPDRule, first: GaussianState, limits: Limits) -> GaussianPosterior:
    def see(state: GaussianState) -> Seen[Expectation]:
        seen = model.expectation(state.mean, state.factor)
        value = float(seen.value - _entropy(state.factor))
        return Seen(value, _norm(rule, seen, state), seen, error=float(seen.error))

    def step(share: float, state: GaussianState, seen: Expectation) -> GaussianState:
        return posterior_step(rule, state, seen, share)

    start = see(first)
    if not math.isfinite(start.value) or not math.isfinite(start.norm):
        raise ValueError("mean: expected a finite log-density around it, got infinity or NaN")
    run = descend(first, see, step, lambda state: state.at_rest, limits)
    return GaussianPosterior(
        mean=run.state.mean,
        covariance=rule.factor.inverse_matrix(run.state.factor),
        precision=rule.factor.matrix(run.state.factor),
        factor=run.state.factor,
        structure=rule.factor,
        model=model,
        elbo=-run.value,
        elbos=-run.values,
        iterations=run.iterations,
        gradient_norm=run.norm,
        status=run.status,
    )


def _entropy(factor: Tensor) -> Tensor:
    n = factor.shape[-1]
    return 0.5 * n * math.log(2 * math.pi * math.e) - torch.linalg.slogdet(factor)[1]


def _norm(rule: SPDRule, seen: Expectation, state: GaussianState) -> float:
    """Length of the natural gradient in the Fisher metric of the Gaussian."""
    eye = torch.eye(rule.factor.n, dtype=state.mean.dtype, device=state.mean.device)
    pulled = rule.factor.project(seen.curvature - eye, state.factor)
    return float((seen.slope.square().sum() + 0.125 * rule.factor.inner(pulled, pulled)).sqrt())


def _curvature_at(model: PosteriorModel, mean: Tensor) -> Tensor:
    """Diagonal of the second derivative at a point: averages over a Gaussian that is nearly one."""
    narrow = 1e3
    point = narrow * torch.eye(model.n, dtype=mean.dtype, device=mean.device)
    diagonal = narrow**2 * model.expectation(mean, point).curvature.diagonal()
    return torch.where(torch.isfinite(diagonal) & (diagonal > 1e-6), diagonal, 1.0)
