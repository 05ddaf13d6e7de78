"""Large ensembles: shards of the batch on any executor."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._flow import FlowMap
from ..kernels import BLOCK_LANES
from ._controls import Controls
from ._observers import Observer
from ._plan import Plan
from ._result import Rollout, sample_times

RolloutFunction = Callable[..., Rollout]


def run_shards(
    run: RolloutFunction,
    executor: Executor,
    flow: FlowMap,
    x: Tensor,
    controls: Controls,
    observers: list[Observer],
    plan: Plan,
    backend: str,
) -> Rollout:
    """Roll out ranges of trajectories separately and join them.

    Args:
        run: The function ``rollout``.
        executor: Anything with ``submit`` in the manner of ``concurrent.futures``.
        flow: The map.
        x: Initial states ``(batch size, n)``.
        controls: Controls of the batch.
        observers: What is followed.
        plan: What is kept.
        backend: ``"auto"``, ``"torch"`` or ``"numba"``.

    Returns:
        The joined rollout.

    Raises:
        ValueError: If the controls are a function, which is meant for the whole batch.
    """
    if controls.feedback is not None:
        raise ValueError("executor: expected controls as a tensor; a function sees the whole batch at once")
    workers = getattr(executor, "_max_workers", None) or os.cpu_count() or 1
    blocks = math.ceil(plan.count / BLOCK_LANES)
    width = BLOCK_LANES * max(1, math.ceil(blocks / workers))
    observe = {o.name: o.own or o.function for o in observers}
    futures = [
        executor.submit(
            _shard,
            run,
            flow,
            x[first : first + width],
            controls.shard(first, first + width).values,
            observe,
            plan,
            backend,
        )
        for first in range(0, max(plan.count, 1), width)
    ]
    parts = [future.result() for future in futures]

    def join(key: str, axis: int) -> Tensor:
        value = torch.from_numpy(np.concatenate([part[key] for part in parts], axis=axis))
        return value.reshape(*value.shape[:axis], *plan.batch, *value.shape[axis + 1 :])

    return Rollout(
        times=sample_times(plan.samples, plan.every, plan.h),
        states=join("states", 1),
        observation_times=sample_times(plan.observed_samples if observers else 0, plan.observe_every, plan.h),
        observations={o.name: join(f"observations/{o.name}", 1) for o in observers},
        status=join("status", 0),
        failed_at=join("failed_at", 0),
        final=join("final", 0),
        space=flow.space,
        h=plan.h,
        steps=plan.steps,
        backend=parts[0]["backend"],
    )


def _shard(
    run: RolloutFunction,
    flow: FlowMap,
    x: Tensor,
    controls: Tensor | None,
    observe: dict[str, Any],
    plan: Plan,
    backend: str,
) -> dict[str, Any]:
    part = run(
        flow,
        x,
        plan.steps,
        plan.every,
        controls,
        observe,
        plan.observe_every,
        backend,
        parallel=False,
        progress=False,
    )
    arrays = {key: getattr(part, key).numpy() for key in ("states", "status", "failed_at", "final")}
    observed = {f"observations/{name}": value.numpy() for name, value in part.observations.items()}
    return {**arrays, **observed, "backend": part.backend}
