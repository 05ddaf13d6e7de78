"""Long trajectories of a flow map."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from .._flow import FlowMap
from ..kernels import KernelProgram
from ._backend import choose_program
from ._controls import Controls, Feedback, resolve_controls
from ._cuda_engine import CudaEngine
from ._identity import describe_run
from ._kernel_engine import KernelEngine
from ._load import load_rollout
from ._memory import MemorySink
from ._observers import Observer, resolve_observers
from ._plan import Pace, Plan
from ._progress import ProgressBar
from ._recorder import Block, Recorder
from ._result import Rollout, sample_times
from ._shards import run_shards
from ._store import open_store
from ._torch_engine import TorchEngine


class Sink(Protocol):
    """Where blocks go."""

    def write(self, block: Block) -> None:
        """Store a block."""


def rollout(
    flow: FlowMap,
    x0: Tensor,
    steps: int,
    every: int = 1,
    controls: Tensor | Feedback | None = None,
    observe: Mapping[str, Callable[..., Any]] | Iterable[str] | str | None = None,
    observe_every: int | None = None,
    backend: str = "auto",
    parallel: bool | None = None,
    file: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool | None = None,
    executor: Executor | None = None,
) -> Rollout:
    """Apply a flow map many times to a batch of states; no gradients are recorded.

    A trajectory whose step fails stays at its last good state and says so in ``status`` and ``failed_at``;
    the others go on. Both backends give the same trajectories up to rounding and the same status.

    Controls are told apart by their shape: ``(m,)`` is the same for all, ``(*batch, m)`` a constant of each
    trajectory, ``(steps, m)`` and ``(steps, *batch, m)`` have one value per step. Where ``(steps, m)`` and
    ``(batch, m)`` cannot be told apart the call is refused; ``controls[:, None]`` and ``controls[None]`` are
    always clear. A function ``u(t, x)`` of the time and the states ``(*batch, n)`` closes a loop, on
    ``"torch"`` only.

    Args:
        flow: The map.
        x0: Initial states ``(*batch, n)``.
        steps: Number of steps.
        every: Steps between kept states; the initial state is always kept.
        controls: Inputs, constant over each step.
        observe: Quantities to follow: names among ``flow.observables``, or a mapping of names to functions of
            states ``(samples, *batch, n)``, or to numba functions of one state ``(n,)`` that return a number.
            The map's own observables, by name or as bound methods, are evaluated inside the compiled loop.
        observe_every: Steps between observations; ``every`` by default.
        backend: ``"numba"`` for a compiled kernel, which computes in the dtype of ``x0``, but in float64
            where a step solves equations and for variational integrators;
            ``"cuda"`` for the same on an NVIDIA GPU, one thread for each trajectory (extra ``cuda``);
            ``"torch"``; or ``"auto"`` for the kernel where there is one, on the device of ``x0``.
        parallel: Whether the kernel uses all cores; by default for large batches, outside forked processes.
        file: An HDF5 file to which samples and checkpoints are written while the run goes on. A run that is
            killed or stopped by a full disk keeps what it has (``load_rollout`` reads it).
        resume: Whether to continue the run in ``file``, if that exists, with the bits that it would have had
            without the interruption. ``steps`` may be larger than before; all else must be the same.
        progress: Whether to show a progress bar; by default on a terminal when the run is long.
        executor: An executor in the manner of ``concurrent.futures`` that is given shards of the batch, for
            ensembles on many processes or machines. Functions in ``observe`` then see states ``(samples,
            shard, n)``.

    Returns:
        The trajectories, in the dtype of ``x0``; with ``file``, as maps of the file.

    Raises:
        ValueError: If an argument is out of range, or arguments exclude each other.
    """
    plan = make_plan(flow, x0, steps, every, observe_every)
    inputs = resolve_controls(flow, x0, steps, controls)
    observers = resolve_observers(flow, observe)
    if executor is not None:
        if file is not None or parallel:
            raise ValueError(
                "executor: expected neither file nor parallel=True; write a file for each shard yourself"
            )
        return run_shards(rollout, executor, flow, flat(x0), inputs, observers, plan, backend)
    with torch.no_grad():
        program, target = choose_program(flow, x0, inputs, observers, steps, backend)
        recorder = start(flow, x0, inputs, observers, plan, program, target, parallel)
        if file is not None:
            path = Path(file)
            run = describe_run(flow, x0, inputs, observers, plan, recorder.engine.backend)
            store = open_store(path, recorder, recorder.initial(flat(x0)), run, resume, flow.space)
            try:
                run_chunks(recorder, store, plan, progress)
            finally:
                store.close()
            return load_rollout(path)
        plan.check_memory()
        sink = MemorySink(plan, recorder.initial(flat(x0)))
        run_chunks(recorder, sink, plan, progress)
        return collect(flow, recorder, sink)


def collect(flow: FlowMap, recorder: Recorder, sink: MemorySink) -> Rollout:
    """Put together what was kept in memory.

    Args:
        flow: The map.
        recorder: The run, at its end.
        sink: The samples.

    Returns:
        The rollout.
    """
    plan, engine = recorder.plan, recorder.engine
    states, observations = sink.shaped(plan)
    seen = plan.observed_samples if recorder.observers else 0
    return Rollout(
        times=sample_times(plan.samples, plan.every, plan.h),
        states=states,
        observation_times=sample_times(seen, plan.observe_every, plan.h),
        observations=observations,
        status=torch.as_tensor(engine.codes).reshape(plan.batch),
        failed_at=torch.as_tensor(engine.failed_at).reshape(plan.batch),
        final=recorder.final().reshape(*plan.batch, plan.size),
        space=flow.space,
        h=flow.h,
        steps=plan.steps,
        backend=engine.backend,
    )


def flat(x0: Tensor) -> Tensor:
    """States ``(batch size, n)``, detached.

    Args:
        x0: States ``(*batch, n)``.

    Returns:
        The same states in one batch dimension.
    """
    count = x0.numel() // x0.shape[-1]
    return x0.detach().reshape(count, x0.shape[-1])


def make_plan(flow: FlowMap, x0: Tensor, steps: int, every: int, observe_every: int | None) -> Plan:
    """Check the numbers and the initial states.

    Args:
        flow: The map.
        x0: Initial states ``(*batch, n)``.
        steps: Number of steps.
        every: Steps between kept states.
        observe_every: Steps between observations.

    Returns:
        The plan.

    Raises:
        TypeError: If ``flow`` is no flow map or a number is not an integer.
        ValueError: If a number is too small.
    """
    if not isinstance(flow, FlowMap):
        raise TypeError(f"flow: expected a FlowMap, got {type(flow).__name__}")
    observe_every = every if observe_every is None else observe_every
    for name, value, least in (("steps", steps, 0), ("every", every, 1), ("observe_every", observe_every, 1)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name}: expected an integer, got {value!r}")
        if value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")
    flow.space.check(x0, "x0")
    flow.check_inputs(x0)
    return Plan(steps, every, observe_every, tuple(x0.shape[:-1]), x0.shape[-1], x0.dtype, flow.h)


def start(
    flow: FlowMap,
    x0: Tensor,
    controls: Controls,
    observers: list[Observer],
    plan: Plan,
    program: KernelProgram | None,
    target: str,
    parallel: bool | None,
) -> Recorder:
    """Put the initial states into an engine.

    Args:
        flow: The map.
        x0: Initial states ``(*batch, n)``.
        controls: Controls of the batch.
        observers: What is followed.
        plan: What is kept.
        program: The kernel, or ``None`` for torch.
        target: ``"cuda"`` for a kernel on a GPU.
        parallel: Whether the kernel uses all cores.

    Returns:
        The engine and its observers.
    """
    engine: TorchEngine | KernelEngine
    if program is None:
        engine = TorchEngine(flow, flat(x0), controls, plan.batch)
    elif target == "cuda":
        engine = CudaEngine(program, flat(x0), controls)
    else:
        engine = KernelEngine(program, flat(x0), controls, plan.steps, parallel)
    return Recorder(engine, observers, plan)


def run_chunks(recorder: Recorder, sink: Sink, plan: Plan, progress: bool | None) -> None:
    """Make all steps that are left.

    Args:
        recorder: The engine and its observers.
        sink: Where the samples go.
        plan: How many steps there are.
        progress: Whether to show a progress bar.
    """
    engine = recorder.engine
    pace = Pace(recorder.chunk_limit)
    with ProgressBar(plan.steps, engine.done, progress) as bar:
        while engine.done < plan.steps:
            count = pace.choose(plan.steps - engine.done)
            started = time.monotonic()
            sink.write(recorder.advance(count))
            pace.learn(count, time.monotonic() - started)
            bar.update(engine.done)
