"""Projection of vectors onto the tangent spaces of constraints, with exact derivatives in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from .._fixed_point import any_true
from .._linear import apply

Metric = Literal["euclidean", "symplectic"]


class DependentConstraintsError(ValueError):
    """The gradients of constraints are linearly dependent, so that their multipliers are not determined."""


def project_vector(
    slope: Tensor,
    vector: Tensor,
    metric: Metric | Tensor = "euclidean",
    rate: Tensor | None = None,
    rank_deficient: bool = False,
) -> Tensor:
    """Take from a vector what leaves the level sets of constraints: ``G p = -rate``.

    The result is ``p = f - K G^T (G K G^T)^-1 (G f + rate)`` with ``K = I`` in the Euclidean metric,
    ``K = M^-1`` in the metric of a mass matrix, and ``K = S = [[0, I], [-I, 0]]`` in the symplectic one,
    Dirac's bracket. The projector ``P`` itself, of ``n^2`` numbers, is never formed. Derivatives are exact:
    with ``mu = (G G^T)^-1 G p'`` for a cotangent ``p'``, that of ``f`` is ``f' = p' - G^T mu`` and that of
    ``G`` is ``-mu p^T - lambda f'^T``, from the factors of the forward pass.

    Source: White et al., Projected Neural Differential Equations for Learning Constrained Dynamics,
    arXiv:2410.23667, 2024; Dirac, Canad. J. Math. 2 (1950) 129.

    Args:
        slope: Jacobian ``G`` of the constraints, ``(..., m, n)``.
        vector: ``f``, ``(..., n)``.
        metric: ``"euclidean"``, ``"symplectic"`` for states of positions and momenta, or a mass matrix:
            positive diagonal ``(n,)`` or symmetric positive definite ``(n, n)``.
        rate: What the constraints change by besides ``G p``, such as their derivative in time, ``(..., m)``.
        rank_deficient: Whether the rows of ``G`` may be dependent; the pseudoinverse is used then.

    Returns:
        ``p``, ``(..., n)``.

    Raises:
        DependentConstraintsError: If rows of ``G`` are dependent and ``rank_deficient`` is not set.
        ValueError: If a shape is wrong or the metric is unknown.

    Examples:
        >>> import torch
        >>> G = torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
        >>> project_vector(G, torch.tensor([2.0, 0.0, 5.0], dtype=torch.float64))
        tensor([ 1., -1.,  5.], dtype=torch.float64)
    """
    if slope.ndim < 2 or vector.ndim < 1 or slope.shape[-1] != vector.shape[-1]:
        raise ValueError(
            "vector: expected shapes (..., m, n) of the Jacobian and (..., n) of the vector, got "
            f"{tuple(slope.shape)} and {tuple(vector.shape)}"
        )
    if rate is not None and rate.shape[-1:] != slope.shape[-2:-1]:
        raise ValueError(f"rate: expected shape (..., {slope.shape[-2]}), got {tuple(rate.shape)}")
    reaction = _raised(slope, metric)
    skew = isinstance(metric, str) and metric == "symplectic"
    return correct(slope, reaction, vector, rate, rank_deficient, skew=skew)[0]


def correct(
    slope: Tensor,
    reaction: Tensor,
    vector: Tensor,
    rate: Tensor | None = None,
    rank_deficient: bool = False,
    names: Sequence[str] = (),
    skew: bool = False,
) -> tuple[Tensor, Tensor]:
    """Compute ``p = f - B lambda`` with ``lambda = (G B)^-1 (G f + rate)``, so that ``G p = -rate``.

    Args:
        slope: ``G``, ``(..., m, n)``.
        reaction: ``B``, ``(..., n, m)``.
        vector: ``f``, ``(..., n)``.
        rate: ``(..., m)``; None for zero.
        rank_deficient: Whether rows of ``G`` may be dependent.
        names: Names of the constraints, for messages.
        skew: Whether ``G B`` is skew.

    Returns:
        ``p`` and the multipliers ``lambda``.

    Raises:
        DependentConstraintsError: If rows of ``G`` are dependent and ``rank_deficient`` is not set.
    """
    m, n = slope.shape[-2:]
    tensors = [slope, reaction, vector.unsqueeze(-1), *([] if rate is None else [rate.unsqueeze(-1)])]
    batch = torch.broadcast_shapes(*(t.shape[:-2] for t in tensors))
    slope, reaction = slope.expand(*batch, m, n), reaction.expand(*batch, n, m)
    offset = vector.new_zeros(*batch, m) if rate is None else rate.expand(*batch, m)
    vector = vector.expand(*batch, n)
    if torch.autograd.forward_ad._current_level >= 0:
        return _correct(
            slope, reaction, vector, offset, _inverse(slope, reaction, rank_deficient, names, skew)
        )
    with torch.no_grad():
        inverse = _inverse(slope.detach(), reaction.detach(), rank_deficient, names, skew)
    p, multiplier = _Correction.apply(slope, reaction, vector, offset, inverse)
    return p, multiplier


def _correct(
    slope: Tensor, reaction: Tensor, vector: Tensor, rate: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor]:
    """``p`` and ``lambda``, with one step of refinement."""
    first = _times(inverse, _times(slope, vector) + rate)
    p = vector - _times(reaction, first)
    again = _times(inverse, _times(slope, p) + rate)
    return p - _times(reaction, again), first + again


class _Correction(torch.autograd.Function):
    """``p = f - B lambda``, ``lambda = (G B)^-1 (G f + r)``, given the inverse as a constant.

    The derivative backwards is the same correction with ``B^T`` and ``G^T`` in the places of ``G`` and ``B``,
    so that derivatives of every order are exact. Forward mode is left to torch's own derivatives: that of a
    ``Function`` is dropped, without a word, where it is nested (torch 2.13).
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        slope: Tensor, reaction: Tensor, vector: Tensor, rate: Tensor, inverse: Tensor
    ) -> tuple[Tensor, Tensor]:
        return _correct(slope, reaction, vector, rate, inverse)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        slope, reaction, _, _, inverse = inputs
        ctx.save_for_backward(slope, reaction, *output, inverse)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        slope, reaction, p, multiplier, inverse = ctx.saved_tensors
        arguments = (reaction.mT, slope.mT, cotangents[0], -cotangents[1], inverse.mT)
        of_vector, mu = _Correction.apply(*arguments)
        return (-_outer(mu, p), -_outer(of_vector, multiplier), of_vector, -mu, None)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _outer(a: Tensor, b: Tensor) -> Tensor:
    return a.unsqueeze(-1) * b.unsqueeze(-2)


def _raised(slope: Tensor, metric: Metric | Tensor) -> Tensor:
    """``K G^T``."""
    n = slope.shape[-1]
    if isinstance(metric, Tensor):
        if tuple(metric.shape) not in ((n,), (n, n)):
            raise ValueError(f"metric: expected shape ({n},) or ({n}, {n}), got {tuple(metric.shape)}")
        if metric.ndim == 1:
            return slope.mT / metric.unsqueeze(-1)
        return apply(torch.linalg.inv_ex(metric)[0], slope).mT
    if metric == "euclidean":
        return slope.mT
    if metric == "symplectic":
        if n % 2:
            raise ValueError(f"vector: expected positions and momenta, an even number of entries, got {n}")
        return torch.cat((slope[..., n // 2 :], -slope[..., : n // 2]), -1).mT
    raise ValueError(f"metric: expected 'euclidean', 'symplectic' or a mass matrix, got {metric!r}")


def _inverse(
    slope: Tensor, reaction: Tensor, rank_deficient: bool, names: Sequence[str], skew: bool
) -> Tensor:
    """Inverse of ``G B``; not a number where rows of ``G`` are dependent and nobody can be told."""
    matrix = slope @ reaction
    m, eps = slope.shape[-2], torch.finfo(slope.dtype).eps
    if rank_deficient:
        return torch.linalg.pinv(matrix, rtol=10 * m * eps, hermitian=not skew)
    inverse = torch.linalg.inv_ex(matrix)[0]
    dependent = _dependent(matrix.detach(), inverse.detach(), skew)
    if not torch.compiler.is_compiling() and any_true(dependent.any(-1)):
        raise DependentConstraintsError(_message(dependent, names))
    return torch.where(dependent.any(-1)[..., None, None], torch.nan, inverse)


def _dependent(matrix: Tensor, inverse: Tensor, skew: bool) -> Tensor:
    """Which rows depend on the others: ``1 / (A_ii (A^-1)_ii)`` is the squared sine of their angle."""
    scale = matrix.abs().amax(-1) if skew else torch.diagonal(matrix, dim1=-2, dim2=-1)
    root = scale.sqrt()
    growth = (inverse * root.unsqueeze(-1) * root.unsqueeze(-2)).abs().amax(-1)
    limit = 1 / (4 * matrix.shape[-1] * torch.finfo(matrix.dtype).eps)
    finite = torch.isfinite(matrix).all(-1).all(-1)
    return finite.unsqueeze(-1) & ~(growth < limit)


def _message(dependent: Tensor, names: Sequence[str]) -> str:
    m = dependent.shape[-1]
    known = list(names) if len(names) == m else [f"row {k}" for k in range(m)]
    found = [name for k, name in enumerate(known) if any_true(dependent[..., k])]
    return (
        f"constraints: the gradients of {', '.join(found)} vanish or are linearly dependent at a state, so "
        "that the multipliers are not determined; take redundant constraints away, start elsewhere, or pass "
        "rank_deficient=True to keep the ones that are independent"
    )
