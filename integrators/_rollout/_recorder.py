"""Running a flow map chunk by chunk, and picking what is to be kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ._kernel_engine import KernelEngine
from ._observers import Evaluator, Observer
from ._plan import CHUNK_BYTES, Plan
from ._torch_engine import TorchEngine


@dataclass(frozen=True)
class Block:
    """Kept values of a range of steps.

    Attributes:
        first: Number of the first kept state.
        states: ``(samples, batch size, n)``.
        first_observed: Number of the first observation.
        observations: For each observer ``(observed samples, batch size, ...)``.
    """

    first: int
    states: Tensor
    first_observed: int
    observations: dict[str, Tensor]


class Recorder:
    """An engine together with what is observed."""

    def __init__(self, engine: TorchEngine | KernelEngine, observers: Sequence[Observer], plan: Plan) -> None:
        """Sort the observers into those that the kernel evaluates and the others.

        Args:
            engine: What moves the states.
            observers: What to follow.
            plan: What to keep.
        """
        self.engine, self.observers, self.plan = engine, observers, plan
        self.inside = inside_kernel(engine.backend, observers)
        self.outside = {o.name: Evaluator(o, plan.batch) for o in observers if o not in self.inside}
        self.stride = math.gcd(plan.every, plan.observe_every) if self.outside else plan.every

    @property
    def chunk_limit(self) -> int:
        """Most steps whose outputs fit into a chunk's memory."""
        row = 8 * max(1, self.plan.count)
        per_step = (
            row * self.plan.size / self.stride + row * 8 * len(self.observers) / self.plan.observe_every
        )
        if not self.engine.controls.constant:
            per_step += row * self.engine.controls.size
        return max(self.stride, int(CHUNK_BYTES / per_step))

    def initial(self, x: Tensor) -> Block:
        """Sample 0.

        Args:
            x: Initial states ``(batch size, n)``.

        Returns:
            The block.
        """
        observations = {}
        if isinstance(self.engine, KernelEngine) and self.inside:
            observations = self._split(self.engine.read()[1][None])
        observations |= {name: evaluate(0, x[None]) for name, evaluate in self.outside.items()}
        return Block(0, x[None], 0, self._ordered(observations))

    def advance(self, steps: int) -> Block:
        """Move on.

        Args:
            steps: Number of steps.

        Returns:
            What is kept of them.
        """
        plan, engine = self.plan, self.engine
        done = engine.done
        observations: dict[str, Tensor] = {}
        if isinstance(engine, KernelEngine):
            raw, observed = engine.advance(steps, self.stride, plan.observe_every if self.inside else 0)
            states = torch.from_numpy(raw).to(engine.device, plan.dtype)
            if self.inside:
                observations = self._split(observed)
        else:
            states = engine.advance(steps, self.stride)
        kept = states[self._pick(done, plan.every)] if self.stride != plan.every else states
        first_observed = done // plan.observe_every + 1
        if self.outside:
            seen = states[self._pick(done, plan.observe_every)]
            observations |= {name: evaluate(first_observed, seen) for name, evaluate in self.outside.items()}
        return Block(done // plan.every + 1, kept, first_observed, self._ordered(observations))

    def final(self) -> Tensor:
        """Present states ``(batch size, n)``."""
        if isinstance(self.engine, KernelEngine):
            return torch.from_numpy(self.engine.read()[0]).to(self.engine.device, self.plan.dtype)
        return self.engine.read()

    def _pick(self, done: int, every: int) -> slice:
        """Rows of a chunk's states at the multiples of ``every``."""
        first = (done // every + 1) * every
        return slice(first // self.stride - done // self.stride - 1, None, every // self.stride)

    def _split(self, observed: np.ndarray) -> dict[str, Tensor]:
        """Cut the kernel's observations by name."""
        columns, column = {}, 0
        device = self.engine.device if isinstance(self.engine, KernelEngine) else torch.device("cpu")
        for own, size in own_observables(self.observers):
            values = observed[..., column] if size == 1 else observed[..., column : column + size]
            columns[own] = torch.from_numpy(np.ascontiguousarray(values)).to(device, self.plan.dtype)
            column += size
        return {observer.name: columns[observer.own] for observer in self.inside if observer.own}

    def _ordered(self, observations: dict[str, Tensor]) -> dict[str, Tensor]:
        return {o.name: observations[o.name] for o in self.observers}


def inside_kernel(backend: str, observers: Sequence[Observer]) -> list[Observer]:
    """The observers that a compiled kernel evaluates itself.

    Args:
        backend: ``"torch"``, ``"numba"`` or ``"cuda"``.
        observers: All observers.

    Returns:
        Those which are the map's own, unless the backend is ``"torch"``.
    """
    return [] if backend == "torch" else [o for o in observers if o.own is not None]


def own_observables(observers: Sequence[Observer]) -> list[tuple[str, int]]:
    """The observables of the map among the observers, each once.

    Args:
        observers: All observers.

    Returns:
        Names and numbers of components.
    """
    return list({o.own: o.size for o in observers if o.own is not None}.items())
