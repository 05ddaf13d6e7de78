"""The Karcher mean of positive definite matrices by Newton's method."""

from __future__ import annotations

from math import ceil, log, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from ._barycentre import normalised_weights
from ._constants import differentiates, is_readable
from ._divided_differences import EXP
from ._linalg import product, solve
from ._spectral import decompose, logarithm, spectral, spectral_value
from ._whitening import cholesky, congruence, left_solve, whiten

_STEPS = 12  # from the start below, five suffice where rounding lets them
_TRACED_STEPS = 6
_DENSE = 8  # up to this n the linear systems of n^2 unknowns are written down ...
_COMPILED_DENSE = 24  # ... in compiled programs, where iterations are unrolled, up to this
_TRACED_TERMS = 64  # for the derivatives; a third of it on the way to the mean


class _Slope(NamedTuple):
    """How the mean of the logarithms changes with M = L L^T, seen from L.

    With L^-1 P_i L^-T = V_i exp(l_i) V_i^T, moving M along eta changes the mean of the logarithms by
    -sum of w_i V_i (c_i * (V_i^T eta V_i)) V_i^T, c_i = h coth h for h half the differences of l_i. This map
    is symmetric, and its eigenvalues lie between 1 and the mean of the largest c_i.
    """

    weights: Tensor  # (..., N, 1, 1)
    V: Tensor  # (..., N, n, n)
    c: Tensor  # (..., N, n, n)

    def __matmul__(self, eta: Tensor) -> Tensor:
        inner = product(product(self.V.mT, eta.unsqueeze(-3)), self.V)
        return (self.weights * product(product(self.V, self.c * inner), self.V.mT)).sum(-3)

    def solve(self, right: Tensor, terms: int = _TRACED_TERMS) -> Tensor:
        """Apply the inverse, linear in the right side for the derivatives too."""
        limit = _COMPILED_DENSE if torch.compiler.is_compiling() else _DENSE
        return self._dense(right) if right.shape[-1] <= limit else self._chebyshev(right, terms)

    def _dense(self, right: Tensor) -> Tensor:
        both = self.V[..., :, None, :, None] * self.V[..., None, :, None, :]
        both = both.flatten(-4, -3).flatten(-2).transpose(-3, -2).flatten(-2)  # (..., n^2, N n^2)
        share = (self.weights * self.c).flatten(-3).unsqueeze(-2)
        flat = right.flatten(-2).unsqueeze(-1)
        return solve(product(both * share, both.mT), flat).reshape(right.shape)

    def _chebyshev(self, right: Tensor, terms: int) -> Tensor:
        top = 1.02 * (self.weights * self.c.amax((-2, -1), keepdim=True)).sum(-3)
        if is_readable(top) and top.numel():
            root = sqrt(min(float(top.amax()), 1e3))
            rate = (root - 1) / (root + 1)
            terms = ceil(log(torch.finfo(top.dtype).eps / 4) / log(rate))
        middle, radius = 0.5 * (top + 1), 0.5 * (top - 1)
        share = radius / middle
        total = step = right / middle
        rest = right
        for _ in range(terms):
            rest = rest - (self @ step)
            following = 1 / (2 * middle / radius - share)
            step = following * share * step + 2 * following / radius * rest
            share, total = following, total + step
        return total


def spd_mean(points: Tensor, weights: Tensor | None, name: str, check: bool) -> Tensor:
    """Compute the M with sum of w_i log(M^-1/2 P_i M^-1/2) = 0.

    Args:
        points: Points P_i, shape (..., N, n, n).
        weights: Weights w_i, shape (..., N), or None.
        name: Name of the manifold.
        check: Whether a mean that was not found is refused.

    Returns:
        The mean, shape (..., n, n); NaN where none was found.

    Raises:
        ValueError: If no mean was found.
    """
    points, weights = normalised_weights(points, weights, 2)
    weights = weights[..., None, None]
    fixed, shares = points.detach(), weights.detach()
    readable = is_readable(points) and is_readable(weights)
    eps = torch.finfo(points.dtype).eps

    M = _start(fixed, shares)
    for _ in range(_STEPS if readable else _TRACED_STEPS):
        L, slope, pull = _look(M, fixed, shares)
        size = pull.square().sum((-2, -1), keepdim=True).sqrt()
        M = congruence(L, spectral_value(EXP, slope.solve(pull, _TRACED_TERMS // 3)))
        if readable and bool((size <= eps**0.5).all()):  # the step just taken squares it
            break
    found = size <= eps ** (1 / 3)
    if check and readable and not bool(found.all()):
        raise ValueError(
            f"points have no mean that Newton's method finds in {name}: rounding hides it. Pass float64, or "
            "points of smaller condition numbers."
        )
    M = torch.where(found, M, torch.nan)
    return _attach(M, points, weights) if differentiates(points) or differentiates(weights) else M


def _start(points: Tensor, weights: Tensor) -> Tensor:
    """The geometric mean of the arithmetic and the harmonic mean: the Karcher mean of two equal weights."""
    L = cholesky((weights * points).sum(-3))
    eye = torch.eye(L.shape[-1], dtype=L.dtype, device=L.device)
    inverse = left_solve(cholesky(whiten(L.unsqueeze(-3), points)), eye)
    d, V = decompose((weights * product(inverse.mT, inverse)).sum(-3))
    return congruence(L, product(V * d.rsqrt().unsqueeze(-2), V.mT))


def _look(M: Tensor, points: Tensor, weights: Tensor) -> tuple[Tensor, _Slope, Tensor]:
    """A factor of M, and the mean of the logarithms of the points seen from there with its derivative."""
    L = cholesky(M)
    d, V = decompose(whiten(L.unsqueeze(-3), points))
    logs = d.log()
    half = 0.5 * (logs.unsqueeze(-1) - logs.unsqueeze(-2))
    same = half == 0
    c = torch.where(same, 1, half / torch.where(same, 1, half).tanh())
    return L, _Slope(weights, V, c), (weights * product(V * logs.unsqueeze(-2), V.mT)).sum(-3)


def _attach(M: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    """Give a mean its first two derivatives by two steps with one linear system, not differentiated."""
    L, slope, _ = _look(M, points.detach(), weights.detach())
    seen = whiten(L.unsqueeze(-3), points)
    eta = slope.solve((weights * logarithm(seen)).sum(-3))
    back = spectral(EXP, -0.5 * eta).unsqueeze(-3)
    eta = eta + slope.solve((weights * logarithm(congruence(back, seen))).sum(-3))
    return congruence(L, spectral(EXP, eta))
