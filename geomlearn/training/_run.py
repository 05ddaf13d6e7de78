"""The loop over the steps of a run, with validation, early stopping, callbacks and checkpoints."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..optim import LevenbergMarquardt
from ._batches import Batch, Batches
from ._checkpoint import Checkpointer
from ._early_stopping import EarlyStopping
from ._errors import CheckpointError
from ._history import History
from ._progress import TrainingProgress
from ._schedule import LearningRate
from ._settings import check_settings
from ._step import Loss, evaluate, train_step
from ._weights import weights_of


@dataclass(frozen=True)
class StepInfo:
    """What a callback is told after each step.

    Attributes:
        step: Number of steps taken.
        epoch: Number of the pass over the windows, from 0.
        loss: Loss of the step.
        lr: Learning rate of the step.
        validation_loss: Loss of the validation after this step, if there was one.
        model: The model after the step.
        optimizer: The optimizer.
        history: The run so far.
    """

    step: int
    epoch: int
    loss: float
    lr: float
    validation_loss: float | None
    model: nn.Module
    optimizer: Optimizer
    history: History


Callback = Callable[[StepInfo], bool | None]


@dataclass
class Run:
    """The parts of a run and the loop over its steps."""

    model: nn.Module
    loss: Loss
    optimizer: Optimizer
    batches: Batches
    held_out: Batch | None
    rate: LearningRate
    stopping: EarlyStopping
    history: History
    total: int
    gradient_clip: float | None
    validate_every: int
    callbacks: Sequence[Callback]
    checkpointer: Checkpointer | None = None
    settings: dict[str, Any] | None = None
    best: dict[str, Tensor] | None = None
    stop_at: float | None = None

    def prepare(self, resume: bool | Literal["auto"]) -> None:
        """Go on from a checkpoint, or make sure that none is in the way."""
        if self.checkpointer is None or self.settings is None:
            return
        if resume not in (True, False, "auto"):
            raise ValueError(f"resume: expected True, False or 'auto', got {resume!r}")
        exists = self.checkpointer.exists()
        if resume is False and exists:
            raise CheckpointError(
                f"checkpoint_dir: {self.checkpointer.last} is already there and would be overwritten; pass"
                " resume='auto' to go on from it, or choose another folder"
            )
        if resume is False or (resume == "auto" and not exists):
            return
        document = self.checkpointer.read()
        check_settings(document.info["settings"], self.settings, document.path)
        if int(document.info["step"]) > self.total:
            raise CheckpointError(
                f"{document.path}: has already taken {document.info['step']} steps, more than the"
                f" {self.total} asked for"
            )
        restored = self.checkpointer.restore(self.model, self.optimizer, self.batches)
        self.history, self.best = restored.history, restored.best
        for loss in self.history.validation_losses:
            self.stopping.update(loss)

    def go(self, bar: TrainingProgress) -> None:
        """Take steps until the end."""
        history = self.history
        if history.steps == self.total:
            history.stop_reason = "steps"
            return
        history.stop_reason = None
        while history.stop_reason is None:
            if self.stopping.exhausted or self._converged:
                history.stop_reason = "patience" if self.stopping.exhausted else "converged"
                return
            latest = history.validation_losses[-1] if history.validation_losses else None
            if history.losses and self._reached(history.losses[-1], latest):
                history.stop_reason = "loss"
                return
            self._step(bar)

    @property
    def _converged(self) -> bool:
        """Whether the optimizer found nothing left to do on all windows at once."""
        status = self.optimizer.status if isinstance(self.optimizer, LevenbergMarquardt) else ""
        return bool(status) and len(self.batches) == 1

    def _reached(self, loss: float, checked: float | None) -> bool:
        """Whether the loss is down to where the run shall stop."""
        value = loss if self.held_out is None else checked
        return self.stop_at is not None and value is not None and value <= self.stop_at

    def _step(self, bar: TrainingProgress) -> None:
        history = self.history
        lr = self.rate.set(history.steps)
        batch = self.batches.next()
        step = history.steps + 1
        result = train_step(
            self.model, self.optimizer, self.loss, batch, step=step, gradient_clip=self.gradient_clip
        )
        history.losses.append(result.loss)
        history.gradient_norms.append(result.gradient_norm)
        history.learning_rates.append(lr)
        checked = self._validate(step, last=step == self.total or self._converged)
        if step == self.total:
            history.stop_reason = "steps"
        elif self.stopping.exhausted:
            history.stop_reason = "patience"
        elif self._converged:
            history.stop_reason = "converged"
        elif self._reached(result.loss, checked):
            history.stop_reason = "loss"
        info = StepInfo(step, batch.epoch, result.loss, lr, checked, self.model, self.optimizer, history)
        answers = [callback(info) for callback in self.callbacks]
        if any(answers) and history.stop_reason is None:
            history.stop_reason = "callback"
        if self.checkpointer is not None and (self.checkpointer.due(step) or history.stop_reason is not None):
            self.checkpointer.save(
                self.model, self.optimizer, self.batches, history, best=self.best, settings=self.settings
            )
        latest = history.validation_losses[-1] if history.validation_losses else None
        bar.update(step, loss=result.loss, lr=lr, validation=latest)

    def _validate(self, step: int, *, last: bool) -> float | None:
        if self.held_out is None or not (step % self.validate_every == 0 or last):
            return None
        with torch.no_grad():
            value = float(evaluate(self.model, self.loss, self.held_out, f"the validation after step {step}"))
        if not math.isfinite(value):
            warnings.warn(
                f"the validation loss after step {step} is {value}; it counts as no improvement", stacklevel=4
            )
        self.history.validation_losses.append(value)
        self.history.validation_steps.append(step)
        if self.stopping.update(value):
            self.history.best_loss, self.history.best_step = value, step
            self.best = weights_of(self.model)
        return value
