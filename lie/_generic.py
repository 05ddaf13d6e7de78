"""Matrix functions behind the generic group operations: slow, and right for any matrix group."""

from __future__ import annotations

import torch
from torch import Tensor

from ._constants import is_plain

_SQUARE_ROOTS = 12
_NEWTON_STEPS = 24  # an eigenvalue next to the negative axis is slow ...
_LATER_STEPS = 14  # ... once: its root is far from it
# 2 atanh(z) / z as a series in z^2. With |X - I| < 1/4, |z| < 1/7.
_ATANH = tuple(2 / (2 * k + 1) for k in range(11))


def _nowhere(mask: Tensor) -> bool:
    """Whether a mask is false everywhere, where that may be asked without a break of the graph."""
    return not torch.compiler.is_compiling() and is_plain(mask) and not bool(mask.any())


def _eye(matrix: Tensor) -> Tensor:
    return torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).detach().abs().amax((-2, -1), keepdim=True)


def square_root(matrix: Tensor, steps: int = _NEWTON_STEPS) -> Tensor:
    """Compute the principal square root by the product form of the Denman-Beavers iteration.

    Args:
        matrix: No eigenvalue on the closed negative axis, shape (..., n, n).
        steps: Largest number of iterations.

    Returns:
        The root, shape (..., n, n); NaN where the iteration did not converge.
    """
    eye = _eye(matrix)
    error = matrix
    root = matrix
    tolerance = 1e-6 if matrix.dtype == torch.float64 else 1e-3  # quadratic: the next step reaches rounding
    active = torch.ones_like(matrix[..., :1, :1], dtype=torch.bool)
    for _ in range(steps):
        inverse = torch.linalg.inv_ex(error)[0]
        root = torch.where(active, 0.5 * (root + root @ inverse), root)
        moved = 0.5 * (eye + 0.5 * (error + inverse))
        active = active & (_distance(error, eye) > tolerance)
        error = moved
        if _nowhere(active):
            break
    return torch.where(active, torch.nan, root)


def logarithm(matrix: Tensor) -> Tensor:
    """Compute the principal logarithm by inverse scaling and squaring.

    Args:
        matrix: No eigenvalue on the closed negative axis, shape (..., n, n).

    Returns:
        The logarithm, shape (..., n, n); NaN where none was found.
    """
    eye = _eye(matrix)
    near = matrix
    scale = torch.ones_like(matrix[..., :1, :1])
    for k in range(_SQUARE_ROOTS):
        far = (near - eye).detach().norm(dim=(-2, -1), keepdim=True) > 0.25
        if _nowhere(far):
            break
        near = torch.where(
            far, square_root(torch.where(far, near, eye), _NEWTON_STEPS if k == 0 else _LATER_STEPS), near
        )
        scale = torch.where(far, 2 * scale, scale)
    far = (near - eye).detach().norm(dim=(-2, -1), keepdim=True) > 0.25
    z = torch.linalg.solve_ex(near + eye, near - eye)[0]
    z2 = z @ z
    total = _ATANH[-1] * eye
    for coefficient in _ATANH[-2::-1]:
        total = total @ z2 + coefficient * eye
    return torch.where(far, torch.nan, scale * (z @ total))


def phi1(matrix: Tensor) -> Tensor:
    """Compute (exp(M) - I) / M = sum of M^k / (k + 1)! as a block of one matrix exponential.

    Args:
        matrix: Shape (..., n, n).

    Returns:
        The sum, shape (..., n, n).
    """
    n = matrix.shape[-1]
    top = torch.cat((matrix, _eye(matrix).expand_as(matrix)), -1)
    return torch.linalg.matrix_exp(torch.cat((top, torch.zeros_like(top)), -2))[..., :n, n:]


def cayley(matrix: Tensor) -> Tensor:
    """Compute (I - U/2)^-1 (I + U/2).

    Args:
        matrix: The matrix U, shape (..., n, n).

    Returns:
        The Cayley transform, shape (..., n, n).
    """
    eye, half = _eye(matrix), 0.5 * matrix
    return torch.linalg.solve_ex(eye - half, eye + half)[0]


def cayley_inverse(matrix: Tensor) -> Tensor:
    """Compute 2 (M - I) (M + I)^-1.

    Args:
        matrix: The matrix M, without eigenvalue -1, shape (..., n, n).

    Returns:
        The matrix U with Cayley transform M, shape (..., n, n).
    """
    eye = _eye(matrix)
    return 2 * torch.linalg.solve_ex(matrix + eye, matrix - eye)[0]
