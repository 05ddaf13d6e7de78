r"""Coefficient functions of Sim(3), exact to rounding in value and derivatives at every scale and angle.

With P = sigma I + hat(phi), x = |phi|^2 and A, B, C the coefficients of SO(3),

    V = integral over [0, 1] of exp(s P) ds = a I + b hat(phi) + c hat(phi)^2
    a = integral of e^(s sigma) ds,  b = integral of s A(s^2 x) e^(s sigma) ds,
    c = integral of s^2 B(s^2 x) e^(s sigma) ds

takes the vector part of a tangent to the translation. The closed forms divide by sigma^2 + x and lose all
digits where that is small. There the integrals are summed by Gauss's rule of 12 nodes, whose error is below
1e-19: the integrands are entire and, for angles up to pi, positive, so that nothing cancels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from . import _scalar
from ._constants import Constant
from ._linalg import product

_HALF_NODES = (
    0.981560634246719251, 0.904117256370474857, 0.769902674194304687,
    0.587317954286617447, 0.367831498998180194, 0.125233408511468915,
)  # fmt: skip
_HALF_WEIGHTS = (
    0.0471753363865118272, 0.106939325995318431, 0.160078328543346226,
    0.203167426723065922, 0.233492536538354809, 0.249147045813402785,
)  # fmt: skip
_NODES = Constant([0.5 - 0.5 * x for x in _HALF_NODES] + [0.5 + 0.5 * x for x in reversed(_HALF_NODES)] + [1])
_WEIGHTS = Constant([0.5 * w for w in (*_HALF_WEIGHTS, *reversed(_HALF_WEIGHTS))] + [0])
RADIUS = 3.0


class Translation(NamedTuple):
    """Coefficients, each (..., 1), of the rotation I + A hat(phi) + B hat(phi)^2 and of V."""

    A: Tensor
    B: Tensor
    a: Tensor
    b: Tensor
    c: Tensor


def _bounded(sigma: Tensor) -> Tensor:
    return sigma.clamp(-RADIUS, RADIUS)


def _mean_exponential(sigma: Tensor, summed: Tensor) -> Tensor:
    """(e^sigma - 1) / sigma, given its value by quadrature where sigma is small."""
    small = sigma.abs() < RADIUS
    far = torch.where(small, RADIUS, sigma)
    return torch.where(small, summed, far.expm1() / far)


def second_exponential(sigma: Tensor, first: Tensor, summed: Tensor) -> Tensor:
    """Evaluate (e^sigma - 1 - sigma) / sigma^2.

    Args:
        sigma: Argument, shape (..., 1).
        first: (e^sigma - 1) / sigma.
        summed: The value by quadrature, right where sigma is small.

    Returns:
        The value, shape (..., 1).
    """
    small = sigma.abs() < RADIUS
    return torch.where(small, summed, (first - 1) / torch.where(small, RADIUS, sigma))


def translation(sigma: Tensor, x: Tensor) -> Translation:
    """Evaluate the coefficients of the exponential.

    Args:
        sigma: Logarithm of the scale, shape (..., 1).
        x: Squared angle, shape (..., 1).

    Returns:
        A, B, a, b and c.
    """
    s = _NODES(x)
    big_a, big_b = (part.squeeze(-1) for part in _scalar.ab((s * s * x).unsqueeze(-1)))
    weight = _WEIGHTS(x) * (s * _bounded(sigma)).exp()
    moment = weight * s
    near = (
        weight.sum(-1, keepdim=True),
        (moment * big_a).sum(-1, keepdim=True),
        (moment * s * big_b).sum(-1, keepdim=True),
    )
    big_a, big_b = big_a[..., -1:], big_b[..., -1:]
    a = _mean_exponential(sigma, near[0])
    square = sigma * sigma + x
    small = square < RADIUS**2
    divisor = torch.where(small, 1, square)
    growth = sigma.exp()
    b = (growth * (sigma * big_a + x * big_b) - sigma.expm1()) / divisor
    c = (a + growth * (sigma * big_b - big_a)) / divisor
    return Translation(big_a, big_b, a, torch.where(small, near[1], b), torch.where(small, near[2], c))


def translation_inverse(sigma: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Evaluate the coefficients of V^-1 = first I + second hat(phi) + third hat(phi)^2.

    Args:
        sigma: Logarithm of the scale, shape (..., 1).
        x: Squared angle, shape (..., 1), below (2 pi)^2.

    Returns:
        The three coefficients, each (..., 1).
    """
    _, _, a, b, c = translation(sigma, x)
    across = a - c * x
    size = across * across + b * b * x  # the square of the stretch of V across the axis
    return 1 / a, -b / size, (b * b - c * across) / (a * size)


def jacobian_moments(sigma: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate by quadrature what the left Jacobian needs for small sigma and angle.

    Its corner is Q = integral over v of e^(v sigma) hat(R(v phi) rho) (integral over s > v of R(s phi)), and
    its last column -integral of (1 - v) e^(v sigma) R(v phi) rho.

    Args:
        sigma: Logarithm of the scale, shape (..., 1).
        x: Squared angle, shape (..., 1).

    Returns:
        The table q_ij, shape (..., 3, 3), in Q = sum of q_ij hat(hat(phi)^i rho) hat(phi)^j, and the
        coefficients (..., 3) of rho, phi x rho and phi x (phi x rho) in the column, without its sign.
    """
    s = _NODES(x)
    square = s * s
    a, b, c = (part.squeeze(-1) for part in _scalar.abc((square * x).unsqueeze(-1)))
    turned = torch.stack((torch.ones_like(a), s * a, square * b), -1)
    rest = torch.stack(((1 - s).expand_as(a), b[..., -1:] - square * b, c[..., -1:] - square * s * c), -1)
    weighted = (_WEIGHTS(x) * (s * _bounded(sigma)).exp()).unsqueeze(-1) * turned
    return product(weighted.mT, rest), (weighted * rest[..., :1]).sum(-2)
