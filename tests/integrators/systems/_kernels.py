"""A compiled kernel that only evaluates parts of systems, to hold the kernel code against torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from integrators.kernels import KernelBuilder, Rows
from integrators.kernels._builder import math_source
from integrators.systems import System

Write = Callable[[KernelBuilder, int, Rows, Rows, list[str]], None]


def evaluate(system: System, write: Write, size: int, x: Tensor, control: Tensor | None = None) -> Tensor:
    """Run what ``write(builder, offset, x, control, targets)`` emits on states ``(L, n)``."""
    b = KernelBuilder()
    state, inputs, out = b.rows(x.shape[-1]), b.rows(system.control_size), b.rows(size)
    offset = system.emit_parameters(b)
    b.section("step")
    write(b, offset, state, inputs, [f"@{row} = {{}}" for row in out])
    text = f"{math_source()}\nL = {len(x)}\n{b.function('step', 'A, P')}"
    scope: dict[str, Any] = {"np": np, "math": math, "njit": njit, "Any": Any}
    exec(text, scope)
    values = torch.zeros(b.row_count, len(x), dtype=torch.float64)
    values[: x.shape[-1]] = x.T
    if control is not None:
        values[inputs] = control.T
    flat = values.numpy().reshape(-1)
    njit(error_model="numpy")(scope["step"])(flat, b.flat_parameters())
    return values[out].T
