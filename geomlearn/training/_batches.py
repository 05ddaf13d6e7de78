"""Mini-batches of windows in an order that depends on one generator only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class WindowSet(Protocol):
    """Windows of measured states, as ``geomlearn.data.Windows`` holds them."""

    @property
    def states(self) -> Tensor:
        """States ``(N, T, n)``."""

    @property
    def controls(self) -> Tensor | None:
        """Inputs ``(N, T-1, m)``, entry k held over ``[t_k, t_{k+1}]``, or ``None``."""


@dataclass(frozen=True)
class Batch:
    """Some of the windows.

    Attributes:
        states: States ``(B, T, n)``.
        controls: Inputs ``(B, T-1, m)`` or ``None``.
        indices: Places ``(B,)`` of the windows in the whole set.
        epoch: Number of the pass over the set, from 0.
    """

    states: Tensor
    controls: Tensor | None
    indices: Tensor
    epoch: int


class Batches:
    """Endless batches: each epoch visits every window once, in an order drawn from the generator.

    With ``batch_size=None`` every batch is the whole set in its own order and nothing is drawn. The last
    batch of an epoch is smaller when the size does not divide the number of windows.
    """

    def __init__(
        self,
        windows: WindowSet,
        batch_size: int | None = None,
        *,
        seed: int = 0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> None:
        """Hold the windows.

        Args:
            windows: States and inputs.
            batch_size: Windows per batch, ``None`` for all.
            seed: Seed of the order, when no generator is given.
            generator: CPU generator that draws the order.
            dtype: Floating type in which the batches are handed out.
            device: Device on which the batches are handed out.

        Raises:
            ValueError: If there is no window or the batch size is not positive.
        """
        if windows.states.ndim != 3 or windows.states.shape[0] == 0:
            raise ValueError(
                f"windows: expected states (N, T, n), N > 0, got shape {tuple(windows.states.shape)}"
            )
        if batch_size is not None and batch_size < 1:
            raise ValueError(
                f"batch_size: expected a positive number or None for all windows, got {batch_size}"
            )
        self.states = windows.states.to(dtype=dtype, device=device)
        self.controls = None if windows.controls is None else windows.controls.to(dtype=dtype, device=device)
        self.size = self.states.shape[0]
        self.batch_size = None if batch_size is None or batch_size >= self.size else batch_size
        self.generator = torch.Generator().manual_seed(seed) if generator is None else generator
        self.epoch = 0
        self._begin()

    def __len__(self) -> int:
        """Count the batches of one epoch."""
        return 1 if self.batch_size is None else -(-self.size // self.batch_size)

    def _begin(self) -> None:
        self._position = 0
        self._drawn_from = self.generator.get_state()
        order = (
            torch.arange(self.size)
            if self.batch_size is None
            else torch.randperm(self.size, generator=self.generator)
        )
        self._order = order

    def next(self) -> Batch:
        """Hand out the next batch.

        Returns:
            The batch.
        """
        if self._position == self.size:
            self.epoch += 1
            self._begin()
        if self.batch_size is None:
            self._position = self.size
            return Batch(self.states, self.controls, self._order, self.epoch)
        indices = self._order[self._position : self._position + self.batch_size]
        self._position += len(indices)
        where = indices.to(self.states.device)
        return Batch(
            self.states[where], None if self.controls is None else self.controls[where], indices, self.epoch
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Return what ``load_state_dict`` needs to continue with the same batches.

        Returns:
            State of the generator at the start of the epoch, and the place in the epoch.
        """
        place = torch.tensor([self.epoch, self._position, self.size, self.batch_size or 0], dtype=torch.int64)
        return {"generator": self._drawn_from.clone(), "place": place}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue where ``state_dict`` was taken.

        Args:
            state: What ``state_dict`` returned.

        Raises:
            ValueError: If the state is of another number of windows, batch size or kind of generator.
        """
        self.check_state_dict(state)
        epoch, position, _, _ = state["place"].tolist()
        self.epoch = epoch
        self.generator.set_state(state["generator"])
        self._begin()
        self._position = position

    def check_state_dict(self, state: dict[str, Tensor]) -> None:
        """Refuse a state that is not of these batches, changing nothing.

        Args:
            state: Candidate for ``load_state_dict``.

        Raises:
            ValueError: If the state is of another number of windows, batch size or kind of generator.
        """
        own = self.state_dict()
        for name, tensor in own.items():
            got = state.get(name)
            if got is None or got.shape != tensor.shape or got.dtype != tensor.dtype:
                raise ValueError(
                    f"state: expected {name!r} of shape {tuple(tensor.shape)} and {tensor.dtype}, got {got}"
                )
        epoch, position, size, batch_size = state["place"].tolist()
        if [size, batch_size] != own["place"][2:].tolist() or epoch < 0 or not 0 <= position <= size:
            raise ValueError(
                f"state: it is of {size} windows in batches of {batch_size or size}, these are {self.size}"
                " windows in"
                f" batches of {self.batch_size or self.size}"
            )
