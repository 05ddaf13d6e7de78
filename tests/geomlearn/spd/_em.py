"""Expectation maximisation, as in the textbooks: what fits of mixtures are compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from geomlearn.spd import MixtureStart


def expectation_maximisation(x: Tensor, start: MixtureStart, steps: int) -> list[float]:
    """Mean negative log-density of the samples at the start and after each step."""
    weights, means, covariances = start
    path = []
    for _ in range(steps + 1):
        components = torch.distributions.MultivariateNormal(means, covariances)
        joint = components.log_prob(x[:, None]) + weights.log()
        total = joint.logsumexp(1)
        path.append(-float(total.mean()))
        shares = (joint - total[:, None]).exp()
        mass = shares.sum(0)
        weights, means = mass / len(x), shares.mT @ x / mass[:, None]
        away = x - means[:, None]
        covariances = (shares.mT[..., None] * away).mT @ away / mass[:, None, None]
    return path


def drawn_mixture(n: int, components: int, each: int, deviation: float, spread: float, seed: int) -> Tensor:
    """Samples of components with normal means and turned covariances with eigenvalues 1/spread ... spread."""
    g = torch.Generator().manual_seed(seed)
    means = deviation * torch.randn(components, n, generator=g, dtype=torch.float64)
    half = 0.5 * torch.tensor(spread, dtype=torch.float64).log()
    scales = (half * torch.linspace(-1, 1, n, dtype=torch.float64)).exp()
    samples = []
    for mean in means:
        turn = torch.linalg.qr(torch.randn(n, n, generator=g, dtype=torch.float64))[0]
        samples.append(mean + torch.randn(each, n, generator=g, dtype=torch.float64) * scales @ turn.mT)
    return torch.cat(samples)
