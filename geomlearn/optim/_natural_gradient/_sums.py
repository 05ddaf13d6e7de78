"""Sums of curvature over backward passes, from which the moments of a refresh are made."""

from __future__ import annotations

from torch import Tensor


class Sums:
    """What the backward passes since the last refresh say about one layer.

    Calls of a layer that one backward pass goes through are calls on the same samples: their rows add up,
    the samples do not. Those of several passes are micro-batches: both add up.

    Attributes:
        K: Sum over rows a of inputs of Pi(K^T a a^T K), stored numbers; None before the first call.
        C: Sum over rows g of output gradients of Pi(C^T g g^T C), stored numbers.
        rows: Number of rows of inputs.
        samples: Number of samples.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.K: Tensor | None = None
        self.C: Tensor | None = None
        self.rows = 0
        self.samples = 0
        self._of_pass: dict[int, int] = {}

    def add(self, K: Tensor, C: Tensor, rows: int, samples: int, backward_pass: int) -> None:
        """Add one call.

        Args:
            K: Its sum over rows of inputs.
            C: Its sum over rows of output gradients.
            rows: Number of the former.
            samples: Number of samples.
            backward_pass: Number of the backward pass that goes through the call.
        """
        self.K = K if self.K is None else self.K + K
        self.C = C if self.C is None else self.C + C
        self.rows += rows
        known = self._of_pass.get(backward_pass, 0)
        if samples > known:
            self._of_pass[backward_pass] = samples
            self.samples += samples - known
