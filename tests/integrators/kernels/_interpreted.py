"""Kernels run by Python itself: every line of generated code, without the minutes of a compiler."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from integrators.kernels import KernelBuilder, KernelProgram

_IMPORT = "from numba import njit, prange\n"
_PLAIN = """
prange = range
def njit(*functions, **options):
    return functions[0] if functions else lambda function: function
"""


def interpret(source: str) -> dict[str, Any]:
    """Functions of a generated module, not compiled."""
    assert _IMPORT in source
    functions: dict[str, Any] = {}
    exec(compile(source.replace(_IMPORT, _PLAIN), "kernel", "exec"), functions)
    return functions


def run_program(
    program: KernelProgram, x: Tensor, steps: int, controls: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """States and observations ``(steps, count, ...)`` and status codes ``(count,)``."""
    functions = interpret(program.source(lanes=len(x)))
    parameters = program.builder.flat_parameters()
    count = len(x)
    carry = np.zeros((count, program.carry_size))
    codes, failed_at = np.zeros(count, dtype=np.int8), np.full(count, -1)
    states = np.empty((steps, count, program.state_size))
    observed = np.empty((steps, count, program.observed_size))
    with np.errstate(all="ignore"):
        functions["start_all"](x.numpy(), parameters, carry)
        table = controls.numpy()
        functions["run_serial"](carry, parameters, table, 0, steps, 1, states, 1, observed, codes, failed_at)
    return torch.from_numpy(states), torch.from_numpy(observed), torch.from_numpy(codes)


def run_section(builder: KernelBuilder, section: str, rows: np.ndarray) -> np.ndarray:
    """Execute one section of a builder on values ``A[row, lane]`` and return them."""
    A = np.zeros(builder.row_count * rows.shape[1])
    A[: rows.size] = rows.reshape(-1)
    program = KernelProgram(builder, 0, 0, 0, 0, 0, 0)
    interpret(program.source(lanes=rows.shape[1]))[section](A, builder.flat_parameters())
    return A.reshape(builder.row_count, -1)
