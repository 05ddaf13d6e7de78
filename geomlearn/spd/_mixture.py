"""Mixtures of Gaussians: likelihood, gradient and natural step as functions of states."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..optim import SPDRule
from ._gaussian import GaussianState, gaussian_step, log_densities


class MixtureState(NamedTuple):
    """A mixture between two steps.

    Attributes:
        components: Means (K, n) and structured precisions (K, n, n).
        logits: Logarithms of the weights, up to a constant, shape (K,).
        velocity: Velocity of the logits, shape (K,).
    """

    components: GaussianState
    logits: Tensor
    velocity: Tensor

    @property
    def at_rest(self) -> MixtureState:
        """The same mixture without momentum."""
        return MixtureState(self.components.at_rest, self.logits, torch.zeros_like(self.velocity))


class MixtureSlope(NamedTuple):
    """The negative log-likelihood of a mixture and what its natural step needs.

    Attributes:
        value: Mean of the negative log-density, plus the ridge term, shape ().
        slope: Gradient by the means in the frames of the factors, over the masses, shape (K, n).
        curvature: Gradient by the precisions in the frames, twice, over the masses, shape (K, n, n).
        logits: Gradient by the logits over the weights, shape (K,).
        mass: Mean responsibilities, shape (K,).
    """

    value: Tensor
    slope: Tensor
    curvature: Tensor
    logits: Tensor
    mass: Tensor

    def scaled(self, share: float) -> MixtureSlope:
        """The gradient times a number."""
        return self._replace(
            slope=share * self.slope, curvature=share * self.curvature, logits=share * self.logits
        )


def mixture_slope(x: Tensor, state: MixtureState, ridge: Tensor | None = None) -> MixtureSlope:
    """Compute the negative log-likelihood of samples and its gradient in the frames of the components.

    Args:
        x: Samples, shape (samples, n).
        state: The mixture.
        ridge: Numbers r_i of a term sum_k sum_i r_i (P_k)_ii / 2, a prior that keeps covariances from
            collapsing, shape (n,).

    Returns:
        Value and gradient.
    """
    components = state.components
    log_density, u = log_densities(x, components.mean, components.factor)
    joint = log_density + state.logits.log_softmax(0)[:, None]
    total = joint.logsumexp(0)
    shares = (joint - total).exp() / len(x)
    mass = shares.sum(1)
    value = -total.mean()
    moment = (u * shares[..., None]).mT @ u
    if ridge is not None:
        A = components.factor
        moment = moment + A.mT @ (ridge[:, None] * A)
        value = value + 0.5 * (ridge[:, None] * A.square()).sum()
    shift = (shares[:, None] @ u).squeeze(1)
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    return MixtureSlope(
        value=value,
        slope=-shift / mass[:, None],
        curvature=moment / mass[:, None, None] - eye,
        logits=1 - mass / state.logits.softmax(0),
        mass=mass,
    )


def mixture_step(rule: SPDRule, state: MixtureState, slope: MixtureSlope) -> MixtureState:
    """Make one natural-gradient step with momentum of all components and weights.

    Each component takes the step of ``gaussian_step`` with its own gradient over its mass, which is the
    natural gradient of the likelihood with complete data; so do the weights. With rate 1 and without
    momentum it agrees with a step of expectation maximisation to first order.

    Args:
        rule: The method; its structure is that of the precisions.
        state: The mixture.
        slope: The gradient there.

    Returns:
        The mixture a step later.
    """
    components = gaussian_step(rule, state.components, slope.slope, slope.curvature, slope.value)
    velocity = rule.momentum * state.velocity + rule.lr * slope.logits
    return MixtureState(components, state.logits - velocity, velocity)


def natural_norm(slope: MixtureSlope, rule: SPDRule, state: MixtureState) -> Tensor:
    """Compute the length of the natural gradient in the metric of complete data, shape ()."""
    pulled = rule.factor.project(slope.curvature, state.components.factor)
    squares = slope.slope.square().sum(-1) + 0.125 * rule.factor.inner(pulled, pulled)
    weights = state.logits.softmax(0)
    return ((slope.mass * squares).sum() + (weights * slope.logits.square()).sum()).sqrt()
