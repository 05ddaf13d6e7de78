"""Streaming a rollout into a file that survives interruptions."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .._state import StateSpace
from ._checkpoint import Checkpoint, latest
from ._identity import describe_controls, differences
from ._layout import FORMAT, Extent, Shapes, create, inspect, publish
from ._plan import Plan
from ._recorder import Block, Recorder

SLOTS = ("checkpoint/first", "checkpoint/second")
CHECKPOINT_SECONDS = 1.0
CHECKPOINT_SHARE = 20.0


class FileSink:
    """Writes blocks and checkpoints to the places that the file's structure gives them."""

    def __init__(self, path: Path, recorder: Recorder, extents: dict[str, Extent], sequence: int) -> None:
        """Open the file for writing.

        Args:
            path: The file.
            recorder: The run.
            extents: Places of the datasets.
            sequence: Number of the last checkpoint.

        Raises:
            BlockingIOError: If another process is writing the file.
        """
        self.path, self.recorder, self.extents, self.sequence = path, recorder, extents, sequence
        self.descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self.descriptor)
            raise BlockingIOError(error.errno, f"file: another process is writing {path}") from error
        self.kept = recorder.engine.done
        self.saved_at, self.cost = time.monotonic(), 0.0

    def write(self, block: Block) -> None:
        """Store a block, and from time to time a checkpoint.

        Args:
            block: What was kept of a chunk.

        Raises:
            OSError: If that is not possible, such as on a full disk; the message says what is kept.
        """
        engine, plan = self.recorder.engine, self.recorder.plan
        try:
            self._put_block(block)
            pause = max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * self.cost)
            if engine.done >= plan.steps or time.monotonic() - self.saved_at > pause:
                self.checkpoint()
        except OSError as error:
            raise OSError(
                error.errno,
                f"{error.strerror or error}: while writing {self.path} at step {engine.done} of"
                f" {plan.steps}. The first"
                f" {self.kept} steps are kept and can be read with load_rollout; to go on, mend the cause"
                " (free space)"
                " and call rollout with the same arguments and resume=True",
            ) from error

    def _put_block(self, block: Block) -> None:
        plan = self.recorder.plan
        times = np.arange(block.first, block.first + len(block.states)) * plan.every * plan.h
        self._put("times", block.first, times)
        self._put("states", block.first, _array(block.states))
        for name, value in block.observations.items():
            self._put(f"observations/{name}", block.first_observed, _array(value))
        if block.observations:
            count = len(next(iter(block.observations.values())))
            numbers = np.arange(block.first_observed, block.first_observed + count)
            self._put("observation_times", block.first_observed, numbers * plan.observe_every * plan.h)

    def checkpoint(self) -> None:
        """Bring everything to the disk, then the note that it is there."""
        started = time.monotonic()
        os.fsync(self.descriptor)
        engine = self.recorder.engine
        final = _array(self.recorder.final())
        data = Checkpoint(self.sequence + 1, engine.done, {**engine.save(), "final": final}).encode()
        self._pwrite(data, self.extents[SLOTS[(self.sequence + 1) % 2]].offset)
        os.fsync(self.descriptor)
        self.sequence += 1
        self.kept = engine.done
        self._put("final", 0, final)
        self._put("status", 0, np.asarray(engine.save()["codes"]))
        self._put("failed_at", 0, np.asarray(engine.save()["failed_at"]))
        self._put("steps_done", 0, np.array([engine.done]))
        self.saved_at = time.monotonic()
        self.cost = self.saved_at - started

    def close(self) -> None:
        """Release the file."""
        os.close(self.descriptor)

    def _put(self, key: str, first: int, values: np.ndarray) -> None:
        extent = self.extents.get(key)
        if extent is not None and values.size:
            data = np.ascontiguousarray(values, dtype=extent.dtype)
            self._pwrite(data.reshape(-1).view(np.uint8).data, extent.offset + first * extent.row_bytes)

    def _pwrite(self, data: bytes | memoryview, offset: int) -> None:
        rest = memoryview(data)
        while len(rest):
            written = os.pwrite(self.descriptor, rest, offset)
            rest, offset = rest[written:], offset + written


def open_store(
    path: Path, recorder: Recorder, initial: Block, run: dict[str, Any], resume: bool, space: StateSpace
) -> FileSink:
    """Create the file of a run, or go back to its last checkpoint.

    Args:
        path: The file.
        recorder: The run; it is moved on to the checkpoint.
        initial: The block of sample 0.
        run: Description of the run.
        resume: Whether an existing file is continued.
        space: Layout of the states.

    Returns:
        The open file.

    Raises:
        FileExistsError: If the file exists and is not to be continued.
    """
    if path.exists() and not resume:
        raise FileExistsError(
            f"file: {path} exists; pass resume=True to continue that run, or remove the file, or choose"
            " another name"
        )
    if not path.exists():
        return _new(path, recorder, initial, run, space)
    return _continue(path, recorder, initial, run, space)


def _new(path: Path, recorder: Recorder, initial: Block, run: dict[str, Any], space: StateSpace) -> FileSink:
    temporary = _prepare(path, recorder, initial, run, space)
    try:
        sink = FileSink(temporary, recorder, inspect(temporary)[0], 0)
        try:
            sink.write(initial)
            if sink.sequence == 0:
                sink.checkpoint()
            publish(temporary, path)
        except BaseException:
            sink.close()
            raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sink.path = path
    return sink


def _prepare(path: Path, recorder: Recorder, initial: Block, run: dict[str, Any], space: StateSpace) -> Path:
    plan = recorder.plan
    shapes = _shapes(recorder, initial, plan)
    needed = sum(
        int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize for shape, dtype in shapes.values()
    )
    free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else needed
    if needed > free:
        warnings.warn(
            f"file: {path} will take {needed / 2**30:.3g} GiB and {free / 2**30:.3g} GiB are free; a run"
            " that stops on"
            " a full disk keeps what it has and can be resumed",
            UserWarning,
            stacklevel=5,
        )
    attributes = {
        "format": FORMAT,
        "flow": run["flow"],
        "h": plan.h,
        "steps": plan.steps,
        "every": plan.every,
        "observe_every": plan.observe_every,
        "backend": run["backend"],
        "times/unit": "unit of h",
        "states/parts": list(space.names),
        "states/units": [part.unit for part in space.parts],
        "states/frames": [part.frame for part in space.parts],
        "states/layout": repr(space),
    }
    return create(path, shapes, attributes, run | {"steps": plan.steps}, space.labels())


def _shapes(recorder: Recorder, initial: Block, plan: Plan) -> Shapes:
    real = f"<f{plan.dtype.itemsize}"
    final = _array(recorder.final())
    slot = len(Checkpoint(0, 0, {**recorder.engine.save(), "final": final}).encode())
    shapes: Shapes = {
        "steps_done": ((1,), "<i8"),
        "status": (plan.batch, "|i1"),
        "failed_at": (plan.batch, "<i8"),
        "final": ((*plan.batch, plan.size), real),
        **dict.fromkeys(SLOTS, ((slot,), "|u1")),
        "times": ((plan.samples,), "<f8"),
        "states": ((plan.samples, *plan.batch, plan.size), real),
    }
    if initial.observations:
        shapes["observation_times"] = ((plan.observed_samples,), "<f8")
    for name, value in initial.observations.items():
        shape = (plan.observed_samples, *plan.batch, *value.shape[2:])
        shapes[f"observations/{name}"] = (shape, f"<f{value.dtype.itemsize}")
    return shapes


def read_checkpoint(path: Path, extents: dict[str, Extent]) -> Checkpoint:
    """The last checkpoint of a file.

    Args:
        path: The file.
        extents: Places of its datasets.

    Returns:
        The checkpoint.
    """
    with path.open("rb") as file:
        return _newest(path, file.fileno(), extents)


def _newest(path: Path, descriptor: int, extents: dict[str, Extent]) -> Checkpoint:
    checkpoint = latest([os.pread(descriptor, extents[name].nbytes, extents[name].offset) for name in SLOTS])
    if checkpoint is None:
        raise ValueError(f"file: {path} is damaged: neither of its two checkpoints is whole")
    return checkpoint


def _continue(
    path: Path, recorder: Recorder, initial: Block, run: dict[str, Any], space: StateSpace
) -> FileSink:
    extents, _, stored = inspect(path)
    plan = recorder.plan
    old_steps = stored.pop("steps")
    same_length = run | {"controls": describe_controls(recorder.engine.controls, old_steps)}
    different = differences(stored, same_length)
    if plan.steps < old_steps:
        different.append(f"steps (file: {old_steps}, now: {plan.steps}, expected at least as many)")
    if different:
        raise ValueError(
            f"resume: {path} holds another run; different: {'; '.join(different)}. Choose another file, or"
            " the settings"
            " of the file"
        )
    if plan.steps > old_steps:
        _extend(path, extents, recorder, initial, run, space)
        extents = inspect(path)[0]
    sink = FileSink(path, recorder, extents, 0)
    checkpoint = _newest(path, sink.descriptor, extents)
    arrays = dict(checkpoint.arrays)
    arrays.pop("final")
    recorder.engine.restore(arrays, checkpoint.done)
    sink.sequence, sink.kept = checkpoint.sequence, checkpoint.done
    return sink


def _extend(
    path: Path,
    extents: dict[str, Extent],
    recorder: Recorder,
    initial: Block,
    run: dict[str, Any],
    space: StateSpace,
) -> None:
    """Copy the run into a longer file, which then takes the place of the old one."""
    done = read_checkpoint(path, extents).done
    plan = recorder.plan
    temporary = _prepare(path, recorder, initial, run, space)
    try:
        target = inspect(temporary)[0]
        with path.open("rb") as source, temporary.open("r+b") as copy:
            for key, extent in extents.items():
                rows = extent.shape[0] if extent.shape else 1
                if key in ("times", "states"):
                    rows = done // plan.every + 1
                elif key.startswith("observation"):
                    rows = done // plan.observe_every + 1
                source.seek(extent.offset)
                copy.seek(target[key].offset)
                left = rows * extent.row_bytes if extent.shape else extent.nbytes
                while left > 0:
                    data = source.read(min(left, 2**24))
                    copy.write(data)
                    left -= len(data)
            copy.flush()
            os.fsync(copy.fileno())
        publish(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _array(values: Tensor) -> np.ndarray:
    return values.detach().cpu().contiguous().numpy()
