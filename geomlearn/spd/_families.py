"""Families of targets of generalised linear models, averaged over a Gaussian predictor."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

Moments = tuple[Tensor, Tensor, Tensor]


class Family(ABC):
    """Targets y with a log-density that depends on a predictor eta.

    Args:
        points: Number of Gauss-Hermite points.
        noise: Standard deviation of Gaussian targets.
    """

    wanted: str

    def __init__(self, points: int, noise: float) -> None:
        self.points, self.noise = points, noise

    def check(self, y: Tensor) -> None:
        """Refuse targets that are none of the family."""
        bad = ~self._valid(y)
        if bool(bad.any()):
            row = int(bad.nonzero()[0])
            raise ValueError(f"targets: expected {self.wanted}, got {float(y[row])} at [{row}]")

    @abstractmethod
    def _valid(self, y: Tensor) -> Tensor: ...

    @abstractmethod
    def expect(self, mean: Tensor, variance: Tensor, y: Tensor) -> Moments:
        """Average -log p(y | eta), its first and its second derivative over eta ~ N(mean, variance)."""

    @abstractmethod
    def predict(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Average the mean of y over eta ~ N(mean, variance)."""


class Bernoulli(Family):
    """0 or 1, with log-odds eta."""

    wanted = "0 or 1"

    def _valid(self, y: Tensor) -> Tensor:
        return (y == 0) | (y == 1)

    def expect(self, mean: Tensor, variance: Tensor, y: Tensor) -> Moments:
        """Average by Gauss-Hermite sums."""
        eta, weights = self._grid(mean, variance)
        share = torch.sigmoid(eta)
        value = softplus(eta) @ weights - y * mean
        return value, share @ weights - y, (share * (1 - share)) @ weights

    def predict(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Average the probability of 1."""
        eta, weights = self._grid(mean, variance)
        return torch.sigmoid(eta) @ weights

    def _grid(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        nodes, weights = np.polynomial.hermite_e.hermegauss(self.points)
        z = torch.as_tensor(nodes, dtype=mean.dtype, device=mean.device)
        w = torch.as_tensor(weights / math.sqrt(2 * math.pi), dtype=mean.dtype, device=mean.device)
        return mean[..., None] + variance.sqrt()[..., None] * z, w


class Poisson(Family):
    """Counts, with log-rate eta."""

    wanted = "whole numbers >= 0"

    def _valid(self, y: Tensor) -> Tensor:
        return (y >= 0) & (y == y.round())

    def expect(self, mean: Tensor, variance: Tensor, y: Tensor) -> Moments:
        """Average in closed form."""
        rate = self.predict(mean, variance)
        return rate - y * mean + torch.lgamma(y + 1), rate - y, rate

    def predict(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Average the rate."""
        return torch.exp(mean + 0.5 * variance)


class Normal(Family):
    """Numbers with mean eta and a known deviation."""

    wanted = "numbers"

    def __init__(self, points: int, noise: float) -> None:
        if not noise > 0:
            raise ValueError(f"noise: expected a number > 0, got {noise!r}")
        super().__init__(points, noise)

    def _valid(self, y: Tensor) -> Tensor:
        return torch.isfinite(y)

    def expect(self, mean: Tensor, variance: Tensor, y: Tensor) -> Moments:
        """Average in closed form."""
        precision = self.noise**-2
        constant = 0.5 * math.log(2 * math.pi) + math.log(self.noise)
        value = 0.5 * precision * ((mean - y).square() + variance) + constant
        return value, precision * (mean - y), torch.full_like(mean, precision)

    def predict(self, mean: Tensor, variance: Tensor) -> Tensor:
        """The mean itself."""
        return mean


FAMILIES: dict[str, Callable[[int, float], Family]] = {
    "bernoulli": Bernoulli,
    "gaussian": Normal,
    "poisson": Poisson,
}
