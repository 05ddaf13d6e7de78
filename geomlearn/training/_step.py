"""One training step and one validation, with the checks that keep a bad number out of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..losses import ResidualLoss
from ..optim import LevenbergMarquardt, NonFiniteResidualError
from ._batches import Batch
from ._errors import NonFiniteLossError

Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class StepResult:
    """Outcome of a training step.

    Attributes:
        loss: Loss of the batch at the weights before the step.
        gradient_norm: Euclidean norm of its gradient, before clipping.
    """

    loss: float
    gradient_norm: float


def train_step(
    model: nn.Module,
    optimizer: Optimizer,
    loss: Loss,
    batch: Batch,
    *,
    step: int,
    gradient_clip: float | None = None,
) -> StepResult:
    """Take one optimizer step on a batch.

    Args:
        model: The model.
        optimizer: Optimizer of its parameters; it may call the loss several times.
        loss: Function ``(model, states, controls) -> scalar``; for ``LevenbergMarquardt`` a ``ResidualLoss``.
        batch: Windows.
        step: Number of the step, from 1, for messages.
        gradient_clip: Largest allowed gradient norm; a longer gradient is scaled down to it.

    Returns:
        Loss and gradient norm.

    Raises:
        NonFiniteLossError: If the loss or the gradient is not finite. After any error the weights are those
            before the step.
        TypeError: If the optimizer does not evaluate the loss, or needs residuals that the loss has not.
    """
    if isinstance(optimizer, LevenbergMarquardt):
        return _least_squares_step(model, optimizer, loss, batch, step)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    before = [p.detach().clone() for p in parameters]
    rate = float(optimizer.param_groups[0]["lr"])
    mend = f"Lower lr (now {rate:g}), set gradient_clip, shorten"
    results: list[StepResult] = []

    def closure() -> Any:
        optimizer.zero_grad()
        with torch.enable_grad():
            value = evaluate(model, loss, batch, f"training step {step}")
        number = float(value.detach())
        if not math.isfinite(number):
            raise _non_finite("loss", number, step, batch, mend)
        value.backward()
        limit = math.inf if gradient_clip is None else gradient_clip
        norm = float(nn.utils.clip_grad_norm_(parameters, limit))
        if not math.isfinite(norm):
            raise _non_finite("norm of the gradient", norm, step, batch, mend)
        results.append(StepResult(number, norm))
        return value.detach()

    try:
        optimizer.step(closure)
    except BaseException:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)
        raise
    if not results:
        raise TypeError(f"optimizer: {type(optimizer).__name__}.step(closure) did not call the closure")
    return results[0]


def _least_squares_step(
    model: nn.Module, optimizer: LevenbergMarquardt, loss: Loss, batch: Batch, step: int
) -> StepResult:
    if not isinstance(loss, ResidualLoss):
        raise TypeError(
            "loss: Levenberg-Marquardt needs a loss with residual(model, states, controls) -> (N, k), such"
            f" as VelocityPositionLoss, got {loss!r}"
        )
    windows = batch.states.shape[0]
    given = (batch.states,) if batch.controls is None else (batch.states, batch.controls)

    def closure(*samples: Tensor) -> Tensor:
        try:
            return loss.residual(model, *(samples or given))
        except Exception as error:
            error.add_note(f"raised in training step {step}, epoch {batch.epoch}")
            raise

    try:
        cost = optimizer.step(closure, () if optimizer.module is None else given)
    except NonFiniteResidualError as error:
        raise _non_finite(f"loss or its Jacobian ({error})", "not finite", step, batch, "Shorten") from error
    slope = math.nan if optimizer.last is None else optimizer.last.gradient_norm
    return StepResult(2 * cost / windows, 2 * slope / windows)


def evaluate(model: nn.Module, loss: Loss, batch: Batch, where: str) -> Tensor:
    """Compute the loss of a batch; an error of the model says when it was raised.

    Args:
        model: The model.
        loss: Function ``(model, states, controls) -> scalar``.
        batch: Windows.
        where: What is being done, for the note on an error.

    Returns:
        The scalar.

    Raises:
        TypeError: If the loss does not return a scalar tensor.
    """
    try:
        value = loss(model, batch.states, batch.controls)
    except Exception as error:
        error.add_note(f"raised in {where}, epoch {batch.epoch}, windows {_name(batch.indices.tolist())}")
        raise
    if not isinstance(value, Tensor) or value.ndim != 0:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(
            f"loss: expected a function (model, states, controls) that returns a scalar tensor, got {got}"
        )
    return value


def _non_finite(what: str, value: object, step: int, batch: Batch, mend: str) -> NonFiniteLossError:
    indices = batch.indices.tolist()
    return NonFiniteLossError(
        f"the {what} is {value} at step {step}, epoch {batch.epoch}, windows {_name(indices)}; the weights"
        f" are those before this step and no checkpoint was touched. {mend} the windows, train in"
        " float64, or look at these windows",
        step,
        indices,
    )


def _name(indices: list[int]) -> str:
    return (
        str(indices)
        if len(indices) <= 12
        else f"[{', '.join(map(str, indices[:12]))}, ... {len(indices)} in all]"
    )
