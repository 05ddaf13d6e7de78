"""What a rollout is asked to keep, and how its steps are cut into chunks."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import torch

CHUNK_BYTES = 32 * 2**20
CHUNK_SECONDS = 0.5
CHECKPOINT_SHARE = 20


@dataclass(frozen=True)
class Plan:
    """Numbers of a rollout.

    Attributes:
        steps: Number of steps.
        every: Steps between kept states.
        observe_every: Steps between observations.
        batch: Batch shape.
        size: Length of a state.
        dtype: Dtype of states.
        h: Step length.
    """

    steps: int
    every: int
    observe_every: int
    batch: tuple[int, ...]
    size: int
    dtype: torch.dtype
    h: float

    @property
    def count(self) -> int:
        """Number of trajectories."""
        return math.prod(self.batch)

    @property
    def samples(self) -> int:
        """Number of kept states per trajectory, with the initial one."""
        return self.steps // self.every + 1

    @property
    def observed_samples(self) -> int:
        """Number of observations per trajectory, with the initial one."""
        return self.steps // self.observe_every + 1

    @property
    def state_bytes(self) -> int:
        """Memory of all kept states."""
        return self.samples * self.count * self.size * self.dtype.itemsize

    def check_memory(self) -> None:
        """Refuse a run whose states cannot fit into memory.

        Raises:
            MemoryError: Saying how large they would be and what to do.
        """
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
        if total is not None and self.state_bytes > total:
            size, present = self.state_bytes / 2**30, total / 2**30
            raise MemoryError(
                f"every: {self.samples} samples of {self.count} trajectories take {size:.1f} GiB,"
                f" this machine has {present:.1f} GiB; keep fewer states (every=), follow quantities"
                " (observe=) or write a file (file=)"
            )


class Pace:
    """Chooses how many steps the next chunk has: few to respond and to fit, many to cost nothing."""

    def __init__(self, limit: int, seconds: float = CHUNK_SECONDS) -> None:
        """Start small.

        Args:
            limit: Most steps in one chunk, by memory.
            seconds: Duration that a chunk should have.
        """
        self.limit, self.seconds = max(1, limit), seconds
        self.next = 16

    def choose(self, left: int) -> int:
        """Length of the next chunk.

        Args:
            left: Steps that are still to be made.

        Returns:
            Number of steps.
        """
        return max(1, min(self.next, self.limit, left))

    def learn(self, steps: int, elapsed: float) -> None:
        """Take the duration of a chunk into account.

        Args:
            steps: Its length.
            elapsed: Its duration in seconds.
        """
        ratio = self.seconds / max(elapsed, 1e-9)
        self.next = max(1, int(steps * min(8.0, ratio)))
