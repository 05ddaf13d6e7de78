"""Checkpoints of a training run: one file that is whole or absent, from which the run goes on bit for bit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from .._registry import config_of
from ._batches import Batches
from ._document import Document, read_document, write_document
from ._errors import CheckpointError
from ._history import History
from ._model_file import versions, write_weights
from ._tree import decode, encode
from ._weights import check_finite, check_weights, weights_of


@dataclass
class Restored:
    """What a checkpoint holds besides the state of model, optimizer and batches.

    Attributes:
        history: The run so far.
        best: Weights with the best validation loss, if any.
        settings: The settings the run was started with.
    """

    history: History
    best: dict[str, Tensor] | None
    settings: dict[str, Any]


class Checkpointer:
    """Writes and reads the checkpoints of one run in a folder.

    ``last.safetensors`` is the whole state of the run: weights, optimizer state, place in the data, history
    and the best weights so far. ``best.safetensors`` is a model file with the best weights. Each is replaced
    by one atomic rename, and resuming reads ``last.safetensors`` alone, so a run killed at any instant finds
    a whole checkpoint.

    Example:
        In a training loop of one's own::

            checkpointer = Checkpointer("run-7", every=100)
            if checkpointer.exists():
                history = checkpointer.restore(model, optimizer, batches).history
            ...
            if checkpointer.due(step):
                checkpointer.save(model, optimizer, batches, history)
    """

    def __init__(self, folder: str | os.PathLike[str], every: int = 100) -> None:
        """Choose the folder.

        Args:
            folder: Folder of the run; made when the first checkpoint is written.
            every: Number of steps between checkpoints.

        Raises:
            ValueError: If the number is not positive.
        """
        if every < 1:
            raise ValueError(f"every: expected a positive number of steps, got {every}")
        self.folder = Path(folder)
        self.every = every
        self.last = self.folder / "last.safetensors"
        self.best = self.folder / "best.safetensors"
        self._best_written: int | None = None
        self._swept = False

    def exists(self) -> bool:
        """Whether the folder holds a checkpoint to go on from."""
        return self.last.exists()

    def due(self, step: int) -> bool:
        """Say whether a checkpoint is due.

        Args:
            step: Number of steps taken.

        Returns:
            Whether ``step`` is a multiple of ``every``.
        """
        return step % self.every == 0

    def save(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        batches: Batches,
        history: History,
        *,
        best: Mapping[str, Tensor] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the state of the run.

        Args:
            model: The model.
            optimizer: Its optimizer.
            batches: The source of its batches.
            history: The run so far.
            best: Weights with the best validation loss.
            settings: Settings of the run, plain JSON values.

        Raises:
            CheckpointError: If a weight or optimizer entry is not finite; files are then left as they were.
            OSError: If the disk refuses; the earlier checkpoint is then still there.
        """
        weights = weights_of(model)
        optimizer_tensors: dict[str, Tensor] = {}
        tree = encode(optimizer.state_dict(), optimizer_tensors, "optimizer")
        check_finite(weights, "model")
        check_finite(optimizer_tensors, type(optimizer).__name__)
        tensors = {"model." + name: tensor for name, tensor in weights.items()}
        tensors |= optimizer_tensors
        tensors |= {"batches." + name: tensor for name, tensor in batches.state_dict().items()}
        tensors |= {"history." + name: tensor for name, tensor in history.tensors().items()}
        tensors |= {"best." + name: tensor for name, tensor in (best or {}).items()}
        config = config_of(model)
        info = {
            "step": history.steps,
            "epoch": batches.epoch,
            "config": config,
            "versions": versions(),
            "settings": dict(settings or {}),
            "history": history.info(),
            "optimizer": {"class": type(optimizer).__name__, "shapes": _shapes(optimizer), "state": tree},
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._swept:
                self._sweep()
            if best is not None and history.best_step != self._best_written:
                score = {"step": history.best_step, "validation_loss": history.best_loss}
                write_weights(self.best, best, config, score)
                self._best_written = history.best_step
            write_document(self.last, "checkpoint", info, tensors)
        except OSError as error:
            error.add_note(
                f"while writing the checkpoint of step {history.steps} to {self.folder}; an earlier one"
                " there is"
                " unchanged: free the disk and go on with resume='auto'"
            )
            raise

    def read(self) -> Document:
        """Read the last checkpoint and check that the file is whole.

        Returns:
            Its content.

        Raises:
            CheckpointError: If there is none or it is damaged.
        """
        if not self.exists():
            raise CheckpointError(f"{self.folder}: no checkpoint {self.last.name} to go on from")
        return read_document(self.last, ("checkpoint",))

    def restore(self, model: nn.Module, optimizer: Optimizer, batches: Batches) -> Restored:
        """Bring model, optimizer and batches to the state of the last checkpoint.

        Everything is checked before anything is changed.

        Args:
            model: A model of the structure that was saved.
            optimizer: An optimizer of the class that was saved, over the model's parameters.
            batches: Batches of the same windows.

        Returns:
            History, best weights and settings.

        Raises:
            CheckpointError: If there is none, it is damaged, or it does not fit.
        """
        document = self.read()
        info, path = document.info, document.path
        weights, best = document.section("model"), document.section("best")
        check_weights(model, weights, path)
        if best:
            check_weights(model, best, path)
        state = _optimizer_state(document, optimizer)
        try:
            history = History.from_parts(info["history"], document.section("history"))
            batches.check_state_dict(document.section("batches"))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: {error}") from error
        model.load_state_dict(weights)
        optimizer.load_state_dict(state)
        batches.load_state_dict(document.section("batches"))
        return Restored(history, best or None, info["settings"])

    def _sweep(self) -> None:
        """Remove the temporary files that a killed run left behind."""
        for stem in ("last", "best"):
            for suffix in ("safetensors", "json"):
                for left in self.folder.glob(f".{stem}.*.{suffix}"):
                    left.unlink(missing_ok=True)
        self._swept = True


def _optimizer_state(document: Document, optimizer: Optimizer) -> dict[str, Any]:
    """Decode the optimizer's state and hold it against the optimizer at hand."""
    saved, path = document.info["optimizer"], document.path
    if saved["class"] != type(optimizer).__name__:
        raise CheckpointError(
            f"{path}: optimizer: expected a checkpoint of {type(optimizer).__name__}, got one of"
            f" {saved['class']}"
        )
    tensors = {"optimizer." + name: tensor for name, tensor in document.section("optimizer").items()}
    check_finite(tensors, path)
    try:
        state: dict[str, Any] = decode(saved["state"], tensors)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: the optimizer's state cannot be read: {error}") from error
    shapes = _shapes(optimizer)
    if saved.get("shapes") != shapes:
        raise CheckpointError(
            f"{path}: optimizer: expected parameters of shapes {shapes}, got {saved.get('shapes')}; give"
            " the optimizer"
            " the parameters in the same order and groups"
        )
    return state


def _shapes(optimizer: Optimizer) -> list[list[list[int]]]:
    return [[list(p.shape) for p in group["params"]] for group in optimizer.param_groups]
