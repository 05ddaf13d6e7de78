"""Sums of many small increments: plain, or with the rounding errors carried along."""

from __future__ import annotations

from torch import Tensor

from .kernels import Rows


def add(x: Tensor, error: Tensor | None, increment: Tensor) -> tuple[Tensor, Tensor | None]:
    """Add an increment to a running sum.

    Source: Kahan 1965; Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, VIII.5.

    Args:
        x: The sum so far.
        error: What rounding has added to it beyond the true sum, or ``None`` for plain addition.
        increment: What to add.

    Returns:
        The new sum and the new error.
    """
    if error is None:
        return x + increment, None
    correction = increment - error
    total = x + correction
    return total, (total - x) - correction


def increments(rows: Rows, errors: Rows, weight: str = "") -> list[str]:
    """Statements of a kernel that add ``weight * {}`` to rows, ``{}`` standing for the increments.

    Args:
        rows: Rows of the sums.
        errors: Rows of their rounding errors, none for plain addition.
        weight: Factor of the increment, the name of a variable; empty for one.

    Returns:
        One template for each row, of several lines where errors are carried.
    """
    scaled = f"{weight} * {{0}}" if weight else "{0}"
    if not errors:
        return [f"@{row} = @{row} + {scaled}" for row in rows]
    return [
        f"correction = {scaled} - @{error}\ntotal = @{row} + correction\n"
        f"@{error} = (total - @{row}) - correction\n@{row} = total"
        for row, error in zip(rows, errors, strict=True)
    ]
