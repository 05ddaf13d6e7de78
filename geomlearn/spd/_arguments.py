"""Refusals of data and options, in the words of the caller's argument."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lie import StructuredFactor, StructuredSPD, structured_factor


def float_tensor(x: ArrayLike | Tensor, name: str) -> Tensor:
    """Make a tensor of finite numbers: float32 tensors and arrays stay so, everything else becomes float64.

    Args:
        x: Numbers.
        name: Name of the argument.

    Returns:
        The tensor, detached.

    Raises:
        TypeError: If x is not made of real numbers.
        ValueError: If one is NaN or infinite.
    """
    try:
        made = x.detach() if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected an array of real numbers, got {type(x).__name__}") from error
    if made.is_complex():
        raise TypeError(f"{name}: expected real numbers, got {made.dtype}")
    made = made if made.dtype == torch.float32 else made.double()
    bad = ~torch.isfinite(made)
    if bool(bad.any()):
        place = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"{name}: expected finite numbers, got {float(made[place])} at {list(place)}"
            f" ({int(bad.sum())} such entries); drop or fill in those rows first"
        )
    return made


def sample_matrix(x: ArrayLike | Tensor, name: str, least: int = 2) -> Tensor:
    """Make a matrix with a sample in every row.

    Args:
        x: Numbers, shape (samples, n).
        name: Name of the argument.
        least: Least number of samples.

    Returns:
        The matrix.

    Raises:
        ValueError: If the shape is another, there are fewer samples, or a number is not finite.
    """
    made = float_tensor(x, name)
    if made.ndim != 2 or made.shape[1] == 0:
        raise ValueError(
            f"{name}: expected shape (samples, n), a sample in every row, got {tuple(made.shape)}"
        )
    if len(made) < least:
        raise ValueError(f"{name}: expected {least} samples or more, got {len(made)}")
    return made


def spd_matrices(x: Tensor, n: int, name: str, *, semidefinite: bool = False) -> Tensor:
    """Refuse matrices that are not symmetric positive definite.

    Args:
        x: Matrices.
        n: Number of rows that they must have.
        name: Name of the argument.
        semidefinite: Whether singular matrices will do.

    Returns:
        The matrices.

    Raises:
        ValueError: If the shape is another than (..., n, n) or a matrix is not SPD.
    """
    if x.ndim < 2 or x.shape[-2:] != (n, n):
        raise ValueError(f"{name}: expected matrices of shape (..., {n}, {n}), got {tuple(x.shape)}")
    size = x.abs().amax((-2, -1), keepdim=True)
    skew = (x - x.mT).abs() > torch.finfo(x.dtype).eps ** 0.5 * size
    if bool(skew.any()):
        place = tuple(skew.nonzero()[0].tolist())
        raise ValueError(f"{name}: expected symmetric matrices; entry {list(place)} and its mirror differ")
    least = torch.linalg.eigvalsh(x)[..., 0]
    rounding = n * torch.finfo(x.dtype).eps * size[..., 0, 0]
    if not bool((least >= -rounding if semidefinite else least > 0).all()):
        raise ValueError(
            f"{name}: expected positive definite matrices, got one with eigenvalue {float(least.min()):.3g}"
        )
    return x


def spd_set(structure: str | StructuredFactor, n: int, name: str = "structure") -> StructuredSPD:
    """Make the set of SPD matrices of a structure.

    Args:
        structure: Name of a structure without options, or a structure.
        n: Number of rows.
        name: Name of the argument.

    Returns:
        The set.

    Raises:
        TypeError: If the structure is neither.
        ValueError: If there is no such structure, or it is of another size.
    """
    if isinstance(structure, str):
        factor = structured_factor(structure, n)
    elif isinstance(structure, StructuredFactor):
        factor = structure
    else:
        raise TypeError(
            f"{name}: expected a name as 'diagonal', or lie.structured_factor(name, {n}, ...), got"
            f" {type(structure).__name__}"
        )
    if factor.n != n:
        raise ValueError(f"{name}: expected a structure of {n} rows, got {factor!r}")
    return StructuredSPD(factor)


def reachable(manifold: StructuredSPD, diagonal: Tensor) -> Tensor:
    """Make the diagonal matrices, or if the structure has no such ones, the multiples of the identity.

    Args:
        manifold: The set.
        diagonal: Positive numbers, shape (..., n).

    Returns:
        Matrices of the set, shape (..., n, n).
    """
    factor = manifold.factor
    made = torch.diag_embed(diagonal)
    eps = torch.finfo(diagonal.dtype).eps
    if bool((factor.residual(made.sqrt()) <= 8 * eps * diagonal.sqrt().amax(-1)).all()):
        return made
    return torch.diag_embed(diagonal.log().mean(-1, keepdim=True).exp().expand_as(diagonal))


def require_spread(deviations: Tensor, x: Tensor) -> None:
    """Refuse samples of which a column is constant up to rounding.

    Args:
        deviations: Standard deviation of each column, shape (n,).
        x: Samples, shape (samples, n).

    Raises:
        ValueError: If a column is constant; the message names it.
    """
    flat = deviations <= rounding_of(x) * x.abs().amax(0)
    if bool(flat.any()):
        column = int(flat.nonzero()[0])
        raise ValueError(f"samples: column {column} is constant, so it has no density; leave it out")


def rounding_of(x: Tensor) -> float:
    """Relative rounding error that sums of the dtype of x are granted."""
    return 64 * torch.finfo(x.dtype).eps


def sample_weights(weights: ArrayLike | Tensor | None, x: Tensor) -> Tensor:
    """Make weights of samples with sum 1.

    Args:
        weights: Weights, shape (samples,), or None for equal ones.
        x: Samples, shape (samples, n).

    Returns:
        The weights.

    Raises:
        ValueError: If they have another shape, or one is negative, or all are 0.
    """
    if weights is None:
        return torch.full_like(x[:, 0], 1 / len(x))
    w = float_tensor(weights, "weights").to(x)
    if w.shape != (len(x),):
        raise ValueError(f"weights: expected shape ({len(x)},), one for each sample, got {tuple(w.shape)}")
    if bool((w < 0).any()) or not bool(w.sum() > 0):
        raise ValueError("weights: expected numbers >= 0 with a positive sum")
    return w / w.sum()
