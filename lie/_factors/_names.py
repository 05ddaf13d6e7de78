"""Structures by name, and the reasons for those that are none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

from . import _segmented
from ._banded import BandedFactor
from ._factor import StructuredFactor
from ._toeplitz import CirculantFactor, ToeplitzFactor


def _banded(n: int, bandwidth: int, *, triangle: str, toeplitz: bool) -> StructuredFactor:
    if isinstance(bandwidth, bool) or not isinstance(bandwidth, int) or not 1 <= bandwidth < n - 1:
        raise ValueError(
            f"bandwidth must be a whole number from 1 to n - 2 = {n - 2}, got {bandwidth!r}; without a "
            f'diagonal beside the main one the structure is "diagonal", with all of them "{triangle}".'
        )
    return BandedFactor(n, triangle, bandwidth, toeplitz)


def _lower_toeplitz(n: int) -> StructuredFactor:
    return ToeplitzFactor(n, "lower")


def _upper_toeplitz(n: int) -> StructuredFactor:
    return ToeplitzFactor(n, "upper")


STRUCTURES: dict[str, Callable[..., StructuredFactor]] = {
    "full": _segmented.full,
    "diagonal": _segmented.diagonal,
    "block_diagonal": _segmented.block_diagonal,
    "lower": _segmented.lower,
    "upper": _segmented.upper,
    "block_lower": _segmented.block_lower,
    "block_upper": _segmented.block_upper,
    "hierarchical": _segmented.hierarchical,
    "lower_toeplitz": _lower_toeplitz,
    "upper_toeplitz": _upper_toeplitz,
    "circulant": CirculantFactor,
    "lower_banded": partial(_banded, triangle="lower", toeplitz=False),
    "upper_banded": partial(_banded, triangle="upper", toeplitz=False),
    "lower_banded_toeplitz": partial(_banded, triangle="lower", toeplitz=True),
    "upper_banded_toeplitz": partial(_banded, triangle="upper", toeplitz=True),
}
ALIASES = {"dense": "full", "triangular": "lower", "banded": "lower_banded"}
NO_GROUPS = {
    "tridiagonal": (
        "the product of two tridiagonal matrices has five diagonals. Tridiagonal SPD matrices are those of "
        'the factors "lower_banded" with bandwidth=1'
    ),
    "arrow": (
        "the product of two arrow matrices fills up. SPD arrow matrices, diagonal up to their last row and "
        'column, are those of the factors "block_lower" with rank=1, diagonal="first"'
    ),
    "toeplitz": (
        "the product of two Toeplitz matrices has no constant diagonals. Triangular ones form a group, "
        '"lower_toeplitz" or "upper_toeplitz" (A A^T is then not Toeplitz), and so do the circulant ones, '
        '"circulant"'
    ),
}
NO_GROUPS["symmetric_toeplitz"] = NO_GROUPS["toeplitz"]


def structured_factor(name: str, n: int, **options: object) -> StructuredFactor:
    """Make the geometry of a structured factor A of SPD matrices tau = A A^T.

    =========================  ========================================  ====================================
    name                       factors A                                 matrices tau
    =========================  ========================================  ====================================
    "full"                     invertible matrices                       all SPD matrices
    "diagonal"                 diagonal                                  diagonal
    "block_diagonal"           dense blocks of ``block`` rows, the last  block-diagonal
                               of n mod ``block``
    "lower", "upper"           triangular                                all SPD matrices
    "block_lower",             [[A, 0], [B, D]] and its mirror image,    diagonal plus rank ``rank``: tau, for
    "block_upper"              A dense of ``rank`` rows, D diagonal;     lower with "last" and upper with
                               ``diagonal`` "last" (default) or "first"  "first", or else tau^-1
    "hierarchical"             [[A, B, B'], [0, C, 0], [0, D, E]], A     tau^-1 is diagonal plus rank k1 + k2
                               and E dense of ``k1`` and ``k2`` rows, C  (tau, if transposed)
                               diagonal; ``transposed`` (False)
    "lower_toeplitz",          triangular, constant along diagonals      (a set of dimension n)
    "upper_toeplitz"
    "circulant"                circulant                                 symmetric circulant
    "lower_banded",            triangular with ``bandwidth`` diagonals   all SPD matrices of that bandwidth
    "upper_banded"             beside the main one; not a group
    "lower_banded_toeplitz",   the same, constant along diagonals; not   banded, Toeplitz but for a corner
    "upper_banded_toeplitz"    a group
    =========================  ========================================  ====================================

    "dense" is "full", "triangular" is "lower", "banded" is "lower_banded".

    Args:
        name: Name of the structure.
        n: Number of rows.
        **options: The options of the structure.

    Returns:
        The structure, a stateless object; equal arguments give equal objects.

    Raises:
        ValueError: If there is no such structure, or an option does not fit.

    Examples:
        >>> import torch
        >>> import lie
        >>> structure = lie.structured_factor("lower", 2)
        >>> H = torch.tensor([[1.0, 2.0], [2.0, 3.0]])
        >>> structure.project(H)
        tensor([[1., 0.],
                [4., 3.]])
    """
    kind = ALIASES.get(name, name)
    if kind in NO_GROUPS:
        raise ValueError(f"{name!r} is no structure of a factor: {NO_GROUPS[kind]}.")
    if kind not in STRUCTURES:
        raise ValueError(f"name must be one of {', '.join(map(repr, STRUCTURES))}, got {name!r}.")
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n must be a whole number, 1 or more, got {n!r}.")
    _require_options(kind, options)
    return STRUCTURES[kind](n, **options)


def _require_options(kind: str, options: dict[str, object]) -> None:
    known = inspect.signature(STRUCTURES[kind]).parameters.values()
    names = [p.name for p in known if p.name != "n" and p.kind is not inspect.Parameter.KEYWORD_ONLY]
    needed = [p.name for p in known if p.name in names and p.default is inspect.Parameter.empty]
    if set(needed) <= set(options) <= set(names):
        return
    takes = f"takes the options {', '.join(names)}" if names else "takes no options"
    got = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "none"
    raise ValueError(f"The structure {kind!r} {takes}; got {got}.")


def remake(kind: str, n: int, options: dict[str, object]) -> StructuredFactor:
    """Make a structure again from its attributes, for copies."""
    return structured_factor(kind, n, **options)
