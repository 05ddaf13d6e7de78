"""Rollouts in compiled kernels on the CPU."""

from __future__ import annotations

import os
import threading
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ..kernels import KernelProgram, load_kernel
from ._controls import Controls

PARALLEL_WORK = 100_000
_IMPORTED_IN = os.getpid()
_one_parallel_call = threading.Lock()  # numba's work queue aborts when two threads enter it


def forked() -> bool:
    """Whether this process was forked after the import, where parallel kernels kill the process."""
    return os.getpid() != _IMPORTED_IN


class KernelEngine:
    """Moves a batch inside a generated kernel."""

    backend = "numba"
    device = torch.device("cpu")

    def __init__(
        self, program: KernelProgram, x: Tensor, controls: Controls, steps: int, parallel: bool | None
    ) -> None:
        """Compile and start.

        Args:
            program: Code of the map and of the observers.
            x: Initial states ``(batch size, n)``.
            controls: Controls of the batch.
            steps: Length of the whole run, by which serial or parallel is chosen.
            parallel: Whether to use all cores, or ``None`` to choose.

        Raises:
            RuntimeError: If ``parallel`` is asked for in a forked process.
        """
        count = x.shape[0]
        lanes = program.lanes(count, program.dtype(x.dtype))
        if parallel and forked():
            raise RuntimeError(
                "parallel: a parallel kernel cannot run in a forked process; pass parallel=False, or start"
                " the workers"
                " with the spawn method"
            )
        if parallel is None:
            parallel = count > lanes and count * steps >= PARALLEL_WORK and not forked()
        self.parallel, self.lanes = parallel, lanes
        self._start(program, x, controls)

    def _start(self, program: KernelProgram, x: Tensor, controls: Controls) -> None:
        count = x.shape[0]
        self.program, self.controls = program, controls
        self.dtype = program.dtype(x.dtype)
        self.kernel = self._load()
        self.parameters = program.builder.flat_parameters(self.dtype)
        self.number = self.parameters.dtype
        self.done = 0
        self.carry = np.zeros((count, program.carry_size), dtype=self.number)
        self.codes = np.zeros(count, dtype=np.int8)
        self.failed_at = np.full(count, -1, dtype=np.int64)
        states = np.ascontiguousarray(x.cpu().numpy(), dtype=self.number)
        self._call("start_all", states, self.parameters, self.carry)

    def _load(self) -> ModuleType:
        """Compile the program."""
        return load_kernel(self.program, self.lanes, self.dtype)

    def _call(self, name: str, *arguments: np.ndarray | int) -> None:
        """Run a function of the module; it changes arrays in place."""
        getattr(self.kernel, name)(*arguments)

    def advance(self, steps: int, stride: int, observe_stride: int) -> tuple[np.ndarray, np.ndarray]:
        """Move on and read states and observables at the multiples of two strides.

        Args:
            steps: Number of steps.
            stride: Steps between states.
            observe_stride: Steps between observations, 0 for none.

        Returns:
            ``(samples, batch size, n)`` and ``(samples, batch size, k)``.
        """
        end = self.done + steps
        count = len(self.carry)
        samples = end // stride - self.done // stride
        states = np.empty((samples, count, self.program.state_size), dtype=self.number)
        rows = end // observe_stride - self.done // observe_stride if observe_stride else 0
        observed = np.empty((rows, count, self.program.observed_size), dtype=self.number)
        table = self.controls.table(self.done, steps).astype(self.number, copy=False)
        arguments = (
            self.carry, self.parameters, table, self.done, steps, stride, states, observe_stride, observed,
            self.codes, self.failed_at,
        )  # fmt: skip
        if self.parallel:
            with _one_parallel_call:
                self._call("run_parallel", *arguments)
        else:
            self._call("run_serial", *arguments)
        self.done = end
        return states, observed

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Present states ``(batch size, n)`` and observables ``(batch size, k)``."""
        states = np.empty((len(self.carry), self.program.state_size), dtype=self.number)
        observed = np.empty((len(self.carry), self.program.observed_size), dtype=self.number)
        self._call("read_all", self.carry, self.parameters, states, observed)
        return states, observed

    def save(self) -> dict[str, np.ndarray]:
        """Everything that is needed to go on later."""
        return {"carry": self.carry, "codes": self.codes, "failed_at": self.failed_at}

    def restore(self, saved: dict[str, np.ndarray], done: int) -> None:
        """Go back to what ``save`` returned.

        Args:
            saved: The arrays.
            done: Number of steps made by then.
        """
        self.done = done
        self.carry, self.codes, self.failed_at = (
            saved[name].copy() for name in ("carry", "codes", "failed_at")
        )
