"""Drift of a quantity that oscillates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

BLOCKS = 24
SIGNIFICANT = 5.0
MONOTONE = 0.7
NOTICEABLE = 1e-3


@dataclass(frozen=True)
class Drift:
    """Linear drift of a time series.

    Attributes:
        slope: Change per unit of time.
        standard_error: Of the slope.
        t_statistic: Slope over its standard error, 0 for a constant series.
        trend: Kendall's rank correlation of window averages and time, -1 or 1 for a monotone series.
        largest: Largest deviation from the first value.
        band: Largest minus smallest value, over ``scale``.
        scale: Largest absolute value, or 1 if that is 0.
        duration: Time that the series covers.
        eps: Rounding unit of the values.
    """

    slope: float
    standard_error: float
    t_statistic: float
    trend: float
    largest: float
    band: float
    scale: float
    duration: float
    eps: float

    @property
    def significant(self) -> bool:
        """Whether there is a drift: beyond chance, rounding and a thousandth of the oscillation."""
        floor = max(1e4 * self.eps * self.scale, NOTICEABLE * self.band * self.scale)
        clear = abs(self.t_statistic) > SIGNIFICANT or abs(self.trend) > MONOTONE
        return clear and abs(self.slope) * self.duration > floor


def blackman_harris(width: int) -> np.ndarray:
    """Weights of a smooth average, with sum 1.

    Args:
        width: Number of samples.

    Returns:
        ``(width,)``.
    """
    phase = 2 * np.pi * (np.arange(width) + 0.5) / width
    weights = 0.35875 - 0.48829 * np.cos(phase) + 0.14128 * np.cos(2 * phase) - 0.01168 * np.cos(3 * phase)
    return weights / weights.sum()


def measure_drift(times: np.ndarray, values: np.ndarray, eps: float = 2.3e-16) -> Drift:
    """Fit a line through smooth averages over overlapping windows.

    Neighbouring samples are correlated, so that an ordinary regression finds a drift in any oscillation. Here
    a line is fitted to averages over windows with Blackman-Harris weights, which let through 3e-5 of an
    oscillation that has four periods in a window, and the standard error is widened by the correlation that
    is left between neighbouring residuals. A drift that is not linear, such as a decay, shows in the rank
    correlation.

    Args:
        times: Equidistant times ``(n,)``.
        values: Values ``(n,)``.
        eps: Rounding unit of the values.

    Returns:
        Slope, its uncertainty, and the size of the oscillation.

    Raises:
        ValueError: If there are fewer than 16 samples.
    """
    n = len(values)
    if n < 16:
        raise ValueError(f"values: expected at least 16 samples, got {n}")
    blocks = min(BLOCKS, n // 4)
    hop = n // (blocks + 1)
    width = 2 * hop
    starts = n - (blocks + 1) * hop + hop * np.arange(blocks)
    window = blackman_harris(width)
    t = np.array([times[s : s + width] @ window for s in starts])
    v = values[0] + np.array([(values[s : s + width] - values[0]) @ window for s in starts])
    centred = t - t.mean()
    slope = float(centred @ v / (centred @ centred))
    residual = v - v.mean() - slope * centred
    variance = float(residual @ residual) / (blocks - 2)
    neighbours = float(residual[1:] @ residual[:-1])
    correlation = min(max(neighbours / max(float(residual @ residual), 1e-300), 0.0), 0.9)
    error = math.sqrt(variance / float(centred @ centred) * (1 + correlation) / (1 - correlation))
    scale = float(np.abs(values).max()) or 1.0
    later = np.sign(v[None, :] - v[:, None])[np.triu_indices(blocks, 1)]
    return Drift(
        slope=slope,
        standard_error=error,
        t_statistic=slope / error if error > 0 else (0.0 if slope == 0 else math.copysign(math.inf, slope)),
        trend=float(later.mean()),
        largest=float(np.abs(values - values[0]).max()),
        band=float(values.max() - values.min()) / scale,
        scale=scale,
        duration=float(times[-1] - times[0]),
        eps=eps,
    )
