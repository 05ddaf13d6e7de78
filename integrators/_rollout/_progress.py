"""The progress bar of long rollouts."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

PATIENCE = 1.0


class ProgressBar:
    """Shows steps per second and the time left; by default only on a terminal and only when it takes long."""

    def __init__(self, steps: int, done: int, show: bool | None) -> None:
        """Prepare, without showing anything yet.

        Args:
            steps: Number of steps of the run.
            done: Number of steps already made.
            show: Whether to show the bar; ``None`` to decide.
        """
        self.steps, self.first, self.show = steps, done, show
        self.started = time.monotonic()
        self.bar: Progress | None = None
        self.task: TaskID | None = None

    def __enter__(self) -> ProgressBar:
        """Show the bar if that was asked for."""
        if self.show:
            self._open(self.first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the display."""
        if self.bar is not None:
            self.bar.stop()

    def update(self, done: int) -> None:
        """Report progress.

        Args:
            done: Number of steps made.
        """
        elapsed = time.monotonic() - self.started
        if self.bar is None and self.show is None and elapsed > PATIENCE and sys.stderr.isatty():
            left = elapsed / max(1, done - self.first) * (self.steps - done)
            if left > PATIENCE:
                self._open(done)
        if self.bar is not None and self.task is not None:
            rate = (done - self.first) / max(elapsed, 1e-9)
            self.bar.update(self.task, completed=done, rate=f"{rate:,.0f}")

    def _open(self, done: int) -> None:
        self.bar = Progress(
            TextColumn("rollout"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            TextColumn("{task.fields[rate]} steps/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.task = self.bar.add_task("", total=self.steps, completed=done, rate="?")
        self.bar.start()
