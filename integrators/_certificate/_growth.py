"""How the error of a conserved quantity grows with time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

BLOCKS = 6


@dataclass(frozen=True)
class Growth:
    """Power law ``|error| ~ t^exponent`` of a deviation.

    Attributes:
        exponent: Fitted exponent: 0 where the error is bounded, one half for a random walk of rounding
            errors, 1 for a linear drift; NaN where there is no error at all.
        standard_error: Of the exponent, by the scatter of the blocks that it is fitted to.
        size: Root mean square of the deviation in the second half.
    """

    exponent: float
    standard_error: float
    size: float

    @property
    def law(self) -> str:
        """Word for the exponent: ``"bounded"``, ``"random walk"``, ``"linear"``, ``"faster"``, ``"zero"``."""
        if math.isnan(self.exponent):
            return "zero"
        bounds = ((0.25, "bounded"), (0.75, "random walk"), (1.4, "linear"))
        return next((word for bound, word in bounds if self.exponent < bound), "faster")


def measure_growth(values: np.ndarray) -> Growth:
    """Fit a power of time to the deviation of equidistant values from their first one.

    The root mean squares over blocks of doubling length, ``(n / 64, n / 32], ..., (n / 2, n]``, and over
    trajectories are fitted by a straight line in logarithms. One trajectory tells bounded from linear; to
    tell a random walk from either takes some ten of them.

    Source: Hairer, McLachlan, Razakarivony, BIT 48 (2008) 231, on the growth of rounding errors.

    Args:
        values: Values ``(n,)`` of one trajectory or ``(n, trajectories)``; the first row is the start.

    Returns:
        The exponent and the size of the error.

    Raises:
        ValueError: If there are fewer than 16 values.
    """
    if len(values) < 16:
        raise ValueError(f"values: expected at least 16 samples, got {len(values)}")
    deviation = np.square(values - values[:1]).reshape(len(values), -1).mean(1)
    last = len(values) - 1
    ends = [round(last / 2**k) for k in range(BLOCKS, -1, -1)]
    pairs = [(a, b) for a, b in pairwise(ends) if b > a]
    sizes = np.array([math.sqrt(deviation[a + 1 : b + 1].mean()) for a, b in pairs])
    middles = np.array([math.log(math.sqrt(max(a, 0.5) * b)) for a, b in pairs])
    usable = sizes > 0
    if usable.sum() < 3:
        return Growth(math.nan if not usable.any() else 0.0, math.nan, float(sizes[-1]))
    x, y = middles[usable], np.log(sizes[usable])
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    residual = y - y.mean() - slope * centred
    error = math.sqrt(float(residual @ residual) / max(len(x) - 2, 1) / float(centred @ centred))
    return Growth(slope, error, float(sizes[-1]))
