"""Matrix functions behind the generic group operations, right for any matrix group."""

from __future__ import annotations

import torch
from torch import Tensor

from ._constants import Constant
from ._linalg import product, solve

_ROOTS = 5
_FIRST_STEPS = 24  # an eigenvalue next to the negative axis is slow ...
_LATER_STEPS = 9  # ... once: its root is far from it
# Gauss-Legendre rule with 17 nodes u on [-1, 1]: u^2 and twice the weight of the positive ones.
_NODES = Constant([
    0.03185660304424275815, 0.12336375165891972602, 0.26285158681802021521, 0.43253135366542581529,
    0.61076413828680972465, 0.77482096775400031898, 0.90378394769031882545, 0.98123977229438382837,
])  # fmt: skip
_WEIGHTS = Constant([
    0.35312541073398529265, 0.33600820431290008902, 0.30809152215362057616, 0.27027273693705094657,
    0.22376769438680794219, 0.17007229663435836177, 0.11091905874797440226, 0.04829660573709586392,
])  # fmt: skip
_CENTRE = 0.17944647035620652546
_REACH = 0.6  # the rule is right to rounding for |Z| up to this: its error is below 3^-34


def nowhere(mask: Tensor) -> bool:
    """Tell whether a mask is false everywhere, in all lanes of a transform, where that can be told.

    Args:
        mask: Any shape.

    Returns:
        True when no entry is true; False where values cannot be read, as in ``torch.compile``.
    """
    if torch.compiler.is_compiling():
        return False
    while torch._C._functorch.is_functorch_wrapped_tensor(mask):
        mask = torch._C._functorch.get_unwrapped(mask)
    return type(mask) is Tensor and mask.device.type != "meta" and not bool(mask.any())


def _eye(matrix: Tensor) -> Tensor:
    return torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


def _exceeds(matrix: Tensor, bound: Tensor) -> Tensor:
    """Whether an entry of a matrix is larger than that of another, or not a number, shape (..., 1, 1)."""
    return ~(matrix.abs() <= bound).all(-1, keepdim=True).all(-2, keepdim=True)


def settled(before: Tensor, after: Tensor, tolerance: float) -> bool:
    """Tell whether an iteration has converged, if that can be told where it runs.

    Args:
        before: Matrices before the step, shape (..., n, n).
        after: Matrices after the step.
        tolerance: Largest change, relative to the other entries of the row or column, that counts as none.

    Returns:
        True when no matrix changed; False where values cannot be read, as in ``torch.compile``.
    """
    if torch.compiler.is_compiling():
        return False
    before, after = before.detach(), after.detach()
    size = after.abs()
    scale = torch.minimum(size.amax(-1, keepdim=True), size.amax(-2, keepdim=True))
    return nowhere(_exceeds(after - before, tolerance * scale))


def exponential(matrix: Tensor) -> Tensor:
    """Compute the matrix exponential.

    Args:
        matrix: Shape (..., n, n).

    Returns:
        The exponential, shape (..., n, n).
    """
    if matrix[..., 0, 0].numel() != 1:
        return torch.linalg.matrix_exp(matrix)
    # For one matrix alone, torch up to 2.14 has a wrong coefficient (pytorch issue 196592): 1e-5 in float32.
    return torch.linalg.matrix_exp(torch.stack((matrix, torch.zeros_like(matrix))))[0]


def square_root(matrix: Tensor, steps: int = _FIRST_STEPS) -> Tensor:
    """Compute the principal square root by the Denman-Beavers iteration.

    Args:
        matrix: No eigenvalue on the closed negative axis, shape (..., n, n).
        steps: Largest number of iterations.

    Returns:
        The root, shape (..., n, n), differentiable; NaN where it was not found to half the digits at least.
    """
    tolerance = torch.finfo(matrix.dtype).eps ** 0.5  # quadratic: the change squared is below rounding
    both = torch.stack((matrix, _eye(matrix).expand_as(matrix)))  # tends to the root and its inverse
    for _ in range(steps):
        moved = 0.5 * (both + torch.linalg.inv_ex(both)[0].flip(0))
        ready = settled(both, moved, tolerance)
        both = moved
        if ready:
            break
    root, value = both[0], both[0].detach()
    defect = product(value, value) - matrix.detach()
    wrong = _exceeds(defect, tolerance * product(value.abs(), value.abs()))
    return torch.where(wrong, torch.nan, root)


def logarithm(matrix: Tensor) -> Tensor:
    """Compute the principal logarithm by inverse scaling and squaring.

    With Z = (X - I)(X + I)^-1, log X = 2 artanh Z = integral of Z (I + u Z)^-1 for u from -1 to 1, by a Gauss
    rule once square roots have made Z small (Higham, Functions of Matrices, 2008, sections 11.4 and 11.5).

    Args:
        matrix: No eigenvalue on the closed negative axis, shape (..., n, n).

    Returns:
        The logarithm, shape (..., n, n), differentiable; NaN where none was found.
    """
    eye = _eye(matrix)
    near = matrix
    scale = torch.ones_like(matrix[..., :1, :1])
    for k in range(_ROOTS + 1):
        z = solve(near + eye, near - eye)
        square = product(z, z)
        far = ~(_reach(square) <= _REACH)
        if k == _ROOTS or nowhere(far):
            break
        root = square_root(torch.where(far, near, eye), _LATER_STEPS if k else _FIRST_STEPS)
        near = torch.where(far, root, near)
        scale = torch.where(far, 2 * scale, scale)
    nodes, weights = (c(matrix).unsqueeze(-1).unsqueeze(-1) for c in (_NODES, _WEIGHTS))
    systems = eye - nodes * square.unsqueeze(-3)
    terms = solve(systems, z.unsqueeze(-3).expand_as(systems))
    total = _CENTRE * z + (weights * terms).sum(-3)
    return torch.where(far, torch.nan, scale * total)


def _reach(square: Tensor) -> Tensor:
    """|Z^16|^(1/16): near the spectral radius, so that nilpotent parts, as translations, hardly count."""
    power = square.detach()
    for _ in range(3):
        power = product(power, power)
    return torch.linalg.matrix_norm(power, keepdim=True) ** (1 / 16)


def cayley(matrix: Tensor) -> Tensor:
    """Compute (I - U/2)^-1 (I + U/2).

    Args:
        matrix: The matrix U, shape (..., n, n).

    Returns:
        The Cayley transform, shape (..., n, n).
    """
    eye, half = _eye(matrix), 0.5 * matrix
    return solve(eye - half, eye + half)


def cayley_inverse(matrix: Tensor) -> Tensor:
    """Compute 2 (M - I) (M + I)^-1.

    Args:
        matrix: The matrix M, without eigenvalue -1, shape (..., n, n).

    Returns:
        The matrix U with Cayley transform M, shape (..., n, n).
    """
    eye = _eye(matrix)
    return 2 * solve(matrix + eye, matrix - eye)
