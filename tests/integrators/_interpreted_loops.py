"""The loops of fused groups run by Python itself, from the text that would be compiled."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from integrators._fused import _kernel
from integrators._fused._kernel import Kernel

_TYPES = {
    torch.float32: (ctypes.c_float, np.float32),
    torch.float64: (ctypes.c_double, np.float64),
}


@cache
def interpreted(kernel: Kernel, dtype: torch.dtype) -> Callable[..., int]:
    """What ``Kernel.run`` gives, not compiled."""
    number, scalar = _TYPES[dtype]
    size = ctypes.sizeof(number)

    def load(address: int, index: int) -> Any:
        return scalar(number.from_address(address + size * index).value)

    def store(address: int, index: int, value: Any) -> None:
        number.from_address(address + size * index).value = float(value)

    def root(value: Any) -> Any:
        return scalar(math.sqrt(value))  # a number that divides by zero as compiled code does

    names: dict[str, Any] = {"np": np, "math": SimpleNamespace(sqrt=root), "load": load, "store": store}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_kernel, "LANES", 4)
        text = kernel.source(dtype)
    exec(compile(text[text.index("def run(") :], "loop", "exec"), names)
    run = names["run"]

    def quiet(*arguments: int) -> int:
        with np.errstate(all="ignore"):
            return int(run(*arguments))

    return quiet
