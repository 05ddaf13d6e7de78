"""Gaussian posteriors: closed forms, the evidence bound of published runs, bounds on the evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import lie
from geomlearn.optim import SPDRule
from geomlearn.spd import (
    GeneralisedLinearModel,
    LogDensity,
    fit_gaussian_posterior,
    gaussian_start,
    posterior_step,
)


def target() -> tuple[GeneralisedLinearModel, Tensor]:
    """A Gaussian posterior with mean 0 and precision X^T X / 40 + I / 10, and that precision."""
    X = torch.randn(40, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = GeneralisedLinearModel(X / 40**0.5, torch.zeros(40), "gaussian", prior_precision=0.1)
    return model, X.mT @ X / 40 + 0.1 * torch.eye(10, dtype=torch.float64)


def divergence(precision: Tensor, of: Tensor) -> float:
    """KL divergence of N(0, precision^-1) from N(0, of^-1)."""
    ratio = torch.linalg.solve(precision, of)
    return 0.5 * float(ratio.trace() - len(of) - torch.linalg.slogdet(ratio)[1])


@pytest.mark.parametrize(
    ("structure", "expected"), [("full", 0), ("lower", 0), ("upper", 0), ("diagonal", 0.3758)]
)
def test_gaussian_targets_are_found_up_to_the_structure(structure: str, expected: float) -> None:
    model, P = target()
    fit = fit_gaussian_posterior(
        model,
        structure,
        precision=torch.eye(10),
        lr=0.1,
        step_bound=None,
        backtrack=False,
        max_iterations=400,
        tolerance=0,
    )
    kl = divergence(fit.precision, P)
    assert kl == pytest.approx(expected, abs=5e-5 if expected else 1e-13)
    if expected:
        torch.testing.assert_close(fit.precision.diagonal(), P.diagonal(), rtol=1e-13, atol=1e-13)
    evidence = 0.5 * (10 * math.log(0.1) - 40 * math.log(2 * math.pi) - float(torch.linalg.slogdet(P)[1]))
    assert fit.elbo == pytest.approx(evidence - kl, abs=1e-10)


@pytest.fixture(scope="module")
def cancer() -> GeneralisedLinearModel:
    """Breast cancer, 569 samples of 30 standardised features and an intercept."""
    data = pytest.importorskip("sklearn.datasets").load_breast_cancer()
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    return GeneralisedLinearModel(np.hstack([x, np.ones((len(x), 1))]), data.target)


@pytest.mark.parametrize(
    ("structure", "after_200", "after_600"),
    [
        ("full", 55.4653, 55.4652),
        ("lower", 55.4652, 55.4652),
        ("upper", 55.4653, 55.4652),
        ("diagonal", 67.4821, 67.4641),
    ],
)
def test_evidence_bounds_of_logistic_regression(
    cancer: GeneralisedLinearModel, structure: str, after_200: float, after_600: float
) -> None:
    fit = fit_gaussian_posterior(
        cancer,
        structure,
        precision=torch.eye(31),
        lr=0.1,
        step_bound=None,
        backtrack=False,
        max_iterations=600,
        tolerance=0,
    )
    assert [round(-float(fit.elbos[k]), 4) for k in (200, 600)] == [after_200, after_600]


@pytest.mark.parametrize(
    ("structure", "expected", "limit"),
    [("full", -55.4652, 60), ("lower", -55.4652, 60), ("diagonal", -67.4641, 500)],
)
def test_without_settings_the_fit_converges(
    cancer: GeneralisedLinearModel, structure: str, expected: float, limit: int
) -> None:
    fit = fit_gaussian_posterior(cancer, structure)
    assert fit.converged
    assert fit.iterations < limit
    assert fit.elbo == pytest.approx(expected, abs=1e-4)
    assert float(((fit.predict(cancer.features) > 0.5) == cancer.targets.bool()).double().mean()) > 0.98


def small(family: str, n: int = 3) -> tuple[GeneralisedLinearModel, Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(30, n, generator=g, dtype=torch.float64)
    eta = x @ torch.linspace(-1, 1, n).double()
    y = {
        "bernoulli": (torch.rand(30, generator=g) < eta.sigmoid()).double(),
        "poisson": torch.poisson(eta.exp(), generator=g),
        "gaussian": eta + 0.5 * torch.randn(30, generator=g),
    }[family]
    prior = 0.5 * torch.eye(n).double() + 0.1
    mean = torch.full((n,), 0.2).double()
    return GeneralisedLinearModel(x, y, family, prior_precision=prior, prior_mean=mean, noise=0.5), x


@pytest.mark.parametrize("family", ["bernoulli", "poisson", "gaussian"])
def test_averages_are_those_of_many_draws(family: str) -> None:
    model, x = small(family)
    names = {
        "bernoulli": lambda eta: torch.distributions.Bernoulli(logits=eta),
        "poisson": lambda eta: torch.distributions.Poisson(eta.exp()),
        "gaussian": lambda eta: torch.distributions.Normal(eta, 0.5, validate_args=False),
    }
    prior = torch.distributions.MultivariateNormal(model.prior_mean, precision_matrix=model.prior_precision)

    def log_density(w: Tensor) -> Tensor:
        prior_value = -0.5 * (w - prior.mean) @ model.prior_precision @ (w - prior.mean)
        eta = x @ w
        likelihood = {
            "bernoulli": lambda: model.targets * eta - torch.nn.functional.softplus(eta),
            "poisson": lambda: model.targets * eta - eta.exp() - torch.lgamma(model.targets + 1),
            "gaussian": lambda: -2 * (model.targets - eta) ** 2 - math.log(0.5 * math.sqrt(2 * math.pi)),
        }[family]()
        return likelihood.sum() + prior_value + prior.log_prob(prior.mean)

    mean, A = (
        torch.tensor([0.1, -0.3, 0.2]).double(),
        torch.tensor([[4.0, 0, 0], [1, 5, 0], [-1, 2, 6]]).double(),
    )
    w = mean
    assert float(log_density(w)) == pytest.approx(
        float(names[family](x @ w).log_prob(model.targets).sum() + prior.log_prob(w))
    )
    drawn = LogDensity(log_density, 3, draws=20_000)
    for exact, sampled in zip(model.expectation(mean, A)[:3], drawn.expectation(mean, A)[:3], strict=True):
        torch.testing.assert_close(exact, sampled, rtol=5e-3, atol=5e-3)
    curved = LogDensity(log_density, 3, draws=200_000, curvature="gradient").expectation(mean, A)
    torch.testing.assert_close(curved.curvature, model.expectation(mean, A).curvature, rtol=0.02, atol=0.02)


def test_linear_regression_is_exact() -> None:
    model, x = small("gaussian")
    fit = fit_gaussian_posterior(model, tolerance=1e-10)
    precision = model.prior_precision + 4 * x.mT @ x
    mean = torch.linalg.solve(precision, 4 * x.mT @ model.targets + model.prior_precision @ model.prior_mean)
    torch.testing.assert_close(fit.precision, precision)
    torch.testing.assert_close(fit.mean, mean)
    covariance = 0.25 * torch.eye(30).double() + x @ torch.linalg.solve(model.prior_precision, x.mT)
    evidence = torch.distributions.MultivariateNormal(x @ model.prior_mean, covariance).log_prob(
        model.targets
    )
    assert fit.elbo == pytest.approx(float(evidence))
    torch.testing.assert_close(fit.predict(x), x @ mean)


def test_the_bound_is_below_the_evidence() -> None:
    """One unknown, where the evidence is an integral on a line."""
    x, y = torch.tensor([[1.0], [2.0], [-1.0]]).double(), torch.tensor([1.0, 1.0, 1.0]).double()
    model = GeneralisedLinearModel(x, y)
    fit = fit_gaussian_posterior(model, tolerance=1e-8)
    line = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    joint = torch.nn.functional.logsigmoid(line[:, None] * x[:, 0]).sum(1)
    joint = joint - 0.5 * line**2 - 0.5 * math.log(2 * math.pi)
    evidence = float(joint.logsumexp(0) + math.log(24 / 20_000))
    assert evidence - 0.01 < fit.elbo < evidence
    q = fit.log_density(line[:, None])
    assert fit.elbo == pytest.approx(float((q.exp() * (joint - q)).sum() * 24 / 20_000), abs=1e-8)


def test_densities_of_ones_own() -> None:
    """A banana: the fit is a stationary point of the average over its own draws."""

    def banana(w: Tensor) -> Tensor:
        return -0.5 * w[0] ** 2 - 2 * (w[1] - 0.5 * w[0] ** 2) ** 2

    model = LogDensity(banana, 2, draws=512)
    fit = fit_gaussian_posterior(model, "lower", tolerance=1e-8)
    assert fit.converged
    other = fit_gaussian_posterior(
        LogDensity(banana, 2, draws=512, generator=torch.Generator().manual_seed(7))
    )
    assert fit.elbo == pytest.approx(other.elbo, abs=0.05)
    evidence = math.log(math.pi)  # of w_0: sqrt(2 pi), of the rest: sqrt(2 pi) / 2
    assert fit.elbo < evidence
    assert bool(((fit.sample(5, generator=torch.Generator().manual_seed(0)) - fit.mean).abs() < 5).all())
    with pytest.raises(TypeError, match="predict needs a GeneralisedLinearModel"):
        fit.predict(torch.ones(1, 2))


def test_samples_have_the_moments_of_the_fit() -> None:
    fit = fit_gaussian_posterior(small("poisson")[0])
    w = fit.sample(100_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(w.mean(0), fit.mean, atol=5e-3, rtol=0)
    torch.testing.assert_close(torch.cov(w.mT), fit.covariance, atol=2e-3, rtol=0.02)
    torch.testing.assert_close(fit.deviations, fit.covariance.diagonal().sqrt())


@pytest.mark.parametrize(
    ("name", "options"),
    [("block_lower", {"rank": 5}), ("block_diagonal", {"block": 8}), ("lower_toeplitz", {})],
    ids=["block_lower", "block_diagonal", "lower_toeplitz"],
)
def test_every_structure_is_between_diagonal_and_full(
    cancer: GeneralisedLinearModel, name: str, options: dict
) -> None:
    structure = lie.structured_factor(name, 31, **options)
    fit = fit_gaussian_posterior(cancer, structure, max_iterations=200)
    structure.check(fit.factor)
    assert -67.4641 < fit.elbo < -55.4651


def test_a_step_is_a_function_that_maps_over_batches() -> None:
    model, _ = small("bernoulli")
    rule = SPDRule(lie.SPD(3, structure="lower"), lr=0.5, momentum=0.5)
    means = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def two_steps(mean: Tensor) -> Tensor:
        state = gaussian_start(rule, mean, torch.eye(3).double())
        for _ in range(2):
            state = posterior_step(rule, state, model.expectation(state.mean, state.factor))
        return torch.cat([state.mean, state.factor.flatten()])

    torch.testing.assert_close(torch.func.vmap(two_steps)(means), torch.stack([two_steps(m) for m in means]))


def test_bad_input_is_named() -> None:
    x, y = torch.ones(4, 2), torch.tensor([0.0, 1.0, 1.0, 0.0])
    model = GeneralisedLinearModel(x, y)
    with pytest.raises(ValueError, match=r"targets: expected 0 or 1, got 2.0 at \[1\]"):
        GeneralisedLinearModel(x, 2 * y)
    with pytest.raises(ValueError, match=r"targets: expected whole numbers >= 0, got 0.5"):
        GeneralisedLinearModel(x, 0.5 * y, "poisson")
    with pytest.raises(ValueError, match=r"targets: expected shape \(4,\)"):
        GeneralisedLinearModel(x, y[:3])
    with pytest.raises(ValueError, match="features: expected finite numbers"):
        GeneralisedLinearModel(x * torch.nan, y)
    with pytest.raises(ValueError, match="family: expected one of 'bernoulli'"):
        GeneralisedLinearModel(x, y, "binomial")
    with pytest.raises(ValueError, match="prior_precision: expected 2 positive numbers"):
        GeneralisedLinearModel(x, y, prior_precision=-1.0)
    with pytest.raises(ValueError, match="prior_precision: expected positive definite"):
        GeneralisedLinearModel(x, y, prior_precision=[[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="prior_mean: expected shape"):
        GeneralisedLinearModel(x, y, prior_mean=[0.0])
    with pytest.raises(ValueError, match="noise"):
        GeneralisedLinearModel(x, y, "gaussian", noise=0)
    with pytest.raises(ValueError, match="points"):
        GeneralisedLinearModel(x, y, points=0)
    with pytest.raises(ValueError, match=r"precision: expected positive definite"):
        fit_gaussian_posterior(model, precision=-torch.eye(2))
    with pytest.raises(ValueError, match=r"mean: expected shape \(2,\)"):
        fit_gaussian_posterior(model, mean=torch.zeros(3))
    with pytest.raises(ValueError, match="structure: expected a structure of 2 rows"):
        fit_gaussian_posterior(model, lie.structured_factor("lower", 3))
    with pytest.raises(TypeError, match="model: expected a PosteriorModel"):
        fit_gaussian_posterior(lambda w: w)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite log-density"):
        fit_gaussian_posterior(LogDensity(lambda w: (w**2).sum() * torch.inf, 2))
    with pytest.raises(TypeError, match="log_density: expected a function"):
        LogDensity(3, 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="log_density: expected one number"):
        LogDensity(lambda w: w, 2)
    with pytest.raises(ValueError, match="draws: expected an even number"):
        LogDensity(lambda w: w.sum(), 2, draws=3)
    with pytest.raises(ValueError, match="curvature: expected"):
        LogDensity(lambda w: w.sum(), 2, curvature="exact")
    with pytest.raises(ValueError, match="features: expected 2 columns"):
        fit_gaussian_posterior(model).predict(torch.ones(1, 3))
