"""Rollouts in compiled kernels on an NVIDIA GPU."""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor

from ..kernels import KernelProgram, load_cuda_kernel
from ..kernels._cuda import CHANGED
from ._controls import Controls
from ._kernel_engine import KernelEngine

THREADS = 64


def why_no_cuda() -> str:
    """Say what is missing for CUDA kernels, nothing if they can run."""
    if find_spec("numba_cuda") is None and find_spec("numba.cuda") is None:
        return "numba has no CUDA target; install the extra cuda (numba-cuda)"
    from numba import cuda

    if not cuda.is_available():
        return "numba finds no CUDA device, driver or toolkit; see numba.cuda.detect()"
    return ""


class CudaEngine(KernelEngine):
    """Moves a batch inside a generated CUDA kernel, one thread for each trajectory.

    Between calls the carry rests on the host: it is small beside what a chunk of steps computes.
    """

    backend = "cuda"

    def __init__(self, program: KernelProgram, x: Tensor, controls: Controls) -> None:
        """Compile and start.

        Args:
            program: Code of the map and of the observers.
            x: Initial states ``(batch size, n)``, on the CPU or a GPU.
            controls: Controls of the batch.
        """
        self.parallel, self.lanes = False, 1
        self.device = x.device
        self._start(program, x, controls)

    def _load(self) -> ModuleType:
        return load_cuda_kernel(self.program, self.dtype)

    def _call(self, name: str, *arguments: np.ndarray | int) -> None:
        if not len(self.carry):
            return
        from numba import cuda

        there: list[Any] = [cuda.to_device(a) if isinstance(a, np.ndarray) else a for a in arguments]
        blocks = (len(self.carry) + THREADS - 1) // THREADS
        getattr(self.kernel, name)[blocks, THREADS](*there)
        for place in CHANGED[name]:
            there[place].copy_to_host(arguments[place])
