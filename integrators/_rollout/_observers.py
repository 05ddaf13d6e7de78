"""Quantities that are followed along a rollout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from numba.core.dispatcher import Dispatcher
from torch import Tensor

from .._flow import FlowMap

Function = Callable[..., Any]
GROUP_STATES, GROUP_SAMPLES = 4096, 64


@dataclass(frozen=True)
class Observer:
    """One observed quantity.

    Attributes:
        name: Name under which it is returned.
        function: Function of states ``(..., n)``, or a compiled function of one state.
        own: Name among the map's ``observables``, if it is one of them.
        size: Number of components, if it is one of them.
    """

    name: str
    function: Function
    own: str | None = None
    size: int = 0

    @property
    def compiled(self) -> bool:
        """Whether the function is a numba function of one state."""
        return isinstance(self.function, Dispatcher)

    @property
    def description(self) -> str:
        """What the function is called, to recognise it when a run is resumed."""
        function = getattr(self.function, "py_func", self.function)
        name = getattr(function, "__qualname__", type(function).__qualname__)
        return f"{'compiled ' if self.compiled else ''}{name}"


def resolve_observers(
    flow: FlowMap, observe: Mapping[str, Function] | Iterable[str] | str | None
) -> list[Observer]:
    """Turn names and functions into observers.

    Args:
        flow: The map.
        observe: Names of the map's observables, or a mapping of names to functions.

    Returns:
        The observers, in order.

    Raises:
        ValueError: If the map does not have an observable of that name.
        TypeError: If something is neither a name nor callable.
    """
    known: dict[str, int] = getattr(flow, "observables", {})
    if observe is None:
        return []
    if isinstance(observe, str):
        observe = [observe]
    if isinstance(observe, Mapping):
        pairs = list(observe.items())
    else:
        pairs = [(name, name) for name in observe]
    observers = []
    for name, function in pairs:
        if not isinstance(name, str) or not name or "/" in name:
            raise TypeError(
                f"observe: expected names without '/', got {name!r}; give other functions as a dict"
            )
        if isinstance(function, str):
            if function not in known:
                raise ValueError(
                    f"observe: expected one of {tuple(known)} of {type(flow).__name__}, got {function!r};"
                    " give other quantities as a dict of names and functions"
                )
            observers.append(Observer(name, getattr(flow, function), function, known[function]))
        elif callable(function):
            own = getattr(function, "__name__", "")
            mine = getattr(function, "__self__", None) is flow and own in known
            observers.append(Observer(name, function, own, known[own]) if mine else Observer(name, function))
        else:
            raise TypeError(
                f"observe: expected a function or a name for {name!r}, got {type(function).__name__}"
            )
    return observers


@numba.njit(nogil=True)
def _each_row(function: Any, rows: np.ndarray, out: np.ndarray) -> None:  # pragma: no cover - compiled
    for k in range(rows.shape[0]):
        out[k] = function(rows[k])


class Evaluator:
    """Evaluates one observer on states of successive samples.

    A torch function is always called on the same number of samples, aligned to the sample numbers, because
    sums over batches of different sizes can differ in the last bit; so what is returned does not depend on
    how the run is cut.
    """

    def __init__(self, observer: Observer, batch: tuple[int, ...]) -> None:
        """Prepare.

        Args:
            observer: What to evaluate.
            batch: Batch shape of the rollout.
        """
        self.observer, self.batch = observer, batch
        self.group = max(1, min(GROUP_SAMPLES, GROUP_STATES // max(1, int(np.prod(batch, dtype=np.int64)))))

    def __call__(self, first: int, states: Tensor) -> Tensor:
        """Evaluate.

        Args:
            first: Number of the first sample.
            states: ``(samples, batch size, n)``.

        Returns:
            ``(samples, batch size, ...)``.
        """
        if self.observer.compiled:
            return self._compiled(states)
        values = []
        done = 0
        while done < states.shape[0]:
            offset = (first + done) % self.group
            count = min(self.group - offset, states.shape[0] - done)
            block = states[done : done + count]
            padded = torch.cat((block[:1].expand(offset, -1, -1), block))
            padded = torch.cat((padded, block[-1:].expand(self.group - offset - count, -1, -1)))
            values.append(self._call(padded)[offset : offset + count])
            done += count
        return torch.cat(values) if values else self._call(states)

    def _call(self, states: Tensor) -> Tensor:
        shaped = states.reshape(states.shape[0], *self.batch, states.shape[-1])
        value = self.observer.function(shaped)
        name = self.observer.name
        if not isinstance(value, Tensor):
            raise TypeError(f"observe: {name!r} returned {type(value).__name__}, expected a tensor")
        leading = shaped.ndim - 1
        if tuple(value.shape[:leading]) != tuple(shaped.shape[:-1]):
            raise ValueError(
                f"observe: {name!r} returned shape {tuple(value.shape)} for states {tuple(shaped.shape)};"
                " expected"
                f" ({', '.join(map(str, shaped.shape[:-1]))}, ...)"
            )
        if value.dtype not in (torch.float32, torch.float64):
            value = value.to(torch.float64)
        return value.detach().reshape(states.shape[0], states.shape[1], *value.shape[leading:])

    def _compiled(self, states: Tensor) -> Tensor:
        rows = states.to("cpu", torch.float64).reshape(-1, states.shape[-1]).numpy()
        out = np.empty(rows.shape[0])
        _each_row(self.observer.function, np.ascontiguousarray(rows), out)
        return torch.from_numpy(out).reshape(states.shape[:2]).to(states.device, states.dtype)
