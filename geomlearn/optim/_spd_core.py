"""Momentum on SPD matrices as a function of states: pure, batched, usable under torch.func."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lie import SPDManifold, StructuredFactor, StructuredSPD

from ._scalars import Scalar
from ._spd_rule import GRADIENTS, Gradient, SPDRule, factor_of


class SPDState(NamedTuple):
    """A run between two steps.

    Attributes:
        factor: The factor A of tau (or of tau^-1), shape (..., n, n).
        momentum: z, an element of the structure's tangent space in the frame of A, shape (..., n, n).
        value: Last value of the function, for the function restart, shape (...).
        restarts: Number of restarts, int64, shape (...).
    """

    factor: Tensor
    momentum: Tensor
    value: Tensor
    restarts: Tensor


def spd_start(rule: SPDRule, tau: Tensor, *, check: bool = True) -> SPDState:
    """Begin a run at rest.

    Args:
        rule: The method.
        tau: SPD matrices (not their inverses) that the structure can reach, shape (..., n, n).
        check: Whether to refuse matrices that are not SPD, or not of the structure.

    Returns:
        The run before its first step.

    Raises:
        ValueError: If a matrix is refused.

    Example:
        >>> import torch, lie
        >>> rule = SPDRule(lie.SPD(2), lr=0.1)
        >>> spd_start(rule, torch.eye(2)).momentum
        tensor([[0., 0.],
                [0., 0.]])
    """
    A = first_factor(rule.manifold, tau, inverse=rule.inverse, check=check)
    batch = A[..., 0, 0]
    return SPDState(A, torch.zeros_like(A), torch.full_like(batch, torch.inf), torch.zeros_like(batch).long())


def spd_step(
    rule: SPDRule, state: SPDState, gradient: Tensor, value: Tensor | None = None, *, by: Gradient = "matrix"
) -> SPDState:
    """Make one step; nothing is changed in place and nothing branches on values.

    Args:
        rule: The method.
        state: The run so far.
        gradient: Euclidean gradient, shape (..., n, n), of which the symmetric part counts.
        value: Values of the function, shape (...) or one for all, for ``restart="function"``.
        by: What the gradient is by: ``"matrix"`` tau, ``"inverse"`` tau^-1, or ``"frame"`` for A^T g A
            itself, g by the factored matrix, which is often known without an inverse: it is A^T Q A - I for
            tr(Q tau) - log det tau.

    Returns:
        The run a step later.

    Raises:
        ValueError: If the shapes differ, by is unknown, or the rule needs a value and there is none.

    Example:
        Tr(Q tau) - log det tau has its minimum at the inverse of Q.

        >>> import torch, lie
        >>> Q = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        >>> rule = SPDRule(lie.SPD(2), lr=1.0, momentum=0.0)
        >>> state = spd_start(rule, torch.eye(2))
        >>> for _ in range(8):
        ...     state = spd_step(rule, state, state.factor.mT @ Q @ state.factor - torch.eye(2), by="frame")
        >>> torch.allclose(spd_matrix(rule, state), torch.linalg.inv(Q))
        True
    """
    A, z, last, restarts = state
    if gradient.shape[-2:] != A.shape[-2:]:
        raise ValueError(
            f"gradient: expected matrices of shape {tuple(A.shape)}, got {tuple(gradient.shape)}"
        )
    slope = frame_gradient(rule.factor, A, gradient, by=by, inverse=rule.inverse)
    if rule.restarts_by is not None:
        if rule.restarts_by == "gradient":
            drop = uphill(rule.factor, slope, z)
        elif value is None:
            raise ValueError("value: the function restart compares values; pass that at the state")
        else:
            drop = value > last
            last = value.detach().expand_as(last)
        z = torch.where(drop[..., None, None], 0, z)
        restarts = restarts + drop
    w = _times(rule.momentum, z) + _times(rule.lr, slope)
    A, w = advance_factor(rule.factor, A, w, shortening(w, rule.step_bound), rule.approximation)
    return SPDState(A, w, last, restarts)


def spd_matrix(rule: SPDRule, state: SPDState) -> Tensor:
    """Compute tau of a run, (..., n, n)."""
    return matrix_of(rule.factor, state.factor, inverse=rule.inverse)


# The parts, which the optimizer shares


def first_factor(
    manifold: SPDManifold | StructuredSPD, tau: Tensor, *, inverse: bool, check: bool = True
) -> Tensor:
    """Factorise tau, or its inverse."""
    factor = factor_of(manifold)
    root = factor.factorize(tau, check=check)
    return factor.inverse(root).mT.contiguous() if inverse else root


def frame_gradient(
    factor: StructuredFactor, A: Tensor, gradient: Tensor, *, by: Gradient = "matrix", inverse: bool = False
) -> Tensor:
    """Compute Pi(H) from a gradient.

    Args:
        factor: The structure.
        A: The factors.
        gradient: The gradient.
        by: What it is by.
        inverse: Whether the factored matrix is tau^-1.

    Returns:
        Elements of the tangent space.

    Raises:
        ValueError: If by is unknown.
    """
    if by not in GRADIENTS:
        raise ValueError(f"by: expected one of {', '.join(map(repr, GRADIENTS))}, got {by!r}")
    if by == "frame":
        return factor.project(gradient, A)
    if (by == "inverse") == inverse:
        return factor.pull_back(A, gradient)
    B = torch.linalg.inv_ex(A)[0].mT  # g by S is -S^-1 g' S^-1, g' by S^-1
    if factor.closed:
        return -factor.pull_back(B, gradient)
    return -factor.project(B.mT @ (gradient @ B), A)


def uphill(factor: StructuredFactor, slope: Tensor, z: Tensor) -> Tensor:
    """Tell for each matrix whether the last step, along -z, went uphill."""
    return factor.inner(slope, z) < 0


def shortening(w: Tensor, step_bound: float | None) -> Tensor | float:
    """Compute the factors, (..., 1, 1), by which steps are shortened so that N = -w/2 obeys the bound."""
    if step_bound is None:
        return 1.0
    norm = torch.linalg.vector_norm(w, dim=(-2, -1), keepdim=True)
    return (2 * step_bound / norm).clamp_max(1)


def advance_factor(
    factor: StructuredFactor, A: Tensor, w: Tensor, scale: Scalar, h: str | None
) -> tuple[Tensor, Tensor]:
    """Move A by h(-scale w / 2); give w in the tangent space there."""
    moved = factor.retract(A, (-0.5 * scale) * w, h)
    return moved, w if factor.closed else factor.project(w, moved)


def matrix_of(factor: StructuredFactor, A: Tensor, *, inverse: bool) -> Tensor:
    """Compute tau from the factor."""
    return factor.inverse_matrix(A) if inverse else factor.matrix(A)


def _times(factor: Scalar, x: Tensor) -> Tensor:
    return factor.to(x.dtype) * x if isinstance(factor, Tensor) else factor * x
