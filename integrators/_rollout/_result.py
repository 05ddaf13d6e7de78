"""What a rollout returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from .._state import StateSpace
from .._status import Status, StepError, describe_failures


@dataclass(frozen=True, repr=False)
class Rollout:
    """Trajectories at the requested instants, and how each of them ended.

    A trajectory that failed stays at its last good state: every later sample repeats it.

    Attributes:
        times: Times of the kept states ``(samples,)``, float64, from 0.
        states: States ``(samples, *batch, n)``; the first sample is the initial state.
        observation_times: Times of the observations ``(observed samples,)``, float64, from 0.
        observations: For each observer ``(observed samples, *batch)``, with trailing dimensions if it has
            components.
        status: Codes of ``Status`` ``(*batch)``, int8; what was worst along the trajectory.
        failed_at: Number of the step that could not be taken ``(*batch)``, int64, -1 where there is none.
        final: State after the last step ``(*batch, n)``, whether or not it is among the samples.
        space: Layout of the states.
        h: Step length.
        steps: Number of steps that were made.
        backend: ``"torch"`` or ``"numba"``.
        file: Where the samples are stored, if they are; ``states`` and ``observations`` are then views of the
            file.
        complete: Whether all steps that were asked for are made; only a file of an interrupted run is not
            complete.
    """

    times: Tensor
    states: Tensor
    observation_times: Tensor
    observations: dict[str, Tensor]
    status: Tensor
    failed_at: Tensor
    final: Tensor
    space: StateSpace
    h: float
    steps: int
    backend: str
    file: Path | None = field(default=None)
    complete: bool = True

    def part(self, name: str) -> Tensor:
        """A named part of the states.

        Args:
            name: Name of the part, such as ``"R"``.

        Returns:
            View ``(samples, *batch, *shape)``.

        Raises:
            ValueError: If the space has no such part.
        """
        if name not in self.space.names:
            raise ValueError(f"name: expected one of {self.space.names}, got {name!r}")
        return self.space.view(self.states)[name]

    @property
    def ok(self) -> bool:
        """Whether no trajectory failed."""
        return not bool((self.status >= int(Status.NOT_CONVERGED)).any())

    def raise_for_status(self) -> None:
        """Raise an error if a trajectory failed.

        Raises:
            StepError: Naming the number of failures, the first trajectory, its step and the mend.
        """
        if self.ok:
            return
        failed = self.status >= int(Status.NOT_CONVERGED)
        first = tuple(int(i) for i in failed.nonzero()[0])
        raise StepError(f"rollout: {describe_failures(self.status)} (step {int(self.failed_at[first])})")

    def __repr__(self) -> str:
        """Sizes and state of the run, without numbers."""
        failed = int((self.status >= int(Status.NOT_CONVERGED)).sum())
        words = [f"{self.steps} steps of {self.h:g}", f"states {'x'.join(map(str, self.states.shape))}"]
        if self.observations:
            words.append(
                f"observations {', '.join(self.observations)} at {len(self.observation_times)} times"
            )
        words.append(self.backend)
        if failed:
            words.append(f"{failed} of {self.status.numel()} trajectories FAILED")
        if not self.complete:
            words.append("interrupted")
        if self.file is not None:
            words.append(str(self.file))
        return f"Rollout({'; '.join(words)})"


def sample_times(count: int, every: int, h: float) -> Tensor:
    """Times of samples that are ``every`` steps apart.

    Args:
        count: Number of samples.
        every: Steps between them.
        h: Step length.

    Returns:
        ``(count,)`` float64, from 0.
    """
    return torch.arange(count, dtype=torch.float64) * every * h
