"""The principal logarithm of rotations of any dimension, right to rounding up to half turns."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._generic import exponential
from ._linalg import product


def rotation_logarithm(rotation: Tensor) -> Tensor:
    """Compute the skew matrix of angles below pi whose exponential is a rotation.

    The singular value decomposition of the inverse Cayley transform, a skew matrix with the tangents of the
    half angles as singular values, gives the logarithm, but for the digits lost next to half turns, and the
    basis in which the derivative of exp is diagonal. It is not differentiated. Chord steps on
    exp(-Y/2) R exp(-Y/2) = I restore the digits and carry the derivatives up to the third: they are right at
    equal angles, too.

    Args:
        rotation: Matrices, shape (..., n, n).

    Returns:
        Skew matrices, shape (..., n, n); NaN where -1 is an eigenvalue up to rounding.
    """
    value = rotation.detach()
    n = value.shape[-1]
    eye = torch.eye(n, dtype=value.dtype, device=value.device)
    half = torch.linalg.solve_ex(value + eye, value - eye)[0]
    inside = torch.linalg.matrix_norm(half, keepdim=True) < 0.25 / (n * torch.finfo(value.dtype).eps)
    left, tangents, right = torch.linalg.svd(_skew(torch.where(inside, half, 0)))
    angles = 2 * tangents.atan().unsqueeze(-2)
    correction = _InverseDerivative(left, angles, right)
    sine, cosine = (0.5 * angles).sin(), (0.5 * angles).cos()
    back = product(right.mT * cosine - left * sine, right)  # exp(-Y/2)
    log = _skew(product(left * angles, right))
    log = log + correction(product(product(back, rotation), back))
    for _ in range(2):
        back = exponential(-0.5 * log)
        log = log + correction(product(product(back, rotation), back))
    return torch.where(inside, log, torch.nan)


class _InverseDerivative:
    """The map (ad Y / 2) / sinh(ad Y / 2) for skew Y = left diag(angles) right.

    On a plane pair of angles a and b, ad Y has the eigenvalues i (a - b), on matrices that commute with the
    quarter turns K of the planes, and i (a + b), on those that anticommute: (E -+ K E K) / 2.
    """

    def __init__(self, left: Tensor, angles: Tensor, right: Tensor) -> None:
        apart = _growth(angles - angles.mT)
        along = _growth(angles + angles.mT)
        self._mean, self._gap = 0.5 * (along + apart), 0.5 * (along - apart)
        self._right = right
        self._quarter = product(right, left)  # K in the basis of the planes

    def __call__(self, matrix: Tensor) -> Tensor:
        E = product(product(self._right, _skew(matrix)), self._right.mT)
        mirrored = product(product(self._quarter, E), self._quarter)
        return _skew(product(product(self._right.mT, self._mean * E + self._gap * mirrored), self._right))


def _skew(matrix: Tensor) -> Tensor:
    return 0.5 * (matrix - matrix.mT)


def _growth(angle: Tensor) -> Tensor:
    """(a/2) / sin(a/2)."""
    return 1 / torch.sinc(angle / (2 * math.pi))
