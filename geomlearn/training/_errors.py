"""What can go wrong while training or reading what training wrote."""

from __future__ import annotations

from collections.abc import Sequence


class CheckpointError(ValueError):
    """A file of weights or a checkpoint is damaged, or does not belong to the run at hand."""


class NonFiniteLossError(ArithmeticError):
    """The loss or its gradient became infinite or NaN; the weights are those before the failing step.

    Attributes:
        step: Number of the step that failed, counted from 1.
        indices: Windows of the batch.
    """

    def __init__(self, message: str, step: int, indices: Sequence[int]) -> None:
        """Keep where it happened.

        Args:
            message: What became non-finite and what to try.
            step: Number of the failing step.
            indices: Windows of the batch.
        """
        super().__init__(message)
        self.step = step
        self.indices = list(indices)
