"""Symmetric positive definite matrices by the number of rows and the structure of their factors."""

from __future__ import annotations

from typing import overload

from ._factors import StructuredSPD, structured_factor
from ._spd_manifold import SPDManifold

__all__ = ["SPD", "SPDManifold"]


@overload
def SPD(n: int, structure: None = None) -> SPDManifold: ...


@overload
def SPD(n: int, structure: str, *, h: str | None = None, **options: object) -> StructuredSPD: ...


def SPD(
    n: int, structure: str | None = None, *, h: str | None = None, **options: object
) -> SPDManifold | StructuredSPD:
    """Give the manifold of symmetric positive definite matrices, all of them or those of a structured factor.

    Args:
        n: Number of rows.
        structure: None for all matrices P (..., n, n), elements and tangents symmetric matrices; or the name
            of a structure of ``lie.structured_factor``, for the matrices A A^T of factors A with that
            pattern, the elements being the factors.
        h: With a structure, the approximation of the exponential that ``retract`` takes.
        **options: Options of the structure, as for ``lie.structured_factor``.

    Returns:
        The manifold, a stateless object; equal arguments give equal objects.

    Raises:
        ValueError: If n is no positive integer, there is no such structure, or an option does not fit.

    Examples:
        >>> import torch
        >>> import lie
        >>> P, Q = torch.eye(2), torch.diag(torch.tensor([1.0, 4.0]))
        >>> lie.SPD(2).interpolate(P, Q, 0.5)
        tensor([[1., 0.],
                [0., 2.]])
        >>> lie.SPD(20, structure="block_diagonal", block=5).dim
        60
    """
    if structure is not None:
        return StructuredSPD(structured_factor(structure, n, **options), h)
    if options or h is not None:
        given = ", ".join(options) or "h"
        raise ValueError(f"{given} belongs to a structure: name it with structure=..., or leave it out.")
    return SPDManifold(n)
