"""The blocks of the left Jacobian of Sim(3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from . import _rotation, _scalar, _similarity
from ._linalg import apply, product


class Blocks(NamedTuple):
    """V, J, Q, shape (..., 3, 3), and w, shape (..., 3, 1), of J_l = [[V, Q, w], [0, J, 0], [0, 0, 1]]."""

    stretch: Tensor
    turn: Tensor
    corner: Tensor
    column: Tensor


def blocks(xi: Tensor) -> Blocks:
    """Compute the blocks of the left Jacobian.

    With P = sigma I + hat(phi) and rho' = P^-1 rho they are Q = V hat(rho') - hat(rho') J and
    w = (I - V) rho'. Where P is small the integrals behind these are summed by quadrature. Elsewhere the
    part of rho' along the axis, which is divided by sigma, is taken together with V - J, which vanishes with
    sigma.

    Args:
        xi: Tangent coordinates (rho, phi, sigma), shape (..., 7).

    Returns:
        V, J, Q and w.
    """
    rho, phi, sigma = xi.split((3, 3, 1), -1)
    x = _scalar.squared_norm(phi)
    square = sigma * sigma + x
    small = square < _similarity.RADIUS**2
    divisor = torch.where(small, 1, square)
    v = _similarity.translation(sigma, x)
    stretch = v.a.unsqueeze(-1) * _rotation.quadratic(phi, v.b / v.a, v.c / v.a)
    _, big_b, big_c = _scalar.abc(x)
    turn = _rotation.quadratic(phi, big_b, big_c)
    table, moments = _similarity.jacobian_moments(sigma, x)

    once = torch.linalg.cross(phi, rho)
    vectors = torch.stack((rho, once, torch.linalg.cross(phi, once)), -2)
    hat, eye = _rotation.hat(phi), torch.eye(3, dtype=xi.dtype, device=xi.device)
    first, second, third = _rotation.hat(product(table.mT, vectors)).unbind(-3)
    near = first + product(second + product(third, hat), hat)

    inner = _rotation.hat((sigma * rho - once) / divisor)
    real, imaginary = v.a * (1 - x * v.B) - v.A, v.a * v.A - v.B
    along = (phi * rho).sum(-1, keepdim=True) / (divisor * divisor)
    odd, even = along * (sigma * real + x * imaginary), along * (sigma * imaginary - real)
    parallel = product(odd.unsqueeze(-1) * eye + even.unsqueeze(-1) * hat, hat)
    far = product(stretch, inner) - product(inner, turn) + parallel
    corner = torch.where(small.unsqueeze(-1), near, far)

    growth = _similarity.second_exponential(sigma, v.a, moments[..., :1])
    coefficients = torch.cat(
        (
            growth,
            (sigma * v.b - v.a + 1 + v.c * x) / divisor,
            (growth + v.c * sigma - v.b) / divisor,
        ),
        -1,
    )
    coefficients = torch.where(small, moments, coefficients)
    column = -apply(vectors.mT, coefficients).unsqueeze(-1)
    return Blocks(stretch, turn, corner, column)
