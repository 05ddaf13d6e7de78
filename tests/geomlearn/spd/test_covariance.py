"""Covariances with a structure: closed forms, the likelihood's stationary points, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lie
from geomlearn.spd import fit_covariance


def samples(count: int = 300, n: int = 6) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    mix = torch.randn(n, n, generator=g, dtype=torch.float64)
    return 3.0 + torch.randn(count, n, generator=g, dtype=torch.float64) @ mix


@pytest.mark.parametrize("of", ["covariance", "precision"])
@pytest.mark.parametrize("structure", ["full", "lower", "upper"])
def test_structures_of_all_matrices_give_the_covariance_of_the_samples(structure: str, of) -> None:
    x = samples()
    fit = fit_covariance(x, structure, of=of)
    assert fit.converged
    torch.testing.assert_close(fit.mean, x.mean(0))
    torch.testing.assert_close(fit.covariance, torch.cov(x.mT, correction=0), rtol=1e-7, atol=1e-7)
    reference = torch.distributions.MultivariateNormal(fit.mean, fit.covariance).log_prob(x)
    torch.testing.assert_close(fit.log_density(x), reference)
    assert fit.log_likelihood == pytest.approx(float(reference.mean()))


@pytest.mark.parametrize("of", ["covariance", "precision"])
def test_block_diagonal_matrices_are_the_blocks(of) -> None:
    x = samples()
    fit = fit_covariance(x, lie.structured_factor("block_diagonal", 6, block=3), of=of)
    full = torch.cov(x.mT, correction=0)
    expected = torch.block_diag(full[:3, :3], full[3:, 3:])
    torch.testing.assert_close(fit.covariance, expected, rtol=1e-7, atol=1e-7)
    assert fit.parameters == 6 + 12


@pytest.mark.parametrize("of", ["covariance", "precision"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("diagonal", {}),
        ("block_lower", {"rank": 2}),
        ("block_upper", {"rank": 2}),
        ("hierarchical", {"k1": 1, "k2": 2}),
        ("lower_toeplitz", {}),
        ("circulant", {}),
        ("lower_banded", {"bandwidth": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_no_direction_in_the_structure_is_more_likely(name: str, options: dict, of) -> None:
    x = samples()
    structure = lie.structured_factor(name, 6, **options)
    fit = fit_covariance(x, structure, of=of)
    assert fit.converged
    assert fit.log_likelihood <= fit_covariance(x).log_likelihood
    structure.check(fit.factor)
    matrix = fit.covariance if of == "covariance" else fit.precision
    torch.testing.assert_close(structure.matrix(fit.factor), matrix)

    def likelihood(stored: torch.Tensor) -> torch.Tensor:
        tau = structure.matrix(structure.unpack(stored))
        covariance = tau if of == "covariance" else torch.linalg.inv(tau)
        return torch.distributions.MultivariateNormal(fit.mean, covariance).log_prob(x).mean()

    stored = structure.pack(fit.factor)
    assert torch.func.grad(likelihood)(stored).abs().max() < 1e-6 * max(1, 1 / float(stored.abs().min()))


def test_fewer_samples_than_variables_are_enough_for_few_parameters() -> None:
    g = torch.Generator().manual_seed(0)
    load = torch.randn(80, 1, generator=g, dtype=torch.float64)
    x = torch.randn(40, 1, generator=g, dtype=torch.float64) @ load.mT
    x = x + 0.5 * torch.randn(40, 80, generator=g, dtype=torch.float64)
    new = torch.randn(500, 1, generator=g, dtype=torch.float64) @ load.mT
    new = new + 0.5 * torch.randn(500, 80, generator=g, dtype=torch.float64)
    diagonal = fit_covariance(x, "diagonal")
    low = fit_covariance(x, lie.structured_factor("block_lower", 80, rank=1), of="covariance")
    assert low.converged
    assert low.log_density(new).mean() > diagonal.log_density(new).mean() + 20


def test_weights_count_samples() -> None:
    x = samples(50)
    w = torch.arange(50) % 3
    twice = fit_covariance(x.repeat_interleave(w, 0), "lower")
    torch.testing.assert_close(fit_covariance(x, "lower", weights=w).covariance, twice.covariance)


def test_units_and_starts_do_not_matter() -> None:
    x = samples()
    scale = torch.logspace(-5, 5, 6, dtype=torch.float64)
    fit = fit_covariance(x * scale, "lower")
    assert fit.converged
    expected = scale[:, None] * torch.cov(x.mT, correction=0) * scale
    torch.testing.assert_close(fit.covariance / expected, torch.ones(6, 6).double(), rtol=1e-6, atol=1e-6)
    far = fit_covariance(x, "lower", start=1e4 * np.eye(6))
    assert far.converged
    torch.testing.assert_close(far.covariance, torch.cov(x.mT, correction=0), rtol=1e-6, atol=1e-6)


def test_float32_stays_and_arrays_become_float64() -> None:
    x = samples()
    assert fit_covariance(x.float(), tolerance=1e-3).covariance.dtype == torch.float32
    fit = fit_covariance(x.numpy().tolist())
    torch.testing.assert_close(fit.covariance, fit_covariance(x).covariance)


def test_bad_input_is_named() -> None:
    x = samples(20)
    hole = x.clone()
    hole[3, 1] = torch.nan
    with pytest.raises(ValueError, match=r"samples: expected finite numbers, got nan at \[3, 1\]"):
        fit_covariance(hole)
    with pytest.raises(ValueError, match=r"samples: expected shape \(samples, n\)"):
        fit_covariance(x[0])
    with pytest.raises(ValueError, match="samples: expected 2 samples or more"):
        fit_covariance(x[:1])
    with pytest.raises(ValueError, match="6 samples of 6 variables have a singular covariance"):
        fit_covariance(x[:6])
    with pytest.raises(ValueError, match="column 2 is constant"):
        fit_covariance(torch.where(torch.arange(6) == 2, 1.0, x))
    with pytest.raises(ValueError, match="structure: expected a structure of 6 rows"):
        fit_covariance(x, lie.structured_factor("lower", 5))
    with pytest.raises(ValueError, match="name must be one of"):
        fit_covariance(x, "dagonal")
    with pytest.raises(TypeError, match="structure: expected a name"):
        fit_covariance(x, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="of: expected"):
        fit_covariance(x, of="correlation")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weights: expected shape"):
        fit_covariance(x, weights=[1.0])
    with pytest.raises(ValueError, match="weights: expected numbers >= 0"):
        fit_covariance(x, weights=-torch.ones(20))
    with pytest.raises(ValueError, match="start: expected positive definite"):
        fit_covariance(x, start=-np.eye(6))
    with pytest.raises(ValueError, match="has no factor in diagonal"):
        fit_covariance(x, "diagonal", start=torch.cov(x.mT))
    with pytest.raises(TypeError, match="samples: expected"):
        fit_covariance([["a", "b"]])
