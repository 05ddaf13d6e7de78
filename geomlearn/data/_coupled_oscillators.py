"""Steps of two coupled oscillators from random states, as the gyroceptron was published with."""

from __future__ import annotations

import torch

from integrators import zoo

from ._solved import solved_windows
from ._windows import Windows

# Least and largest q2, then p2; q1 and p1 are within 1.6.
_BOXES = (((-0.9, 1.6), (-1.1, 1.1)), ((0.6, 1.5), (-0.5, 0.5)), ((-0.8, 0.8), (-0.8, 0.8)))


def coupled_oscillator_windows(
    seed: int, *, per_box: int = 700, h: float = 0.05, samples: int = 2, epsilon: float = 0.01
) -> Windows:
    """Make windows of ``zoo.coupled_oscillators`` whose starts are uniform in the three published boxes.

    ``q1`` and ``p1`` are in [-1.6, 1.6]; ``(q2, p2)`` in [-0.9, 1.6] x [-1.1, 1.1], [0.6, 1.5] x [-0.5, 0.5]
    and [-0.8, 0.8] x [-0.8, 0.8]. States are exact to about 1e-12, where the published labels were float32.

    Source: Duruisseaux, Burby, Tang, Scientific Reports 13 (2023) 8351, and its program, with 20000 starts in
    each box and ``h = 0.05``.

    Args:
        seed: Seed of the starts.
        per_box: Starts in each box.
        h: Time between samples; a fast turn takes 2 pi.
        samples: Samples per window, 2 for pairs.
        epsilon: Strength of all but the fast rotation.

    Returns:
        Windows with states ``(3 per_box, samples, 4)``, one box after another.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> coupled_oscillator_windows(0, per_box=5).states.shape
        torch.Size([15, 2, 4])
    """
    if per_box < 1:
        raise ValueError(f"per_box: expected at least one start, got {per_box}")
    generator = torch.Generator().manual_seed(seed)
    starts = []
    for slow_q, slow_p in _BOXES:
        ranges = torch.tensor([(-1.6, 1.6), slow_q, (-1.6, 1.6), slow_p], dtype=torch.float64)
        share = torch.rand(per_box, 4, generator=generator, dtype=torch.float64)
        starts.append(ranges[:, 0] + (ranges[:, 1] - ranges[:, 0]) * share)
    return solved_windows(zoo.coupled_oscillators(epsilon).system, torch.cat(starts), h, samples)
