"""A progress bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

_REDRAW_SECONDS = 0.1


class TrainingProgress:
    """Shows step, loss, learning rate, steps per second and time left; used as a context manager.

    On a terminal it is a ``rich`` bar; in a log file it is one line every ``interval`` seconds and one at the
    end.
    """

    def __init__(
        self,
        total: int,
        *,
        start: int = 0,
        enabled: bool = True,
        interval: float = 10.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is shown before the block is entered.

        Args:
            total: Number of steps of the run.
            start: Number of steps already taken.
            enabled: Whether to show anything.
            interval: Seconds between lines where there is no terminal.
            stream: Where to write, standard error by default.
            clock: Source of the time in seconds.
        """
        self.total = total
        self.start = start
        self.enabled = enabled
        self.interval = interval
        self.stream = sys.stderr if stream is None else stream
        self.clock = clock
        self._bar: Any = None
        self._task: Any = None
        self._line = ""
        self._step = start

    def __enter__(self) -> TrainingProgress:
        """Start the clock and, on a terminal, the bar."""
        self._began = self._shown = self.clock()
        if self.enabled and self.stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(),
                console=Console(file=self.stream),
            )
            self._task = self._bar.add_task("training", total=self.total, completed=self.start, text="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the last state and take the bar down."""
        if self._bar is not None:
            self._bar.update(self._task, text=self._line, completed=self._step)
            self._bar.stop()
        elif self.enabled and self._line:
            self._write()

    def update(self, step: int, *, loss: float, lr: float, validation: float | None = None) -> None:
        """Tell how far the run is.

        Args:
            step: Number of steps taken.
            loss: Latest loss.
            lr: Latest learning rate.
            validation: Latest validation loss.
        """
        if not self.enabled:
            return
        now = self.clock()
        wait = self.interval if self._bar is None else _REDRAW_SECONDS
        last = step >= self.total
        self._step = step
        due = now - self._shown >= wait
        rate = (step - self.start) / max(now - self._began, 1e-9)
        left = "" if rate == 0 or last else f"  {_duration((self.total - step) / rate)} left"
        known = "" if validation is None else f"  validation {validation:.3e}"
        text = f"loss {loss:.3e}{known}  lr {lr:.2e}  {rate:.1f} step/s"
        if self._bar is not None:
            self._line = text
            if due:
                self._shown = now
                self._bar.update(self._task, completed=step, text=text)
            return
        self._line = f"step {step}/{self.total}  {text}{left}"
        if due and not last:
            self._shown = now
            self._write()

    def _write(self) -> None:
        self.stream.write(self._line + "\n")
        self.stream.flush()
        self._line = ""


def _duration(seconds: float) -> str:
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{s:02}" if hours else f"{minutes}:{s:02}"
