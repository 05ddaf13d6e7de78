"""Training windows: short pieces of measured trajectories, validated once."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from integrators import StateSpace, vector

from ._checks import check_entries, check_float_tensor, check_members
from ._store import load_windows, save_windows

if TYPE_CHECKING:
    Index = int | slice | Sequence[int] | Tensor


def _unlabelled() -> Tensor:
    """Stand-in for windows whose recordings are not given."""
    return torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True, eq=False, repr=False)
class Windows:
    """Windows of ``T`` samples at equal steps, with the controls that acted between them.

    Control ``k`` is held over ``[t_k, t_{k+1}]``. Every number is checked when the object is made: dtype,
    shape, finiteness, and membership of each group-valued block in its group.

    Attributes:
        states: States ``(N, T, n)``, float64 or float32.
        controls: Controls ``(N, T-1, m)`` of the same dtype, or ``None``.
        h: Time between samples in seconds.
        space: Layout of the states.
        recording: Integer label ``(N,)`` of the recording that each window was cut from. Windows with the
            same label may overlap in time, so ``split`` keeps them together. By default each window is a
            recording of its own.
        control_space: Layout of the controls with their units; by default one vector ``u``.
        tol: How far a block may be from its group; ``None`` for the group's own tolerance.

    Raises:
        TypeError: If a tensor has the wrong type or dtype.
        ValueError: If a shape, a number or a group element is wrong; the message names window, sample and
            column.

    Example:
        >>> import torch
        >>> from integrators import rigid_body_space
        >>> from lie import SO3
        >>> space = rigid_body_space(SO3)
        >>> R = SO3.random(8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> windows = Windows(space.pack(R=R, omega=torch.zeros(8, 5, 3, dtype=R.dtype)), None, 0.02, space)
        >>> train, test = windows.split(0.75)
        >>> len(train), len(test)
        (6, 2)
    """

    states: Tensor
    controls: Tensor | None
    h: float
    space: StateSpace
    recording: Tensor = field(default_factory=_unlabelled)
    control_space: StateSpace | None = None
    tol: float | None = None

    def __post_init__(self) -> None:
        """Check every argument."""
        check_float_tensor(self.states, "states")
        if self.states.ndim != 3 or self.states.shape[0] < 1 or self.states.shape[1] < 2:
            raise ValueError(
                f"states: expected shape (N, T, {self.space.size}) with N >= 1 and T >= 2,"
                f" got {tuple(self.states.shape)}"
            )
        if not (isinstance(self.h, (int, float)) and math.isfinite(self.h) and self.h > 0):
            raise ValueError(f"h: expected a positive number of seconds, got {self.h!r}")
        object.__setattr__(self, "h", float(self.h))
        check_entries(self.states, self.space, "states", _place)
        mend = "pass tol= if that is the precision of the data, or project the rotations (lie.SO3.project)"
        check_members(self.states, self.space, "states", _place, self.tol, mend)
        self._check_controls()
        self._check_recording()

    def _check_controls(self) -> None:
        """Refuse controls that do not belong to the states; name them if they have no layout yet."""
        if self.controls is None:
            if self.control_space is not None:
                raise ValueError(f"control_space: expected None without controls, got {self.control_space}")
            return
        check_float_tensor(self.controls, "controls")
        count, samples = self.states.shape[:2]
        if self.controls.ndim != 3 or tuple(self.controls.shape[:2]) != (count, samples - 1):
            raise ValueError(
                f"controls: expected shape ({count}, {samples - 1}, m), one control between any two samples,"
                f" got {tuple(self.controls.shape)}"
            )
        if self.controls.dtype != self.states.dtype:
            raise TypeError(
                f"controls: expected the dtype of the states, {self.states.dtype}, got {self.controls.dtype};"
                f" convert one of them"
            )
        if self.controls.device != self.states.device:
            raise ValueError(f"controls: expected them on {self.states.device}, got {self.controls.device}")
        if self.control_space is None:
            object.__setattr__(self, "control_space", StateSpace(vector("u", self.controls.shape[-1])))
        check_entries(self.controls, self.layout_of_controls, "controls", _place)

    def _check_recording(self) -> None:
        """Refuse labels that are not one integer per window; number the windows if there are none."""
        if isinstance(self.recording, Tensor) and self.recording.numel() == 0:
            object.__setattr__(self, "recording", torch.arange(len(self)))
        label = self.recording
        if not isinstance(label, Tensor) or label.dtype != torch.int64 or tuple(label.shape) != (len(self),):
            got = f"{label.dtype} {tuple(label.shape)}" if isinstance(label, Tensor) else type(label).__name__
            raise ValueError(f"recording: expected an int64 tensor of shape ({len(self)},), got {got}")
        object.__setattr__(self, "recording", label.cpu())

    @property
    def layout_of_controls(self) -> StateSpace:
        """Layout of the controls.

        Raises:
            ValueError: If there are no controls.
        """
        if self.control_space is None:
            raise ValueError("control_space: these windows have no controls")
        return self.control_space

    def __len__(self) -> int:
        """Number of windows."""
        return int(self.states.shape[0])

    def __repr__(self) -> str:
        """Sizes, step and layout."""
        controls = "no controls" if self.control_space is None else f"controls {self.control_space}"
        return (
            f"Windows({len(self)} of {self.states.shape[1]} samples, h={self.h:g} s, {controls},"
            f" {len(self.recording.unique())} recordings, {self.states.dtype}, {self.space})"
        )

    def __getitem__(self, index: Index) -> Windows:
        """Some of the windows, always as ``Windows``; an integer gives one.

        Args:
            index: An integer, a slice, a list of integers, or a tensor of integers or booleans ``(N,)``.

        Returns:
            The windows chosen.

        Raises:
            IndexError: If an index is out of range or nothing is chosen.
        """
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(f"index: expected -{len(self)} ... {len(self) - 1}, got {index}")
            index = [index]
        places = torch.arange(len(self))[index.cpu() if isinstance(index, Tensor) else index]
        if places.numel() == 0:
            raise IndexError("index: expected at least one window, got none")
        return self._take(places)

    def _take(self, places: Tensor) -> Windows:
        """Windows at the places ``(K,)``; what was checked is not checked again."""
        there = places.to(self.states.device)
        return self.filled(
            self.states[there],
            None if self.controls is None else self.controls[there],
            self.recording[places],
        )

    def filled(self, states: Tensor, controls: Tensor | None, recording: Tensor) -> Windows:
        """Windows of the same step and layout with other tensors, which are not checked.

        Args:
            states: States ``(K, T, n)``.
            controls: Controls ``(K, T-1, m)``, or ``None`` as here.
            recording: Labels ``(K,)``, int64 on the CPU.

        Returns:
            The windows.
        """
        other = object.__new__(Windows)
        for name, value in vars(self).items():
            object.__setattr__(other, name, value)
        for name, value in (("states", states), ("controls", controls), ("recording", recording)):
            object.__setattr__(other, name, value)
        return other

    def split(self, fraction: float, generator: torch.Generator | None = None) -> tuple[Windows, Windows]:
        """Divide the windows into two sets that share no recording.

        Whole recordings go to one side or the other, so no window of the second set overlaps one of the
        first.

        Args:
            fraction: Share of the recordings for the first set, between 0 and 1; each side gets at least one.
            generator: Draws which recordings go where; without it the first ones in order of their labels do.

        Returns:
            The two sets, for example for training and test.

        Raises:
            ValueError: If the fraction is not between 0 and 1, or there is only one recording.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"fraction: expected a number between 0 and 1, got {fraction}")
        labels = self.recording.unique()
        if len(labels) < 2:
            raise ValueError(
                "split: all windows come from one recording and may overlap; cut the recording into pieces"
                " first (Recording.pieces), or give more recordings"
            )
        if generator is not None:
            labels = labels[torch.randperm(len(labels), generator=generator, device=generator.device).cpu()]
        first = min(max(round(fraction * len(labels)), 1), len(labels) - 1)
        inside = torch.isin(self.recording, labels[:first])
        return self[inside], self[~inside]

    def batches(
        self, size: int, generator: torch.Generator | None = None, *, drop_last: bool = False
    ) -> Iterator[Windows]:
        """Go through the windows once, some at a time.

        Args:
            size: Windows per batch; the last batch holds what is left.
            generator: Draws the order; without it the windows come in their own order.
            drop_last: Leave out a last batch that is smaller than ``size``.

        Yields:
            Windows ``size`` at a time.

        Raises:
            ValueError: If ``size`` is not positive.
        """
        if size < 1:
            raise ValueError(f"size: expected at least 1, got {size}")
        count = len(self)
        if generator is None:
            order = torch.arange(count)
        else:
            order = torch.randperm(count, generator=generator, device=generator.device).cpu()
        for places in order.split(size):
            if drop_last and len(places) < size:
                return
            yield self._take(places)

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Windows:
        """Convert states and controls.

        Args:
            dtype: ``torch.float64`` or ``torch.float32``.
            device: Where the tensors shall be.

        Returns:
            The converted windows.

        Raises:
            TypeError: If the dtype is another.
        """
        if dtype not in (None, torch.float32, torch.float64):
            raise TypeError(f"dtype: expected torch.float64 or torch.float32, got {dtype}")
        states = self.states.to(dtype=dtype, device=device)
        controls = None if self.controls is None else self.controls.to(dtype=dtype, device=device)
        return self.filled(states, controls, self.recording)

    @staticmethod
    def concatenate(sets: Sequence[Windows], *, same_recordings: bool) -> Windows:
        """Join sets of windows.

        Args:
            sets: Windows of equal step, length and layout.
            same_recordings: Whether equal labels in two sets mean the same recording, as in parts of one set;
                if not, the recordings are numbered anew.

        Returns:
            All windows.

        Raises:
            ValueError: If there is no set, or two differ in layout, length, step, dtype or device.
        """
        if not sets:
            raise ValueError("sets: expected at least one set of windows, got none")
        first = sets[0]
        for place, other in enumerate(sets):
            mine, its = _traits(first), _traits(other)
            for what, value in mine.items():
                if its[what] != value and not (what == "h" and math.isclose(first.h, other.h, rel_tol=1e-6)):
                    raise ValueError(
                        f"sets[{place}]: expected {what} as in sets[0], {value}, got {its[what]}"
                    )
        labels, start = [], 0
        for other in sets:
            own, numbers = other.recording.unique(return_inverse=True)
            labels.append(other.recording if same_recordings else start + numbers)
            start += len(own)
        controls = [other.controls for other in sets if other.controls is not None]
        return first.filled(
            torch.cat([other.states for other in sets]),
            torch.cat(controls) if controls else None,
            torch.cat(labels),
        )

    @staticmethod
    def from_pairs(
        before: Tensor, after: Tensor, h: float, space: StateSpace, controls: Tensor | None = None
    ) -> Windows:
        """Take states and those one step later as windows of two samples.

        Args:
            before: States ``(N, n)``.
            after: The states ``(N, n)`` a time ``h`` later.
            h: That time.
            space: Layout of the states, such as ``model.space``.
            controls: Controls ``(N, m)`` held in between, or ``None``.

        Returns:
            Windows with states ``(N, 2, n)``.

        Raises:
            ValueError: If the shapes differ or do not fit the layout.

        Example:
            >>> import torch
            >>> from integrators import StateSpace, vector
            >>> z = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
            >>> later = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
            >>> Windows.from_pairs(z, later, 1.57, StateSpace(vector("q", 1), vector("p", 1))).states.shape
            torch.Size([2, 2, 2])
        """
        if before.ndim != 2 or before.shape != after.shape:
            raise ValueError(
                f"before, after: expected two tensors (N, {space.size}), got {tuple(before.shape)} and"
                f" {tuple(after.shape)}"
            )
        held = None if controls is None else controls.unsqueeze(-2)
        return Windows(torch.stack((before, after), -2), held, h, space)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the windows to an HDF5 file, with layout and units as attributes.

        Args:
            path: Where; an existing file is replaced when the new one is complete.
        """
        save_windows(path, self)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Windows:
        """Read windows that ``save`` wrote, and check them again.

        Args:
            path: The HDF5 file.

        Returns:
            The windows, on the CPU.
        """
        return Windows(**load_windows(path))


def _place(index: tuple[int, ...]) -> str:
    """Name a window and one of its samples."""
    return f"window {index[0]}, sample {index[1]}"


def _traits(windows: Windows) -> dict[str, object]:
    """What must be equal for two sets to be joined."""
    return {
        "space": windows.space,
        "control_space": windows.control_space,
        "h": windows.h,
        "samples per window": windows.states.shape[1],
        "dtype": windows.states.dtype,
        "device": windows.states.device,
    }
