"""Small products that keep the accuracy of their dtype, and promotion of mixed dtypes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_SUMMED_TERMS = 64


def _reduced_precision() -> bool:
    return torch.compiler.is_compiling() or torch.get_float32_matmul_precision() != "highest"


def _autocasts(x: Tensor) -> bool:
    if not torch._C._is_any_autocast_enabled():
        return False
    return x.device.type != "meta" and torch.is_autocast_enabled(x.device.type)


def promote(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Bring two tensors to their common dtype.

    Args:
        a: First tensor.
        b: Second tensor.

    Returns:
        Both, in the dtype that ``torch.result_type`` gives.
    """
    if a.dtype == b.dtype:
        return a, b
    dtype = torch.promote_types(a.dtype, b.dtype)
    return a.to(dtype), b.to(dtype)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply matrices in the full precision of their dtype.

    Autocast and reduced float32 matrix products (TF32, bfloat16) would leave three digits of a rotation.
    The way around the latter takes memory of the third power, so float32 products of more than 64 terms obey
    ``torch.set_float32_matmul_precision``.

    Args:
        a: Shape (..., n, k).
        b: Shape (..., k, m).

    Returns:
        The product, shape (..., n, m).
    """
    if a.dtype != b.dtype:
        a, b = promote(a, b)
    if a.dtype == torch.float32 and a.shape[-1] <= _SUMMED_TERMS and _reduced_precision():
        return (a.unsqueeze(-1) * b.unsqueeze(-3)).sum(-2)
    if _autocasts(a):
        return wide_product(a, b)
    return a @ b


def wide_product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply matrices that may be large.

    Autocast does not reach the product; in float32 it obeys ``torch.set_float32_matmul_precision``.

    Args:
        a: Shape (..., n, k).
        b: Shape (..., k, m).

    Returns:
        The product, shape (..., n, m).
    """
    if a.dtype != b.dtype:
        a, b = promote(a, b)
    if _autocasts(a):
        with torch.autocast(a.device.type, enabled=False):
            return a @ b
    return a @ b


def apply(a: Tensor, x: Tensor) -> Tensor:
    """Multiply a vector by a matrix in the full precision of their dtype.

    Args:
        a: Matrix, shape (..., n, k).
        x: Vector, shape (..., k).

    Returns:
        The vector a x, shape (..., n).
    """
    return product(a, x.unsqueeze(-1)).squeeze(-1)


def transform(a: Tensor, x: Tensor, b: Tensor) -> Tensor:
    """Evaluate a x + b in the full precision of the dtype.

    Args:
        a: Matrix, shape (..., n, k).
        x: Vector, shape (..., k).
        b: Vector, shape (..., n), the leading dimensions of a.

    Returns:
        The vector, shape (..., n).
    """
    full = a.dtype == torch.float64 or not _reduced_precision()
    if full and a.dtype == x.dtype == b.dtype and not _autocasts(a):
        if a.ndim == 2:
            return F.linear(x, a, b)
        if a.ndim == 3 and x.shape[:-1] == a.shape[:-2]:
            return torch.baddbmm(b.unsqueeze(-1), a, x.unsqueeze(-1)).squeeze(-1)
    return apply(a, x) + b


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Evaluate a constant affine map in the full precision of its dtype.

    Args:
        x: Vector, shape (..., k).
        weight: Matrix, shape (n, k).
        bias: Offset, shape (n,).

    Returns:
        The vector weight x + bias, shape (..., n).
    """
    if x.dtype == torch.float32 and _reduced_precision():
        y = (x.unsqueeze(-2) * weight).sum(-1)
        return y if bias is None else y + bias
    if _autocasts(x):
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x, weight, bias)
    return F.linear(x, weight, bias)


def addmm(bias: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Evaluate bias + a b for two matrices in the full precision of their dtype.

    Args:
        bias: Shape (n, m) or one that broadcasts to it.
        a: Shape (n, k).
        b: Shape (k, m).

    Returns:
        The sum, shape (n, m).
    """
    if a.dtype == torch.float32 and _reduced_precision():
        return bias + (a.unsqueeze(-1) * b).sum(-2)
    if _autocasts(a):
        with torch.autocast(a.device.type, enabled=False):
            return torch.addmm(bias, a, b)
    return torch.addmm(bias, a, b)


def add_product(c: Tensor, a: Tensor, b: Tensor, factor: float = 1.0) -> Tensor:
    """Compute c + factor a b in the full precision of the dtype.

    Args:
        c: Shape (..., n, m).
        a: Shape (..., n, k).
        b: Shape (..., k, m).
        factor: A number.

    Returns:
        The sum, shape (..., n, m).
    """
    if _autocasts(a):
        with torch.autocast(a.device.type, enabled=False):
            return add_product(c, a, b, factor)
    same = a.dtype == b.dtype == c.dtype and c.ndim == a.ndim == b.ndim
    if same and not (a.dtype == torch.float32 and _reduced_precision()):
        if a.ndim == 2:
            return torch.addmm(c, a, b, alpha=factor)
        if a.ndim == 3 and a.shape[0] == b.shape[0] == c.shape[0]:
            return torch.baddbmm(c, a, b, alpha=factor)
    return torch.add(c, product(a, b), alpha=factor)


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Compute the cross product, leading dimensions broadcast.

    Args:
        a: Vector, shape (..., 3).
        b: Vector, shape (..., 3).

    Returns:
        The product, shape (..., 3).
    """
    a, b = promote(a, b)
    if a.ndim != b.ndim:
        a, b = torch.broadcast_tensors(a, b)
    return torch.linalg.cross(a, b)


def block_diagonal(blocks: Sequence[Tensor]) -> Tensor:
    """Set square matrices on the diagonal of one that is zero elsewhere.

    Args:
        blocks: Matrices (..., n_i, n_i) of equal leading dimensions, one or more.

    Returns:
        The matrix, shape (..., n, n), n the sum of the n_i.
    """
    size = sum(block.shape[-1] for block in blocks)
    rows, start = [], 0
    for block in blocks:
        stop = start + block.shape[-1]
        rows.append(F.pad(block, (start, size - stop)))
        start = stop
    return torch.cat(rows, -2)


def repeated_diagonal(blocks: Tensor) -> Tensor:
    """Set N matrices of equal size on the diagonal of one that is zero elsewhere.

    Args:
        blocks: Matrices, shape (..., N, n, n).

    Returns:
        The matrix, shape (..., N n, N n).
    """
    spread = torch.diag_embed(blocks.movedim(-3, -1), dim1=-4, dim2=-2)
    return spread.flatten(-4, -3).flatten(-2)


def solve(a: Tensor, b: Tensor) -> Tensor:
    """Solve a x = b by the inverse and one step of refinement, as accurate as elimination.

    ``torch.linalg.solve``, ``det`` and what else keeps LU factors have wrong forward derivatives under nested
    ``vmap``, as in ``vmap(hessian(f))``, up to torch 2.13 at least; those of the inverse are right.

    Args:
        a: Matrix, shape (..., n, n).
        b: Right sides, shape (..., n, k).

    Returns:
        The solution, shape (..., n, k); not finite where a pivot vanishes.
    """
    inverse = torch.linalg.inv_ex(a)[0]
    x = product(inverse, b)
    return x + product(inverse, b - product(a, x))


def determinant(a: Tensor) -> Tensor:
    """Compute the determinant with derivatives up to the third that hold under nested ``vmap``.

    For n > 3 it is det(a_0) det(a_0^-1 a), a_0 the value of a: the second factor is 1 and its expansion about
    the identity differentiates; not so at singular matrices. See ``solve`` for what is wrong with torch's.

    Args:
        a: Matrix, shape (..., n, n) with n >= 2.

    Returns:
        The determinant, shape (...).
    """
    n = a.shape[-1]
    if n == 2:
        return a[..., 0, 0] * a[..., 1, 1] - a[..., 0, 1] * a[..., 1, 0]
    if n == 3:
        return (a[..., 0, :] * torch.linalg.cross(a[..., 1, :], a[..., 2, :])).sum(-1)
    value = a.detach()
    off = product(torch.linalg.inv_ex(value)[0], a) - torch.eye(n, dtype=a.dtype, device=a.device)
    square = product(off, off)
    one, two, three = (m.diagonal(dim1=-2, dim2=-1).sum(-1) for m in (off, square, product(square, off)))
    change = one + 0.5 * (one * one - two) + (one**3 - 3 * one * two + 2 * three) / 6
    size = torch.linalg.det(value)
    return torch.where(torch.isfinite(change), size * (1 + change), size)
