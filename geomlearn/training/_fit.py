"""Training a flow map on windows of measured states."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import LBFGS, Optimizer

from ..losses import VelocityPositionLoss
from ..optim import LevenbergMarquardt
from ._batches import Batches, WindowSet
from ._checkpoint import Checkpointer
from ._early_stopping import EarlyStopping
from ._history import History
from ._optimizers import OptimizerFactory, make_optimizer
from ._progress import TrainingProgress
from ._run import Callback, Run
from ._schedule import LearningRate, Schedule
from ._settings import settings_of
from ._step import Loss

_UNTIL_CONVERGED = 500  # steps of Levenberg-Marquardt where no number is given


def fit(
    model: nn.Module,
    windows: WindowSet,
    *,
    validation: WindowSet | None = None,
    loss: Loss | None = None,
    optimizer: str | Optimizer | OptimizerFactory = "adamw",
    lr: float | None = None,
    weight_decay: float = 0.0,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    schedule: str | Schedule | None = "auto",
    gradient_clip: float | None = None,
    patience: int | None = None,
    stop_at: float | None = None,
    validate_every: int | None = None,
    restore_best: bool = True,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 100,
    resume: bool | Literal["auto"] = False,
    progress: bool = True,
    seed: int = 0,
    generator: torch.Generator | None = None,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train a flow map so that its unrolled predictions match windows of measured states.

    The run depends on its arguments and the weights of the model only: the order of the batches has its own
    generator. A run with a ``checkpoint_dir`` that is killed at any instant goes on, with ``resume``, to the
    same bits as one that was not (on the same machine and number of threads, for a model that draws no random
    numbers).

    Args:
        model: A flow map, or any module that the loss can use. It is trained in place.
        windows: States ``(N, T, n)`` and inputs ``(N, T-1, m)``; taken in the dtype and on the device of the
            model.
        validation: Windows on which the best weights are chosen.
        loss: Function ``(model, states, controls) -> scalar``; ``VelocityPositionLoss()`` by default.
        optimizer: ``"adamw"``, ``"adam"``, ``"sgd"``, ``"lbfgs"``, ``"levenberg-marquardt"``, ``"bregman"``,
            ``"bravo"``, ``"riemannian-adam"``, ``"riemannian-sgd"``, ``"spd-momentum"``,
            ``"natural-gradient"``, an optimizer, or a function of the parameters. The lr of bregman and bravo
            is a step of time, which sets the momentum too: take ``schedule=None``, or tune it with the
            schedule. Levenberg-Marquardt needs a loss that is a ``ResidualLoss``, is best on all windows at
            once, and ends the run when it has converged on them.
        lr: Learning rate of a named optimizer.
        weight_decay: Weight decay of a named optimizer.
        steps: Number of optimizer steps of the whole run, or
        epochs: number of passes over the windows; one of the two. Levenberg-Marquardt may be given neither:
            it then goes on until it has converged, for 500 steps at most.
        batch_size: Windows per batch; all of them by default.
        schedule: ``"cosine"`` to zero over the run, ``None``, or a function ``(step, total) -> factor``;
            ``"auto"`` is ``None`` for Levenberg-Marquardt and ``"cosine"`` for all others.
        gradient_clip: Largest allowed gradient norm.
        patience: Stop after so many validations without improvement.
        stop_at: Stop as soon as the validation loss, or without validation that of a step, is no larger; to
            compare models at equal loss.
        validate_every: Steps between validations; by default an epoch, and at least 10 steps. The last step
            is always validated.
        restore_best: Whether the model ends with the weights of the best validation instead of the last ones.
        checkpoint_dir: Folder for ``last.safetensors`` and ``best.safetensors``.
        checkpoint_every: Steps between checkpoints; the last step is always saved.
        resume: ``True`` goes on from the checkpoint in the folder, ``"auto"`` does so when there is one,
            ``False`` refuses a folder that has one. Settings must be those of the checkpoint; ``steps``,
            ``patience``, ``stop_at`` and what is shown may change.
        progress: Whether to show progress.
        seed: Seed of the order of the batches.
        generator: CPU generator of the order of the batches, in place of the seed.
        callbacks: Functions called with a ``StepInfo`` after each step; a true result stops the run.

    Returns:
        Losses, validation losses, learning rates, best step and the reason of the end.

    Raises:
        CheckpointError: If the folder's checkpoint is in the way, missing, damaged, or of another run.
        NonFiniteLossError: If loss or gradient become NaN or infinite; weights and checkpoints are left as
            they were.
        ValueError: If arguments contradict each other or do not fit the model.
    """
    optimizer_given = make_optimizer(optimizer, model, lr, weight_decay)
    _check(
        model, windows, validation, loss, optimizer_given, batch_size, gradient_clip, patience, validate_every
    )
    if stop_at is not None and not stop_at > 0:
        raise ValueError(f"stop_at: expected a positive loss or None, got {stop_at}")
    if steps is None and epochs is None and isinstance(optimizer_given, LevenbergMarquardt):
        steps = _UNTIL_CONVERGED
    if schedule == "auto":
        schedule = None if isinstance(optimizer_given, LevenbergMarquardt) else "cosine"
    reference = next(p for p in model.parameters() if p.requires_grad)
    place: dict[str, Any] = {"dtype": reference.dtype, "device": reference.device}
    batches = Batches(windows, batch_size, seed=seed, generator=generator, **place)
    held_out = None if validation is None else Batches(validation, **place).next()
    total = _total(steps, epochs, len(batches))
    run = Run(
        model=model,
        loss=VelocityPositionLoss() if loss is None else loss,
        optimizer=optimizer_given,
        batches=batches,
        held_out=held_out,
        rate=LearningRate(optimizer_given, schedule, total),
        stopping=EarlyStopping(patience),
        history=History(),
        total=total,
        gradient_clip=gradient_clip,
        validate_every=max(10, len(batches)) if validate_every is None else validate_every,
        callbacks=callbacks,
        stop_at=stop_at,
    )
    if checkpoint_dir is not None:
        run.checkpointer = Checkpointer(checkpoint_dir, checkpoint_every)
        run.settings = settings_of(
            windows.states,
            windows.controls,
            run.loss,
            optimizer_given,
            schedule=schedule
            if isinstance(schedule, str | None)
            else getattr(schedule, "__qualname__", "function"),
            gradient_clip=gradient_clip,
            validate_every=run.validate_every if held_out is not None else None,
            seed=seed if generator is None else None,
        )
        run.prepare(resume)
    elif resume is True:
        raise ValueError("resume: expected a checkpoint_dir to go on from, got none")
    with TrainingProgress(total, start=run.history.steps, enabled=progress) as bar:
        run.go(bar)
    if restore_best and run.best is not None:
        model.load_state_dict(run.best)
    return run.history


def _total(steps: int | None, epochs: int | None, per_epoch: int) -> int:
    if (steps is None) == (epochs is None):
        raise ValueError(
            f"steps, epochs: expected exactly one of the two, got steps={steps}, epochs={epochs}"
        )
    total = steps if steps is not None else (epochs or 0) * per_epoch
    if total < 1:
        raise ValueError(f"steps, epochs: expected at least one step, got steps={steps}, epochs={epochs}")
    return total


def _check(
    model: nn.Module,
    windows: WindowSet,
    validation: WindowSet | None,
    loss: Loss | None,
    optimizer: Optimizer,
    batch_size: int | None,
    gradient_clip: float | None,
    patience: int | None,
    validate_every: int | None,
) -> None:
    for name, data in (("windows", windows), ("validation", validation)):
        h, own = getattr(data, "h", None), getattr(model, "h", None)
        own = None if getattr(model, "counts_steps", False) else own
        if h is not None and own is not None and not math.isclose(float(h), float(own), rel_tol=1e-9):
            raise ValueError(
                f"{name}: sampled every {float(h)}, but the model steps by h = {float(own)}; they must agree"
            )
        space, layout = getattr(data, "space", None), getattr(model, "space", None)
        if loss is None and space is not None and layout is not None and not layout.fits(space):
            raise ValueError(f"{name}: its states are {space}, those of the model are {layout}")
    if isinstance(optimizer, LBFGS) and (gradient_clip is not None or batch_size is not None):
        raise ValueError(
            "optimizer: LBFGS compares gradients between steps; leave batch_size and gradient_clip at None"
        )
    if isinstance(optimizer, LevenbergMarquardt) and gradient_clip is not None:
        raise ValueError(
            "gradient_clip: Levenberg-Marquardt bounds its steps by damping; leave it at None and raise"
            " relative_damping"
        )
    if gradient_clip is not None and not gradient_clip > 0:
        raise ValueError(f"gradient_clip: expected a positive norm or None, got {gradient_clip}")
    if patience is not None and validation is None:
        raise ValueError("patience: early stopping needs validation windows; pass validation=...")
    if validate_every is not None and validate_every < 1:
        raise ValueError(f"validate_every: expected a positive number of steps or None, got {validate_every}")
