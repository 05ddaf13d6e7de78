r"""Geodesics of Stiefel manifolds in p by p matrices, and the geodesic through two frames.

With the metric weight |A|^2 + |B|^2 on tangents V = X A + B, X^T B = 0 (weight 1: Euclidean, 1/2: canonical),

    exp(X, V) = X G + B F,   [G, F] = the left half of exp [[2 weight A, -K], [I, 0]] exp((1 - 2 weight) A),

depends on A and K = B^T B alone (Edelman, Arias and Smith 1998, equations 2.42 and 2.45; Zimmermann and
Hueper 2022, Computing the Riemannian logarithm on the Stiefel manifold, section 3). No QR decomposition is
needed, and everything is entire in A and K. The logarithm of Y solves G(A, K) = X^T Y, as many equations as
unknowns; then B = (Y - X X^T Y) F^-1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._generic import exponential, nowhere
from ._linalg import product, solve
from ._spectral import symmetrised

_STEPS = 40
_TRACED_STEPS = 16
_LONGEST_STEP = 1.25  # longer Newton steps leave the basin of the shortest geodesic
_LAST_STEPS = 3  # each makes one order of derivative more right


def coefficients(A: Tensor, K: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Compute G and F with exp(X, X A + B) = X G + B F.

    Args:
        A: Skew, shape (..., p, p).
        K: B^T B, shape (..., p, p).
        weight: Weight of A in the metric.

    Returns:
        G and F, each (..., p, p).
    """
    p = K.shape[-1]
    # Scaling B to length 1 balances the blocks, which keeps the digits of long geodesics.
    length = K.detach().abs().amax((-2, -1), keepdim=True).sqrt().clamp_min(1)
    eye = length * torch.eye(p, dtype=K.dtype, device=K.device)
    left, right = torch.broadcast_tensors(2 * weight * A, K / length)
    top = torch.cat((left, -right), -1)
    bottom = torch.cat((eye.expand_as(left), torch.zeros_like(left)), -1)
    columns = exponential(torch.cat((top, bottom), -2))[..., :p]
    if weight != 0.5:
        columns = product(columns, exponential((1 - 2 * weight) * A))
    return columns[..., :p, :], columns[..., p:, :] / length


def logarithm(x: Tensor, y: Tensor, weight: float) -> Tensor:
    """Compute the velocity V at x with exp(x, V) = y by Newton's method from V = 0.

    The unknown is Z = A + K, its skew and symmetric parts. The Newton iteration is not differentiated; chord
    steps after it carry the derivatives up to the third. Steps are kept short: from zero they then find the
    shortest geodesic.

    Args:
        x: Frames, shape (..., n, p).
        y: Frames, shape (..., n, p).
        weight: Weight of A in the metric.

    Returns:
        Tangent vectors at x, shape (..., n, p); NaN where none was found to half the digits at least.
    """
    target = product(x.mT, y)
    p = target.shape[-1]
    value = target.detach()
    Z = torch.zeros_like(value)
    tolerance = torch.finfo(value.dtype).eps ** 0.5
    inverse = torch.zeros_like(value)
    for _ in range(_TRACED_STEPS if torch.compiler.is_compiling() else _STEPS):
        reached, slope = _value_and_slope(Z, weight)
        inverse = torch.linalg.inv_ex(slope)[0]
        step = _apply(inverse, value - reached)
        size = torch.linalg.matrix_norm(step, keepdim=True)
        Z = Z + step * (_LONGEST_STEP / size.clamp_min(_LONGEST_STEP))
        if nowhere(size > tolerance):
            break
    defect = Z
    for _ in range(_LAST_STEPS):
        defect = target - coefficients(_skew(Z), symmetrised(Z), weight)[0]
        Z = Z + _apply(inverse, defect)
    A, K = _skew(Z), symmetrised(Z)
    F = coefficients(A, K, weight)[1]
    apart = y - x
    normal = apart - product(x, product(x.mT, apart))
    spread = solve(F, torch.eye(p, dtype=F.dtype, device=F.device).expand_as(F))
    rounding = torch.finfo(F.dtype).eps * _largest(inverse) * _largest(spread)
    found = torch.maximum(_largest(defect), rounding) <= tolerance
    return torch.where(found, product(x, A) + product(normal, spread), torch.nan)


def _value_and_slope(Z: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """G at A = skew Z, K = sym Z, shape (..., p, p), and its derivative, shape (..., p^2, p^2)."""
    p = Z.shape[-1]
    A, K = _skew(Z).unsqueeze(-3), symmetrised(Z).unsqueeze(-3)
    units = torch.eye(p * p, dtype=Z.dtype, device=Z.device).reshape(p * p, p, p)
    dA, dK = _skew(units), symmetrised(units)
    eye = torch.eye(p, dtype=Z.dtype, device=Z.device)
    generator = torch.cat(
        (torch.cat((2 * weight * A, -K), -1), torch.cat((eye.expand_as(A), torch.zeros_like(A)), -1)), -2
    )
    direction = torch.nn.functional.pad(torch.cat((2 * weight * dA, -dK), -1), (0, 0, 0, p))
    E, dE = (part[..., :p, :p] for part in _derivative(generator, direction))
    if weight != 0.5:
        R, dR = _derivative((1 - 2 * weight) * A, (1 - 2 * weight) * dA)
        E, dE = product(E, R), product(dE, R) + product(E, dR)
    return E[..., 0, :, :], dE.flatten(-2).mT


def _derivative(generator: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Exponential of (..., 1, m, m) matrices and its derivatives along (k, m, m), blocks of a larger one."""
    m = generator.shape[-1]
    direction = direction.expand(*generator.shape[:-3], *direction.shape)
    generator = generator.expand_as(direction)
    top = torch.cat((generator, direction), -1)
    both = exponential(torch.cat((top, torch.cat((torch.zeros_like(generator), generator), -1)), -2))
    return both[..., :m, :m], both[..., :m, m:]


def _apply(inverse: Tensor, matrix: Tensor) -> Tensor:
    """Apply a (..., p^2, p^2) matrix to the entries of a (..., p, p) one."""
    return product(inverse, matrix.flatten(-2).unsqueeze(-1)).reshape(matrix.shape)


def _skew(matrix: Tensor) -> Tensor:
    return 0.5 * (matrix - matrix.mT)


def _largest(matrix: Tensor) -> Tensor:
    return matrix.detach().abs().amax((-2, -1), keepdim=True)
