"""Posteriors to be approximated: expectations of minus their log-density under Gaussians."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ._arguments import float_tensor, sample_matrix, spd_matrices
from ._families import FAMILIES, Family


class Expectation(NamedTuple):
    """Averages of f = -log p, and of its derivatives, over w ~ N(mu, (A A^T)^-1).

    Attributes:
        value: E[f], shape ().
        slope: A^-1 E[f'], shape (n,).
        curvature: A^-1 E[f''] A^-T, shape (n, n).
        error: Standard error of the value where it is an average over draws, shape (), else 0. Increases of
            the loss within it are not taken for a failed step.
    """

    value: Tensor
    slope: Tensor
    curvature: Tensor
    error: Tensor | float = 0.0


class PosteriorModel(ABC):
    """A joint density p(data, w) of unknowns w.

    Attributes:
        n: Number of unknowns.
        dtype: Numbers that it computes with.
        device: Where.
    """

    n: int
    dtype: torch.dtype
    device: torch.device

    @abstractmethod
    def expectation(self, mean: Tensor, factor: Tensor) -> Expectation:
        """Average minus the log-density over a Gaussian.

        Args:
            mean: mu, shape (n,).
            factor: A of the precision A A^T, shape (n, n).

        Returns:
            The averages.
        """


class GeneralisedLinearModel(PosteriorModel):
    """Targets y_i that depend on x_i w through a family, with a Gaussian prior on w.

    Under a Gaussian, x_i w is Gaussian in one dimension, so that all averages are exact for the families
    ``"gaussian"`` and ``"poisson"``, and Gauss-Hermite sums for ``"bernoulli"``.

    Args:
        features: x_i in rows, shape (samples, n); a column of ones makes an intercept.
        targets: y_i, shape (samples,): 0 or 1 for ``"bernoulli"`` (log-odds x w), whole numbers >= 0 for
            ``"poisson"`` (log-rate x w), numbers for ``"gaussian"`` (mean x w).
        family: Name of the family.
        prior_precision: Precision of the prior: a number, the diagonal (n,), or a matrix (n, n).
        prior_mean: Mean of the prior, shape (n,); None means 0.
        noise: Standard deviation of the targets, for ``"gaussian"``.
        points: Number of Gauss-Hermite points.

    Raises:
        ValueError: If a shape is wrong, a number is not finite, a target is none of the family, or the prior
            is not SPD.

    Example:
        >>> model = GeneralisedLinearModel([[1.0, 0.2], [1.0, -1.0]], [1, 0], "bernoulli")
        >>> model.n
        2
    """

    def __init__(
        self,
        features: ArrayLike | Tensor,
        targets: ArrayLike | Tensor,
        family: str = "bernoulli",
        *,
        prior_precision: float | ArrayLike | Tensor = 1.0,
        prior_mean: ArrayLike | Tensor | None = None,
        noise: float = 1.0,
        points: int = 30,
    ) -> None:
        self.features = sample_matrix(features, "features", least=1)
        self.n = self.features.shape[1]
        self.dtype, self.device = self.features.dtype, self.features.device
        self.targets = float_tensor(targets, "targets").to(self.features)
        if self.targets.shape != (len(self.features),):
            raise ValueError(
                f"targets: expected shape ({len(self.features)},), one for each row of features, got"
                f" {tuple(self.targets.shape)}"
            )
        if family not in FAMILIES:
            raise ValueError(f"family: expected one of {', '.join(map(repr, FAMILIES))}, got {family!r}")
        if points < 1:
            raise ValueError(f"points: expected a number >= 1, got {points!r}")
        self.family: Family = FAMILIES[family](points, noise)
        self.family.check(self.targets)
        self.prior_precision = _precision(prior_precision, self.n).to(self.features)
        self.prior_mean = self.features.new_zeros(self.n)
        if prior_mean is not None:
            self.prior_mean = float_tensor(prior_mean, "prior_mean").to(self.features)
            if self.prior_mean.shape != (self.n,):
                raise ValueError(
                    f"prior_mean: expected shape ({self.n},), got {tuple(self.prior_mean.shape)}"
                )
        volume = torch.linalg.slogdet(self.prior_precision)[1]
        self._constant = 0.5 * (self.n * float(np.log(2 * np.pi)) - volume)

    def expectation(self, mean: Tensor, factor: Tensor) -> Expectation:
        """Average minus the log-density over a Gaussian, see ``PosteriorModel``."""
        seen = torch.linalg.solve_ex(factor, self.features.mT)[0]  # A^-1 x_i in columns
        prior = torch.linalg.solve_ex(factor, self.prior_precision)[0]
        variance = seen.square().sum(-2)
        value, first, second = self.family.expect(self.features @ mean, variance, self.targets)
        away = mean - self.prior_mean
        prior_curvature = torch.linalg.solve_ex(factor, prior.mT)[0]
        trace = prior_curvature.diagonal(dim1=-2, dim2=-1).sum(-1)
        prior_value = 0.5 * (away @ self.prior_precision @ away + trace) + self._constant
        return Expectation(
            value=value.sum() + prior_value,
            slope=seen @ first + prior @ away,
            curvature=(seen * second) @ seen.mT + prior_curvature,
        )

    def predict(self, features: ArrayLike | Tensor, mean: Tensor, factor: Tensor) -> Tensor:
        """Average the mean of the targets over a Gaussian of w.

        Args:
            features: New x_i, shape (samples, n).
            mean: mu, shape (n,).
            factor: A of the precision A A^T, shape (n, n).

        Returns:
            Expected targets, shape (samples,): probabilities of 1 for ``"bernoulli"``.

        Raises:
            ValueError: If the number of columns is another.
        """
        x = sample_matrix(features, "features", least=1).to(self.features)
        if x.shape[1] != self.n:
            raise ValueError(f"features: expected {self.n} columns, got {x.shape[1]}")
        variance = torch.linalg.solve(factor, x.mT).square().sum(0)
        return self.family.predict(x @ mean, variance)


class LogDensity(PosteriorModel):
    """Any log-density, averaged over fixed draws of a standard normal z: w = mu + A^-T z.

    The draws come in pairs z, -z, and if there are enough are made to have covariance I exactly, so that the
    averages of quadratic functions are exact. As they are fixed, the fit is a deterministic one; its error is
    that of an average over so many draws, and another generator shows how large it is.

    Args:
        log_density: Function of w (n,) that gives log p(data, w), shape (), which ``torch.func`` can
            differentiate twice and map over w.
        n: Number of unknowns.
        draws: Number of draws, even.
        curvature: ``"hessian"``: average second derivatives, n more passes per draw; ``"gradient"``: as the
            average of A^-1 f' z^T, which is the same in the limit of many draws and needs no second
            derivatives, but draws in number much larger than n.
        generator: Source of the draws; None is one with seed 0.
        dtype: Numbers to compute with.
        device: Where.

    Raises:
        TypeError: If log_density is no function.
        ValueError: If an option is out of range, or the function does not give a number.

    Example:
        >>> import torch
        >>> model = LogDensity(lambda w: -0.5 * (w**2).sum(), 3)
        >>> model.expectation(torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)).value
        tensor(1.5000, dtype=torch.float64)
    """

    def __init__(
        self,
        log_density: Callable[[Tensor], Tensor],
        n: int,
        *,
        draws: int = 128,
        curvature: str = "hessian",
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        if not callable(log_density):
            raise TypeError(f"log_density: expected a function, got {type(log_density).__name__}")
        if n < 1:
            raise ValueError(f"n: expected a number of unknowns >= 1, got {n!r}")
        if draws < 2 or draws % 2:
            raise ValueError(f"draws: expected an even number >= 2, got {draws!r}")
        if curvature not in ("hessian", "gradient"):
            raise ValueError(f"curvature: expected 'hessian' or 'gradient', got {curvature!r}")
        self.n, self.dtype, self.device = n, dtype, torch.device(device)
        self.curvature = curvature
        generator = torch.Generator(self.device).manual_seed(0) if generator is None else generator
        half = torch.randn(draws // 2, n, generator=generator, dtype=dtype, device=self.device)
        if draws // 2 >= 2 * n:
            root = torch.linalg.cholesky(half.mT @ half / len(half))
            half = torch.linalg.solve_triangular(root, half.mT, upper=False).mT
        self.draws = torch.cat([half, -half])
        shape = tuple(log_density(self.draws[0]).shape)
        if shape != ():
            raise ValueError(f"log_density: expected one number for w of shape ({n},), got shape {shape}")

        def minus(w: Tensor) -> Tensor:
            return -log_density(w)

        slopes = torch.func.vmap(torch.func.grad_and_value(minus))

        def averages(mean: Tensor, offsets: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            gradient, value = slopes(mean + offsets)
            return gradient.mean(0), (gradient, value)

        self._averages = averages
        self._curved = torch.func.jacrev(averages, has_aux=True)

    def expectation(self, mean: Tensor, factor: Tensor) -> Expectation:
        """Average minus the log-density over a Gaussian, see ``PosteriorModel``."""
        offsets = torch.linalg.solve_ex(factor.mT, self.draws.mT)[0].mT
        if self.curvature == "gradient":
            _, (gradient, value) = self._averages(mean, offsets)
            slope = torch.linalg.solve_ex(factor, gradient.mT)[0]
            product = slope @ self.draws / len(offsets)
            curvature = 0.5 * (product + product.mT)
        else:
            hessian, (gradient, value) = self._curved(mean, offsets)
            slope = torch.linalg.solve_ex(factor, gradient.mT)[0]
            half = torch.linalg.solve_ex(factor, hessian)[0]
            curvature = torch.linalg.solve_ex(factor, half.mT)[0]
        error = value.std() / len(value) ** 0.5
        return Expectation(value.mean(), slope.mean(-1), curvature, error)


def _precision(prior: float | ArrayLike | Tensor, n: int) -> Tensor:
    made = float_tensor(prior, "prior_precision")
    if made.ndim == 0:
        made = made.expand(n)
    if made.ndim == 1:
        if made.shape != (n,) or not bool((made > 0).all()):
            raise ValueError(f"prior_precision: expected {n} positive numbers, got {made.tolist()}")
        return torch.diag(made)
    return spd_matrices(made, n, "prior_precision")
