"""Mixtures of Gaussians: the optimum of expectation maximisation, iterations beside it, refusals."""

from __future__ import annotations

import pytest
import torch

import lie
from geomlearn.optim import SPDRule
from geomlearn.spd import (
    MixtureStart,
    MixtureState,
    fit_gaussian_mixture,
    gaussian_start,
    mixture_slope,
    mixture_step,
)
from tests.geomlearn.spd._em import drawn_mixture, expectation_maximisation


def first(x: torch.Tensor, components: int) -> MixtureStart:
    """The start that a fit without iterations gives back."""
    fit = fit_gaussian_mixture(x, components, max_iterations=0)
    assert fit.iterations == 0
    assert fit.status == "iterations"
    return MixtureStart(fit.weights, fit.means, fit.covariances)


def reached(path: torch.Tensor, optimum: float) -> int:
    return int((path <= optimum + 1e-6).nonzero()[0])


def plain(x: torch.Tensor, start: MixtureStart, lr: float, momentum: float):
    return fit_gaussian_mixture(
        x,
        len(start.weights),
        start=start,
        lr=lr,
        momentum=momentum,
        restart=False,
        backtrack=False,
        tolerance=1e-6,
    )


def test_overlapping_components_need_momentum() -> None:
    """As 330 steps of expectation maximisation, 476, 109 and 196 on a published pair of problems."""
    x = drawn_mixture(3, 3, 500, 1.5, 1.0, 0)
    start = first(x, 3)
    path = torch.tensor(expectation_maximisation(x, start, 900), dtype=torch.float64)
    optimum = float(path.min())
    assert optimum == pytest.approx(4.9993206, abs=1e-7)
    assert reached(path, optimum) == 321
    counts = {}
    for lr, momentum in ((1.0, 0.0), (0.2, 0.9), (0.3, 0.8)):
        fit = plain(x, start, lr, momentum)
        assert fit.converged
        assert -fit.log_likelihood == pytest.approx(optimum, abs=1e-6)
        counts[lr] = reached(-fit.log_likelihoods, optimum)
    assert 300 <= counts[1.0] <= 500
    assert counts[0.2] < 150
    assert counts[0.2] < counts[0.3] < counts[1.0]
    restarted = fit_gaussian_mixture(x, 3, start=start, momentum=0.9, tolerance=1e-6)
    assert restarted.converged
    assert reached(-restarted.log_likelihoods, optimum) < 60


def test_separate_components_need_none() -> None:
    x = drawn_mixture(5, 3, 1000, 2.0, 3.0, 0)
    start = first(x, 3)
    path = torch.tensor(expectation_maximisation(x, start, 40), dtype=torch.float64)
    optimum = float(path.min())
    assert reached(path, optimum) <= 6
    still, moving = (plain(x, start, lr, momentum) for lr, momentum in ((1.0, 0.0), (0.2, 0.9)))
    for fit in (still, moving):
        assert -fit.log_likelihood == pytest.approx(optimum, abs=1e-6)
    assert reached(-still.log_likelihoods, optimum) <= 8
    assert reached(-moving.log_likelihoods, optimum) == 113


@pytest.mark.parametrize(
    ("name", "options"),
    [("full", {}), ("lower", {}), ("diagonal", {}), ("block_upper", {"rank": 1})],
    ids=["full", "lower", "diagonal", "block_upper"],
)
def test_the_slope_vanishes_where_the_likelihood_is_largest(name: str, options: dict) -> None:
    x = drawn_mixture(3, 2, 200, 2.0, 3.0, 1)
    structure = lie.structured_factor(name, 3, **options)
    fit = fit_gaussian_mixture(x, 2, structure, tolerance=1e-8)
    assert fit.converged
    roots = structure.pack(structure.factorize(fit.precisions))

    def likelihood(logits: torch.Tensor, means: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
        A = structure.unpack(stored)
        components = torch.distributions.MultivariateNormal(means, precision_matrix=A @ A.mT)
        return (components.log_prob(x[:, None]) + logits.log_softmax(0)).logsumexp(1).mean()

    slopes = torch.func.grad(likelihood, argnums=(0, 1, 2))(fit.weights.log(), fit.means, roots)
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-7
    value = likelihood(fit.weights.log(), fit.means, roots)
    assert float(value) == pytest.approx(fit.log_likelihood)
    torch.testing.assert_close(fit.log_density(x).mean(), value)
    torch.testing.assert_close(fit.responsibilities(x).mean(0), fit.weights, atol=1e-6, rtol=0)
    assert fit.parameters == 2 * 3 + 2 * structure.dim + 1


def test_a_step_of_rate_one_is_one_of_expectation_maximisation_to_first_order() -> None:
    x = drawn_mixture(3, 2, 300, 2.0, 3.0, 1)
    end = fit_gaussian_mixture(x, 2, tolerance=1e-10)
    rule = SPDRule(lie.SPD(3), lr=1.0, momentum=0.0)
    errors = []
    for size in (1e-2, 1e-3):
        near = MixtureStart(end.weights, end.means + size, end.covariances * (1 + size))
        components = gaussian_start(rule, near.means, torch.linalg.inv(near.covariances))
        state = MixtureState(components, near.weights.log(), torch.zeros(2).double())
        state = mixture_step(rule, state, mixture_slope(x, state))
        shares = fit_gaussian_mixture(x, 2, start=near, max_iterations=0).responsibilities(x)
        mass = shares.sum(0)
        means = shares.mT @ x / mass[:, None]
        away = x - means[:, None]
        covariances = (shares.mT[..., None] * away).mT @ away / mass[:, None, None]
        A = state.components.factor
        errors.append(float((torch.linalg.inv(A @ A.mT) - covariances).abs().max()))
        torch.testing.assert_close(state.components.mean, means)
        torch.testing.assert_close(state.logits.softmax(0), mass / len(x), atol=2 * size**2, rtol=0)
    assert errors[1] < 0.015 * errors[0]  # of second order


def test_units_do_not_matter() -> None:
    x = drawn_mixture(3, 2, 300, 2.0, 3.0, 1)
    scale, shift = torch.tensor([1e-4, 1.0, 1e4]).double(), torch.tensor([1e2, -1e4, 0.0]).double()
    fit, scaled = (fit_gaussian_mixture(data, 2) for data in (x, x * scale + shift))
    assert fit.iterations == scaled.iterations
    torch.testing.assert_close(scaled.means, fit.means * scale + shift, rtol=1e-6, atol=1e-8)
    assert scaled.log_likelihood == pytest.approx(fit.log_likelihood - float(scale.log().sum()), abs=1e-9)


def test_a_fit_goes_on_from_a_fit() -> None:
    x = drawn_mixture(3, 2, 200, 2.0, 3.0, 1)
    half = fit_gaussian_mixture(x, 2, max_iterations=3)
    whole = fit_gaussian_mixture(x, 2)
    resumed = fit_gaussian_mixture(x, 2, start=half)
    assert resumed.converged
    torch.testing.assert_close(resumed.means, whole.means, atol=1e-3, rtol=0)
    assert resumed.iterations < whole.iterations


def test_one_component_is_the_gaussian_of_the_samples() -> None:
    x = drawn_mixture(3, 1, 100, 1.0, 3.0, 0)
    fit = fit_gaussian_mixture(x, 1, tolerance=1e-9)
    torch.testing.assert_close(fit.means[0], x.mean(0))
    torch.testing.assert_close(fit.covariances[0], torch.cov(x.mT, correction=0))
    assert fit.weights.tolist() == [1.0]


def test_a_collapse_is_told_and_a_ridge_prevents_it() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.cat([torch.randn(100, 2, generator=g), 50 + 1e-3 * torch.randn(2, 2, generator=g)]).double()
    fit = fit_gaussian_mixture(x, 2)
    assert fit.status == "collapsed"
    assert not fit.converged
    assert bool(torch.isfinite(fit.covariances).all())
    kept = fit_gaussian_mixture(x, 2, ridge=1e-4)
    assert kept.converged
    assert torch.linalg.eigvalsh(kept.covariances).min() > 1e-4


def test_float32_stays() -> None:
    x = drawn_mixture(3, 2, 200, 2.0, 3.0, 1)
    fit = fit_gaussian_mixture(x.float(), 2, tolerance=1e-3)
    assert fit.converged
    assert fit.means.dtype == torch.float32
    assert fit.log_likelihood == pytest.approx(fit_gaussian_mixture(x, 2).log_likelihood, abs=1e-4)


def test_bad_input_is_named() -> None:
    x = drawn_mixture(3, 2, 20, 2.0, 3.0, 1)
    start = first(x, 2)
    with pytest.raises(ValueError, match=r"samples: expected finite numbers, got inf at \[1, 2\]"):
        fit_gaussian_mixture(torch.where(x == x[1, 2], torch.inf, x), 2)
    with pytest.raises(ValueError, match="components: expected a whole number >= 1, got 0"):
        fit_gaussian_mixture(x, 0)
    with pytest.raises(ValueError, match="samples: expected more than the 50 components, got 40"):
        fit_gaussian_mixture(x, 50)
    with pytest.raises(ValueError, match="column 0 is constant"):
        fit_gaussian_mixture(torch.cat([torch.ones(40, 1), x], 1), 2)
    with pytest.raises(ValueError, match=r"start\.weights: expected 3 positive numbers"):
        fit_gaussian_mixture(x, 3, start=start)
    with pytest.raises(ValueError, match=r"start\.means: expected shape \(2, 3\)"):
        fit_gaussian_mixture(x, 2, start=start._replace(means=start.means[:, :2]))
    with pytest.raises(ValueError, match=r"start\.covariances: expected positive definite"):
        fit_gaussian_mixture(x, 2, start=start._replace(covariances=-start.covariances))
    with pytest.raises(ValueError, match=r"start\.covariances: expected shape"):
        fit_gaussian_mixture(x, 2, start=start._replace(covariances=start.covariances[0]))
    with pytest.raises(ValueError, match="has no factor in diagonal"):
        fit_gaussian_mixture(x, 2, "diagonal", start=start)
    with pytest.raises(TypeError, match="start: expected a MixtureStart"):
        fit_gaussian_mixture(x, 2, start=x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ridge"):
        fit_gaussian_mixture(x, 2, ridge=-1.0)
    with pytest.raises(ValueError, match="x: expected 3 columns"):
        fit_gaussian_mixture(x, 2).responsibilities(x[:, :2])
    with pytest.raises(ValueError, match="inverse=False"):
        gaussian_start(SPDRule(lie.SPD(3), lr=1.0, inverse=True), x[0], torch.eye(3))
