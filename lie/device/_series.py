"""Power series that a typed copy of a device function writes out term by term."""

from __future__ import annotations

from collections.abc import Iterable

DOUBLE = 2.0**-52


class PowerSeries:
    """A polynomial in one variable, called with its value; the float64 terms of a power series.

    Args:
        coefficients: Coefficients of the powers, lowest first, at least as many as float64 needs.
        radius: Largest absolute value of the variable.
        fours: Whether kernels sum four terms at a time, which takes half as long where nothing else is to be
            done meanwhile; the rounding error is a little larger than that of Horner's rule.
    """

    def __init__(self, coefficients: Iterable[object], radius: float, fours: bool = False) -> None:
        self._all = tuple(float(c) for c in coefficients)  # type: ignore[arg-type]
        self._radius, self.fours = radius, fours
        self._kept = self.terms(DOUBLE)

    def terms(self, eps: float) -> tuple[float, ...]:
        """Give the coefficients that an accuracy needs.

        Args:
            eps: Epsilon of the dtype. Terms below an eighth of it, relative to the first, are left out.

        Returns:
            The coefficients, lowest power first.
        """
        bound = eps / 8 * abs(self._all[0])
        last = max(k for k, c in enumerate(self._all) if abs(c) * self._radius**k > bound)
        return self._all[: last + 1]

    def __call__(self, x: float) -> float:
        """Sum the series.

        Args:
            x: The variable.

        Returns:
            The sum, by Horner's rule.
        """
        total = 0.0
        for c in reversed(self._kept):
            total = total * x + c
        return total
