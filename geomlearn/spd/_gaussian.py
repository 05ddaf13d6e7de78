"""A Gaussian that moves: mean and structured factor of the precision, by one natural-gradient step."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..optim import SPDRule, SPDState, spd_start, spd_step
from ._minimize import at_rest


class GaussianState(NamedTuple):
    """Gaussians between two steps.

    Attributes:
        mean: Means mu, shape (..., n).
        velocity: Velocity of mu in the frame of the factor, shape (..., n).
        precision: Factor A of the precision P = A A^T, with its momentum, matrices of shape (..., n, n).
    """

    mean: Tensor
    velocity: Tensor
    precision: SPDState

    @property
    def factor(self) -> Tensor:
        """Factor A of the precision, shape (..., n, n)."""
        return self.precision.factor

    @property
    def at_rest(self) -> GaussianState:
        """The same Gaussians without momentum."""
        return GaussianState(self.mean, torch.zeros_like(self.velocity), at_rest(self.precision))


def gaussian_start(rule: SPDRule, mean: Tensor, precision: Tensor) -> GaussianState:
    """Begin at rest.

    Args:
        rule: The method; its structure is that of the precision.
        mean: Means, shape (..., n).
        precision: Precisions of the structure, shape (..., n, n).

    Returns:
        The Gaussians before their first step.

    Raises:
        ValueError: If the rule factors inverses, or a precision is not SPD or not of the structure.

    Example:
        >>> import torch, lie
        >>> from geomlearn.optim import SPDRule
        >>> rule = SPDRule(lie.SPD(2, structure="diagonal"), lr=0.1)
        >>> gaussian_start(rule, torch.zeros(2), torch.eye(2)).velocity
        tensor([0., 0.])
    """
    if rule.inverse:
        raise ValueError("rule: expected inverse=False: the factored matrix is the precision")
    return GaussianState(mean, torch.zeros_like(mean), spd_start(rule, precision))


def gaussian_step(
    rule: SPDRule, state: GaussianState, slope: Tensor, curvature: Tensor, value: Tensor | None = None
) -> GaussianState:
    """Make one natural-gradient step with momentum; pure, batched, without a branch on values.

    For a loss of mean mu and precision P = A A^T with gradients g by the mean and G by the precision,

        v <- alpha v + beta A^-1 g,      mu <- mu - A^-T v,
        w <- alpha z + beta Pi(A^T 2G A),  A <- A h(-w / 2),   z <- w,

    which with alpha = 0 is the natural gradient in the Fisher metric, with rate beta. For the negative
    log-likelihood, A^T 2G A is A^T M A - I, M the second moment of the data about mu; for an expectation
    E[f] minus entropy, it is I - A^-1 E[f''] A^-T. Both are known without an inverse of P.

    Args:
        rule: The method; lr and momentum are those of both parts.
        state: The Gaussians.
        slope: A^-1 g, shape (..., n).
        curvature: A^T 2G A, shape (..., n, n), of which the symmetric part counts.
        value: Values of the loss, for ``restart="function"``.

    Returns:
        The Gaussians a step later.
    """
    velocity = rule.momentum * state.velocity + rule.lr * slope
    moved = torch.linalg.solve_ex(state.factor.mT, velocity.unsqueeze(-1))[0].squeeze(-1)
    precision = spd_step(rule, state.precision, curvature, value, by="frame")
    return GaussianState(state.mean - moved, velocity, precision)


def log_densities(x: Tensor, mean: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the log-density of every sample under every Gaussian.

    Args:
        x: Samples, shape (samples, n).
        mean: Means, shape (..., n).
        factor: Factors of the precisions, shape (..., n, n).

    Returns:
        Log-densities, shape (..., samples), and the deviations A^T (x - mu), shape (..., samples, n).
    """
    u = (x - mean.unsqueeze(-2)) @ factor
    constant = torch.linalg.slogdet(factor)[1] - 0.5 * x.shape[-1] * math.log(2 * math.pi)
    return constant.unsqueeze(-1) - 0.5 * u.square().sum(-1), u
