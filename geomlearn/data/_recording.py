"""Recordings: one time series of states and controls, and the windows cut from several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from integrators import StateSpace, vector

from ._checks import Place, check_entries, check_float_tensor, check_members
from ._windows import Windows


def row(index: tuple[int, ...]) -> str:
    """Name a row of a recording.

    Args:
        index: Place of the row.

    Returns:
        ``"row 17"``.
    """
    return f"row {index[0]}"


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """One time series: stamps, states, and the controls held between them.

    The stamps must increase; they need not be equally spaced until windows are cut (see ``resample``).

    Attributes:
        times: Time stamps ``(T,)`` in seconds, float64.
        states: States ``(T, n)``, float64 or float32.
        controls: Controls ``(T-1, m)``, row k held over ``[t_k, t_{k+1}]``, or ``None``. A last row T, which
            acts after the end, may be given and is dropped.
        space: Layout of the states, with units and frames.
        control_space: Layout of the controls, with units and frames; by default one vector ``u``.
        tol: How far a block may be from its group; ``None`` for the group's own tolerance.
        name: Source of the recording, used in messages.

    Raises:
        TypeError: If a tensor has the wrong type or dtype.
        ValueError: If a shape is wrong, stamps do not increase, or a number is not finite or off its group;
            the message names row and column.
    """

    times: Tensor
    states: Tensor
    controls: Tensor | None
    space: StateSpace
    control_space: StateSpace | None = None
    tol: float | None = None
    name: str = "recording"

    def __post_init__(self) -> None:
        """Check every argument."""
        self._check(row, "project the rotations (project=True in geomlearn.data.from_arrays) or pass tol=")

    def _check(self, place: Place, mend: str) -> None:
        """Refuse what is no recording."""
        check_float_tensor(self.states, "states")
        if self.states.ndim != 2 or self.states.shape[0] < 2:
            raise ValueError(
                f"{self.name}: expected states of shape (T, {self.space.size}) with T >= 2,"
                f" got {tuple(self.states.shape)}"
            )
        if not isinstance(self.times, Tensor) or self.times.dtype != torch.float64:
            got = self.times.dtype if isinstance(self.times, Tensor) else type(self.times).__name__
            raise TypeError(f"times: expected a float64 tensor, got {got}; float32 cannot hold time stamps")
        length = self.states.shape[0]
        if tuple(self.times.shape) != (length,):
            raise ValueError(
                f"{self.name}: expected times of shape ({length},), got {tuple(self.times.shape)}"
            )
        check_increasing(self.times, self.name, place)
        check_entries(self.states, self.space, f"{self.name}: states", place)
        check_members(self.states, self.space, f"{self.name}: states", place, self.tol, mend)
        self._check_controls(place)

    def _check_controls(self, place: Place) -> None:
        """Refuse controls that do not belong to the states; drop a last row that acts after the end."""
        if self.controls is None:
            if self.control_space is not None:
                raise ValueError(f"control_space: expected None without controls, got {self.control_space}")
            return
        check_float_tensor(self.controls, "controls")
        length = self.states.shape[0]
        if self.controls.ndim != 2 or self.controls.shape[0] not in (length - 1, length):
            raise ValueError(
                f"{self.name}: expected controls of shape ({length - 1}, m), one between any two states, or"
                f" ({length}, m), got {tuple(self.controls.shape)}"
            )
        if self.controls.dtype != self.states.dtype:
            raise TypeError(
                f"controls: expected the dtype of the states, {self.states.dtype}, got {self.controls.dtype}"
            )
        if self.control_space is None:
            object.__setattr__(self, "control_space", StateSpace(vector("u", self.controls.shape[1])))
        if self.control_space is not None:
            check_entries(self.controls, self.control_space, f"{self.name}: controls", place)
        object.__setattr__(self, "controls", self.controls[: length - 1])

    def __len__(self) -> int:
        """Number of samples."""
        return int(self.states.shape[0])

    def __repr__(self) -> str:
        """Sizes and layout."""
        controls = "no controls" if self.control_space is None else f"controls {self.control_space}"
        span = f"{len(self)} samples in {float(self.times[-1] - self.times[0]):g} s"
        return f"Recording({self.name!r}, {span}, {controls}, {self.space})"

    def step(self, tolerance: float = 1e-3) -> float:
        """Measure the time between samples and refuse stamps that are not equally spaced.

        Args:
            tolerance: Largest deviation of one step from the mean, as a fraction of the mean.

        Returns:
            The mean step in seconds, to the digits that the stamps resolve: stamps ``0.02 k`` give 0.02.

        Raises:
            ValueError: If a step deviates by more; the message names the row and both stamps.
        """
        steps = self.times.diff()
        h = float(self.times[-1] - self.times[0]) / (len(self) - 1)
        worst = int((steps - h).abs().argmax())
        if abs(float(steps[worst]) - h) > tolerance * h:
            before, after = float(self.times[worst]), float(self.times[worst + 1])
            raise ValueError(
                f"{self.name}: expected equally spaced time stamps, but row {worst + 1} at {after!r} s comes"
                f" {after - before:.6g} s after row {worst} at {before!r} s, and the mean step is {h:.6g} s;"
                f" interpolate with resample(recording, {float(steps.median()):.6g})"
            )
        largest = float(self.times.abs().max())
        resolution = max(1e-12 * h, 2 * math.ulp(largest) / (len(self) - 1))
        return round(h, -math.ceil(math.log10(resolution)))

    def __getitem__(self, part: slice) -> Recording:
        """A stretch of the recording.

        Args:
            part: A slice with step 1 that keeps at least two samples.

        Returns:
            The stretch, with its own controls.

        Raises:
            TypeError: If ``part`` is not a slice.
            ValueError: If its step is not 1.
        """
        if not isinstance(part, slice):
            raise TypeError(f"part: expected a slice such as recording[10:50], got {part!r}")
        start, stop, stride = part.indices(len(self))
        if stride != 1:
            raise ValueError(f"part: expected step 1, got {stride}; change the step with resample")
        controls = None if self.controls is None else self.controls[start : stop - 1]
        return Recording(
            self.times[start:stop],
            self.states[start:stop],
            controls,
            self.space,
            self.control_space,
            self.tol,
            self.name,
        )

    def pieces(self, count: int) -> list[Recording]:
        """Cut the recording into stretches of nearly equal length that share no sample.

        Args:
            count: Number of stretches.

        Returns:
            The stretches in order of time.

        Raises:
            ValueError: If a stretch would have fewer than two samples.
        """
        if not 1 <= count <= len(self) // 2:
            raise ValueError(
                f"count: expected 1 ... {len(self) // 2} pieces of {len(self)} samples, got {count}"
            )
        edges = [len(self) * k // count for k in range(count + 1)]
        return [self[a:b] for a, b in pairwise(edges)]


def check_increasing(times: Tensor, name: str, place: Place) -> None:
    """Refuse time stamps that do not increase.

    Args:
        times: Stamps ``(T,)``.
        name: Source, for the message.
        place: Names a row.

    Raises:
        ValueError: If a stamp is not finite, or not after the one before; the message gives both.
    """
    bad = (~torch.isfinite(times)).nonzero()
    if len(bad):
        k = int(bad[0])
        raise ValueError(f"{name}: expected finite time stamps, got {float(times[k])} at {place((k,))}")
    bad = (times.diff() <= 0).nonzero()
    if len(bad):
        k = int(bad[0]) + 1
        raise ValueError(
            f"{name}: expected increasing time stamps, but {place((k,))} at {float(times[k])!r} s does not"
            " come after"
            f" {place((k - 1,))} at {float(times[k - 1])!r} s; sort the rows or remove the double ones"
        )


def windows(
    recordings: Recording | Sequence[Recording], length: int, stride: int = 1, *, time_tolerance: float = 1e-3
) -> Windows:
    """Cut recordings into windows of equal length.

    Args:
        recordings: One or more recordings of equal step and layout.
        length: Samples ``T`` per window; a window of ``T`` samples spans ``T-1`` steps.
        stride: Samples between the starts of two windows of a recording. From ``length`` on, windows do not
            overlap.
        time_tolerance: Largest deviation of a time step from the common one, as a fraction.

    Returns:
        The windows, labelled by recording in the order given.

    Raises:
        ValueError: If recordings are too short, unequally spaced, or differ in step, layout or dtype.

    Example:
        >>> import torch
        >>> from integrators import StateSpace, vector
        >>> series = Recording(
        ...     torch.arange(6, dtype=torch.float64),
        ...     torch.rand(6, 1).double(),
        ...     None,
        ...     StateSpace(vector("q", 1)),
        ... )
        >>> len(windows(series, length=3))
        4
    """
    series = [recordings] if isinstance(recordings, Recording) else list(recordings)
    if not series:
        raise ValueError("recordings: expected at least one recording, got none")
    if length < 2 or stride < 1:
        raise ValueError(f"length, stride: expected length >= 2 and stride >= 1, got {length} and {stride}")
    h = series[0].step(time_tolerance)
    states, controls, labels = [], [], []
    for label, one in enumerate(series):
        _check_alike(series[0], one, h, label, time_tolerance)
        if len(one) < length:
            raise ValueError(
                f"recordings[{label}]: expected at least {length} samples, got {len(one)} in {one!r}"
            )
        cut = partial(_cut, stride=stride)
        states.append(cut(one.states, length))
        labels.append(torch.full((states[-1].shape[0],), label))
        if one.controls is not None:
            controls.append(cut(one.controls, length - 1))
    held = torch.cat(controls) if controls else None
    first = Windows(
        states[0][:1],
        None if held is None else held[:1],
        h,
        series[0].space,
        labels[0][:1],
        series[0].control_space,
        series[0].tol,
    )
    return first.filled(torch.cat(states), held, torch.cat(labels))


def _cut(series: Tensor, length: int, stride: int) -> Tensor:
    """Stretches ``(N, length, k)`` of a series ``(T, k)``."""
    return series.unfold(0, length, stride).transpose(1, 2)


def _check_alike(first: Recording, other: Recording, h: float, label: int, tolerance: float) -> None:
    """Refuse recordings that cannot be cut into one set of windows."""
    pairs = {
        "space": (first.space, other.space),
        "control_space": (first.control_space, other.control_space),
        "dtype": (first.states.dtype, other.states.dtype),
        "tol": (first.tol, other.tol),
    }
    for what, (mine, its) in pairs.items():
        if mine != its:
            raise ValueError(f"recordings[{label}]: expected {what} as in recordings[0], {mine}, got {its}")
    own = other.step(tolerance)
    if abs(own - h) > tolerance * h:
        raise ValueError(
            f"recordings[{label}]: expected the step of recordings[0], {h:.9g} s, got {own:.9g} s;"
            f" interpolate with resample(recording, {h:.6g})"
        )
