"""The forms in which controls can be given to a rollout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._flow import FlowMap

Feedback = Callable[[float, Tensor], Tensor]


@dataclass(frozen=True)
class Controls:
    """Controls of a flattened batch.

    Attributes:
        values: ``(1, 1 or batch, m)`` when constant, ``(steps, 1 or batch, m)`` per step; ``None`` without
            controls or with feedback.
        feedback: Function of time and states ``(*batch, n)``.
    """

    values: Tensor | None = None
    feedback: Feedback | None = None

    @property
    def size(self) -> int:
        """Number of inputs, 0 if they are not given as numbers."""
        return 0 if self.values is None else self.values.shape[-1]

    @property
    def constant(self) -> bool:
        """Whether the controls do not change."""
        return self.values is None or self.values.shape[0] == 1

    def at(self, step: int) -> Tensor | None:
        """Values of one step, ``(1 or batch, m)``.

        Args:
            step: Number of the step, from 0.

        Returns:
            The controls, ``None`` if there are none.
        """
        if self.values is None:
            return None
        return self.values[0 if self.constant else step]

    def table(self, done: int, steps: int) -> np.ndarray:
        """Values of a range of steps, for a compiled kernel.

        Args:
            done: First step.
            steps: Number of steps.

        Returns:
            ``(0, 1, 0)`` without controls, ``(1, ...)`` when constant, else ``(steps, 1 or batch, m)``.
        """
        if self.values is None:
            return np.zeros((0, 1, 0))
        chosen = self.values if self.constant else self.values[done : done + steps]
        return np.ascontiguousarray(chosen.detach().numpy(), dtype=np.float64)

    def shard(self, first: int, last: int) -> Controls:
        """Controls of a range of trajectories.

        Args:
            first: First trajectory.
            last: One past the last.

        Returns:
            The controls of that range.
        """
        if self.values is None or self.values.shape[1] == 1:
            return self
        return Controls(self.values[:, first:last])


def resolve_controls(flow: FlowMap, x0: Tensor, steps: int, controls: Tensor | Feedback | None) -> Controls:
    """Decide from its shape what a tensor of controls means.

    Args:
        flow: The map.
        x0: Initial states ``(*batch, n)``.
        steps: Number of steps.
        controls: ``(m,)``, ``(*batch, m)``, ``(steps, m)`` or ``(steps, *batch, m)``; a function; or
            ``None``.

    Returns:
        The controls of the flattened batch.

    Raises:
        TypeError: If the argument is neither a tensor nor callable.
        ValueError: If the shape fits no meaning, or two.
    """
    if controls is None:
        return Controls()
    if not isinstance(controls, Tensor):
        if callable(controls):
            return Controls(feedback=controls)
        raise TypeError(f"controls: expected a tensor, a function or None, got {type(controls).__name__}")
    batch, m = tuple(x0.shape[:-1]), flow.control_size
    if m == 0:
        raise ValueError(f"controls: expected None, since {type(flow).__name__} takes no controls")
    flow.check_inputs(x0, controls)
    per_step = _meaning(tuple(controls.shape), batch, steps, m)
    values = controls.detach()
    if not per_step:
        values = values.expand(1, *batch, m) if values.ndim > 1 else values.reshape(1, *(1,) * len(batch), m)
    elif values.ndim == 2:
        values = values.reshape(values.shape[0], *(1,) * len(batch), m)
    if bad := int((~torch.isfinite(values)).sum()):
        raise ValueError(f"controls: expected finite numbers, got {bad} that are not")
    shared = all(length == 1 for length in values.shape[1:-1]) or not batch
    flat = values.reshape(values.shape[0], 1, m) if shared else values.expand(-1, *batch, m)
    return Controls(flat.flatten(1, -2))


def _meaning(shape: tuple[int, ...], batch: tuple[int, ...], steps: int, m: int) -> bool:
    """Whether the shape means one value per step."""
    fits_batch = len(shape) == len(batch) + 2 and all(
        got in (1, length) for got, length in zip(shape[1:-1], batch, strict=True)
    )
    per_step = shape[0] == steps and (fits_batch or len(shape) == 2)
    constant = shape in ((m,), (*batch, m)) or (fits_batch and shape[0] == 1)
    if per_step and constant and steps > 1:
        raise ValueError(
            f"controls: the shape {shape} fits both {steps} steps and {shape[0]} trajectories; for one"
            " value per step"
            " pass controls[:, None], for one constant value per trajectory pass controls[None]"
        )
    if per_step or constant:
        return per_step and not constant
    b = "".join(f"{length}, " for length in batch)
    known = [f"({m},)", f"({b}{m})", f"({steps}, {m})", f"({steps}, {b}{m})"]
    raise ValueError(
        f"controls: expected shape {' or '.join(dict.fromkeys(known))} for {steps} steps and the batch"
        f" {batch},"
        f" got {shape}"
    )
