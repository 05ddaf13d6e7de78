"""What happened during training, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

_SERIES = {
    "losses": torch.float64,
    "gradient_norms": torch.float64,
    "learning_rates": torch.float64,
    "validation_losses": torch.float64,
    "validation_steps": torch.int64,
}


@dataclass
class History:
    """Losses and rates of a training run.

    Attributes:
        losses: Loss of each step, at the weights before the step.
        gradient_norms: Norm of the gradient of each step, before clipping.
        learning_rates: Learning rate of each step (first parameter group).
        validation_losses: Loss of each validation, at the weights after ``validation_steps`` steps.
        validation_steps: Number of steps taken at each validation.
        best_step: Number of steps after which the validation loss was best, ``None`` without validation.
        best_loss: That validation loss.
        stop_reason: ``"steps"`` (all done), ``"patience"``, ``"converged"`` (Levenberg-Marquardt can gain
            no more), ``"loss"`` (down to ``stop_at``), ``"callback"``, or ``None`` while under way.
    """

    losses: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    validation_steps: list[int] = field(default_factory=list)
    best_step: int | None = None
    best_loss: float | None = None
    stop_reason: str | None = None

    @property
    def steps(self) -> int:
        """Number of steps taken."""
        return len(self.losses)

    def tensors(self) -> dict[str, Tensor]:
        """Return the series as tensors, for a file.

        Returns:
            One tensor for each series.
        """
        return {name: torch.tensor(getattr(self, name), dtype=dtype) for name, dtype in _SERIES.items()}

    def info(self) -> dict[str, Any]:
        """Return all but the series, for a file.

        Returns:
            Numbers and words.
        """
        return {"best_step": self.best_step, "best_loss": self.best_loss, "stop_reason": self.stop_reason}

    @classmethod
    def from_parts(cls, info: dict[str, Any], tensors: dict[str, Tensor]) -> History:
        """Rebuild a history from what ``info`` and ``tensors`` returned.

        Args:
            info: Numbers and words.
            tensors: The series.

        Returns:
            The history.

        Raises:
            ValueError: If a series is missing or of the wrong type, or lengths disagree.
        """
        for name, dtype in _SERIES.items():
            series = tensors.get(name)
            if series is None or series.ndim != 1 or series.dtype != dtype:
                raise ValueError(f"history: expected a series {name!r} of {dtype}, got {series}")
        for first, second in (
            ("losses", "gradient_norms"),
            ("losses", "learning_rates"),
            ("validation_losses", "validation_steps"),
        ):
            if len(tensors[first]) != len(tensors[second]):
                raise ValueError(f"history: {first} and {second} differ in length")
        content: dict[str, Any] = {name: tensors[name].tolist() for name in _SERIES}
        return cls(**content, **info)
