"""A first mixture: k-means with spread-out seeds."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class MixtureStart(NamedTuple):
    """Weights, means and covariances of a mixture.

    Attributes:
        weights: Weights, positive with sum 1, shape (K,).
        means: Means, shape (K, n).
        covariances: Covariances, shape (K, n, n).
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor


def first_mixture(x: Tensor, count: int, generator: torch.Generator | None, rounds: int = 30) -> MixtureStart:
    """Cut the samples into clusters by k-means and take the moments of these.

    Each covariance is the mean of the cluster's and of the pooled one within clusters, which is positive
    definite even if a cluster has few samples.

    Args:
        x: Samples, shape (samples, n), in comparable units.
        count: Number of clusters.
        generator: Source of randomness for the seeds.
        rounds: Largest number of rounds of k-means.

    Returns:
        The moments.

    Source: seeds by D. Arthur, S. Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007.
    """
    centres = _seeds(x, count, generator)
    label = torch.cdist(x, centres).argmin(1)
    for _ in range(rounds):
        share = torch.nn.functional.one_hot(label, count).to(x)
        sizes = share.sum(0)
        filled = (sizes > 0)[:, None]
        centres = torch.where(filled, share.mT @ x / sizes.clamp_min(1)[:, None], centres)
        moved = torch.cdist(x, centres).argmin(1)
        if torch.equal(moved, label):
            break
        label = moved
    share = torch.nn.functional.one_hot(label, count).to(x)
    sizes = share.sum(0)
    away = x - centres[label]
    pooled = away.mT @ away / len(x)
    own = torch.einsum("sk,si,sj->kij", share, away, away)
    covariances = 0.5 * (pooled + (own + pooled) / (sizes + 1)[:, None, None])
    weights = (sizes + 1) / (sizes + 1).sum()
    return MixtureStart(weights, centres, covariances)


def _seeds(x: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """Draw samples one after the other, each with odds of its squared distance from those drawn."""
    odds = torch.ones_like(x[:, 0])
    rows: list[Tensor] = []
    for _ in range(count):
        odds = odds if bool(odds.sum() > 0) else torch.ones_like(odds)
        rows.append(x[torch.multinomial(odds, 1, generator=generator)[0]])
        distance = (x - rows[-1]).square().sum(1)
        odds = distance if len(rows) == 1 else torch.minimum(odds, distance)
    return torch.stack(rows)
