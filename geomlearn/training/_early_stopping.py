"""Stop when the validation loss has not improved for a while."""

from __future__ import annotations

import math


class EarlyStopping:
    """Watches a loss and remembers its best value.

    Attributes:
        best: Smallest finite loss seen so far, infinity before the first.
        waited: Number of losses since the best.
    """

    def __init__(self, patience: int | None = None, min_delta: float = 0.0) -> None:
        """Set how long to wait.

        Args:
            patience: Number of losses without improvement after which to stop; ``None`` never stops.
            min_delta: Decrease below the best that counts as an improvement.

        Raises:
            ValueError: If the patience is not positive or the decrease is negative.
        """
        if patience is not None and patience < 1:
            raise ValueError(f"patience: expected a positive number of validations or None, got {patience}")
        if not min_delta >= 0:
            raise ValueError(f"min_delta: expected a number >= 0, got {min_delta}")
        self.patience = patience
        self.min_delta = min_delta
        self.best = math.inf
        self.waited = 0

    def update(self, loss: float) -> bool:
        """Take the next loss.

        Args:
            loss: The loss; NaN and infinity are no improvement.

        Returns:
            Whether it is the best so far.
        """
        improved = loss < self.best - self.min_delta if math.isfinite(self.best) else math.isfinite(loss)
        if improved:
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        return improved

    @property
    def exhausted(self) -> bool:
        """Whether it is time to stop."""
        return self.patience is not None and self.waited >= self.patience
