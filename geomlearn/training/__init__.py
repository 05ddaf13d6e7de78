"""Training of flow maps: ``fit``, and its pieces for a loop of one's own.

A loop of one's own::

    batches = Batches(windows, batch_size=64, seed=0)
    rate = LearningRate(optimizer, "cosine", total)
    history = History()
    with TrainingProgress(total) as bar:
        for step in range(1, total + 1):
            lr = rate.set(step - 1)
            result = train_step(model, optimizer, VelocityPositionLoss(), batches.next(), step=step)
            bar.update(step, loss=result.loss, lr=lr)
"""

from .._registry import build, register, registered
from ._batches import Batch, Batches, WindowSet
from ._checkpoint import Checkpointer, Restored
from ._early_stopping import EarlyStopping
from ._errors import CheckpointError, NonFiniteLossError
from ._fit import fit
from ._history import History
from ._model_file import describe, load, load_weights, save
from ._optimizers import make_optimizer
from ._progress import TrainingProgress
from ._run import StepInfo
from ._schedule import LearningRate, constant, cosine
from ._step import StepResult, evaluate, train_step

__all__ = [
    "Batch",
    "Batches",
    "CheckpointError",
    "Checkpointer",
    "EarlyStopping",
    "History",
    "LearningRate",
    "NonFiniteLossError",
    "Restored",
    "StepInfo",
    "StepResult",
    "TrainingProgress",
    "WindowSet",
    "build",
    "constant",
    "cosine",
    "describe",
    "evaluate",
    "fit",
    "load",
    "load_weights",
    "make_optimizer",
    "register",
    "registered",
    "save",
    "train_step",
]
