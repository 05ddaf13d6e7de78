"""Keeping the samples of a rollout in memory."""

from __future__ import annotations

from torch import Tensor

from ._plan import Plan
from ._recorder import Block


class MemorySink:
    """Collects blocks in tensors that are allocated once."""

    def __init__(self, plan: Plan, initial: Block) -> None:
        """Allocate, and store sample 0.

        Args:
            plan: What is to be kept.
            initial: The block of sample 0.
        """
        self.states = initial.states.new_empty((plan.samples, plan.count, plan.size))
        self.observations: dict[str, Tensor] = {
            name: value.new_empty((plan.observed_samples, *value.shape[1:]))
            for name, value in initial.observations.items()
        }
        self.write(initial)

    def write(self, block: Block) -> None:
        """Store a block.

        Args:
            block: What was kept of a chunk.

        Raises:
            ValueError: If an observer returns another shape than before.
        """
        self.states[block.first : block.first + len(block.states)] = block.states
        for name, value in block.observations.items():
            target = self.observations[name]
            if value.shape[1:] != target.shape[1:]:
                raise ValueError(
                    f"observe: {name!r} returned {tuple(value.shape[1:])} per sample after"
                    f" {tuple(target.shape[1:])}"
                )
            target[block.first_observed : block.first_observed + len(value)] = value

    def shaped(self, plan: Plan) -> tuple[Tensor, dict[str, Tensor]]:
        """The collected samples with the batch in its shape.

        Args:
            plan: What was to be kept.

        Returns:
            States ``(samples, *batch, n)`` and observations ``(samples, *batch, ...)``.
        """
        states = self.states.reshape(plan.samples, *plan.batch, plan.size)
        return states, {
            name: value.reshape(len(value), *plan.batch, *value.shape[2:])
            for name, value in self.observations.items()
        }
