"""Rollouts in torch: every flow map, every device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._flow import FlowMap
from .._status import Status
from ._controls import Controls

LARGEST = 1e300


def flatten_carry(carry: Any) -> list[Tensor]:
    """List the tensors of a carry.

    Args:
        carry: A tensor, ``None``, or (named) tuples of them.

    Returns:
        Its tensors, in order.
    """
    if isinstance(carry, Tensor):
        return [carry]
    if carry is None:
        return []
    return [leaf for item in carry for leaf in flatten_carry(item)]


def map_carry(function: Callable[[Tensor], Tensor], carry: Any) -> Any:
    """Apply a function to the tensors of a carry, in order.

    Args:
        function: What to apply.
        carry: A tensor, ``None``, or (named) tuples of them.

    Returns:
        The same structure.
    """
    if isinstance(carry, Tensor):
        return function(carry)
    if carry is None:
        return None
    items = [map_carry(function, item) for item in carry]
    return type(carry)(*items) if hasattr(carry, "_fields") else tuple(items)


class TorchEngine:
    """Moves a batch with ``try_advance``; trajectories that failed leave the batch."""

    backend = "torch"

    def __init__(self, flow: FlowMap, x: Tensor, controls: Controls, batch: tuple[int, ...]) -> None:
        """Start.

        Args:
            flow: The map.
            x: Initial states ``(batch size, n)``.
            controls: Controls of the batch.
            batch: Batch shape, which a feedback function is given.
        """
        self.flow, self.controls, self.batch = flow, controls, batch
        self.done = 0
        self.constants = flow.constants()
        self.states = x.clone()  # what failed trajectories keep showing
        self.codes = torch.zeros(x.shape[0], dtype=torch.int8, device=x.device)
        self.failed_at = torch.full((x.shape[0],), -1, dtype=torch.int64, device=x.device)
        self.alive = torch.arange(x.shape[0], device=x.device)
        self.whole = True
        self.carry = flow.start(x, self.constants) if len(x) else None
        self.batched = self._find_batched(x)

    def _find_batched(self, x: Tensor) -> list[bool]:
        """Which tensors of the carry have the batch in front; a slot may return one matrix for all."""
        if not len(x):
            return []
        one = flatten_carry(self.flow.start(x[:1], self.constants))
        two = flatten_carry(self.flow.start(x[:1].expand(2, -1), self.constants))
        return [a.ndim > 0 and a.shape[0] != b.shape[0] for a, b in zip(one, two, strict=True)]

    def advance(self, steps: int, stride: int) -> Tensor:
        """Move on and read the states whose step number is a multiple of ``stride``.

        Args:
            steps: Number of steps.
            stride: Steps between samples.

        Returns:
            ``(samples, batch size, n)``.
        """
        rows = (self.done + steps) // stride - self.done // stride
        out = self.states.new_empty((rows, *self.states.shape))
        row = 0
        for _ in range(steps):
            if len(self.alive):
                self._step()
            self.done += 1
            if self.done % stride == 0:
                out[row] = self.read()
                row += 1
        return out

    def _step(self) -> None:
        previous = self.carry
        inputs = self.flow.prepare(self._control(), self.constants)
        carry, status = self.flow.try_advance(previous, inputs, self.constants)
        finite = self._finite(carry)
        status = torch.where(finite, status, status.clamp(min=int(Status.NON_FINITE)))
        codes = torch.maximum(self.codes[self.alive], status.to(torch.int8))
        self.codes[self.alive] = codes
        failed = codes >= int(Status.NOT_CONVERGED)
        self.carry = carry
        if bool(failed.any()):
            self._drop(previous, failed)

    def _finite(self, carry: Any) -> Tensor:
        """Which trajectories have finite tensors in the carry."""
        total: Tensor | None = None
        for leaf, batched in zip(flatten_carry(carry), self.batched, strict=True):
            if batched and leaf.is_floating_point():
                size = leaf.abs() if leaf.ndim == 1 else torch.linalg.vector_norm(leaf.flatten(1), 1, dim=1)
                total = size if total is None else total + size
        if total is None:
            return torch.ones(len(self.alive), dtype=torch.bool, device=self.alive.device)
        return total < min(LARGEST, torch.finfo(total.dtype).max)

    def _drop(self, previous: Any, failed: Tensor) -> None:
        """Take the failed trajectories out of the batch."""
        stopped = self.alive[failed]
        self.states[stopped] = self.flow.finish(previous, self.constants)[failed]
        self.failed_at[stopped] = self.done + 1
        self.alive = self.alive[~failed]
        self.whole = False
        flags = iter(self.batched)
        self.carry = map_carry(lambda leaf: leaf[~failed] if next(flags) else leaf, self.carry)

    def _control(self) -> Tensor | None:
        if self.controls.feedback is not None:
            states = self.read()
            n = states.shape[-1]
            value = self.controls.feedback(self.done * self.flow.h, states.reshape(*self.batch, n))
            m = self.flow.control_size
            if (
                not isinstance(value, Tensor)
                or value.ndim == 0
                or value.shape[-1] != m
                or value.dtype != states.dtype
            ):
                got = (
                    f"{tuple(value.shape)} {value.dtype}"
                    if isinstance(value, Tensor)
                    else type(value).__name__
                )
                raise ValueError(
                    f"controls: expected the function to return (..., {m}) {states.dtype}, got {got}"
                )
            control: Tensor | None = value.expand(*self.batch, m).reshape(-1, m)
        else:
            control = self.controls.at(self.done)
            if control is not None:
                control = control.expand(len(self.states), -1)
        return control if control is None or self.whole else control[self.alive]

    def read(self) -> Tensor:
        """Present states ``(batch size, n)``."""
        if not len(self.alive):
            return self.states.clone()
        moving = self.flow.finish(self.carry, self.constants)
        if self.whole:
            return moving
        states = self.states.clone()
        states[self.alive] = moving
        return states

    def save(self) -> dict[str, np.ndarray]:
        """Everything that is needed to go on later, as arrays of sizes that never change."""
        saved = {"states": self.states, "codes": self.codes, "failed_at": self.failed_at}
        leaves = [] if self.carry is None else flatten_carry(self.carry)
        for k, (leaf, batched) in enumerate(zip(leaves, self.batched, strict=True)):
            if batched and not self.whole:
                full = leaf.new_zeros((len(self.states), *leaf.shape[1:]))
                full[self.alive] = leaf
                leaf = full
            saved[f"carry{k}"] = leaf
        return {name: value.detach().cpu().contiguous().numpy() for name, value in saved.items()}

    def restore(self, saved: dict[str, np.ndarray], done: int) -> None:
        """Go back to what ``save`` returned.

        Args:
            saved: The arrays.
            done: Number of steps made by then.
        """
        device = self.states.device
        tensors = {name: torch.from_numpy(value.copy()).to(device) for name, value in saved.items()}
        self.done = done
        self.states, self.codes, self.failed_at = tensors["states"], tensors["codes"], tensors["failed_at"]
        moving = self.codes < int(Status.NOT_CONVERGED)
        self.alive = moving.nonzero().squeeze(-1)
        self.whole = bool(moving.all())
        leaves = iter(
            [
                tensors[f"carry{k}"][self.alive] if batched and not self.whole else tensors[f"carry{k}"]
                for k, batched in enumerate(self.batched)
            ]
        )
        if self.carry is not None:
            self.carry = map_carry(lambda _: next(leaves), self.carry)
