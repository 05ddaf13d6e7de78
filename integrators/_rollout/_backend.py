"""Choosing between torch and a compiled kernel."""

from __future__ import annotations

import warnings

from torch import Tensor

from .._flow import FlowMap
from ..kernels import KernelProgram
from ._controls import Controls
from ._cuda_engine import why_no_cuda
from ._observers import Observer
from ._recorder import own_observables

BACKENDS = ("auto", "torch", "numba", "cuda")
MANY_STEPS = 1000


def choose_program(
    flow: FlowMap, x0: Tensor, controls: Controls, observers: list[Observer], steps: int, backend: str
) -> tuple[KernelProgram | None, str]:
    """Find the kernel of a rollout and where it runs.

    Args:
        flow: The map.
        x0: Initial states ``(*batch, n)``.
        controls: Controls of the batch.
        observers: What is followed.
        steps: Number of steps.
        backend: ``"auto"``, ``"torch"``, ``"numba"`` or ``"cuda"``.

    Returns:
        The program, or ``None`` to run in torch, and ``"torch"``, ``"numba"`` or ``"cuda"``.

    Raises:
        ValueError: If ``backend`` is none of the four.
        TypeError: If a kernel is asked for and there is none; the message says why.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend: expected one of {BACKENDS}, got {backend!r}")
    if backend == "torch":
        return None, "torch"
    target = ("numba" if x0.device.type == "cpu" else "cuda") if backend == "auto" else backend
    program, reason = _find_program(flow, x0, controls, observers, target)
    if program is not None:
        return program, target
    if backend != "auto":
        raise TypeError(f"backend: {backend!r} is not possible, since {reason}; use backend='torch'")
    trajectories = x0.numel() // x0.shape[-1]
    if steps * trajectories >= MANY_STEPS:
        warnings.warn(
            f"rollout: running in torch, which is slow for many steps, since {reason}; pass backend='torch'"
            " to choose this without a warning",
            UserWarning,
            stacklevel=3,
        )
    return None, "torch"


def _find_program(
    flow: FlowMap, x0: Tensor, controls: Controls, observers: list[Observer], target: str
) -> tuple[KernelProgram | None, str]:
    if target == "numba" and x0.device.type != "cpu":
        return None, f"x0 is on {x0.device}, and this backend runs on the CPU"
    if target == "cuda" and (missing := why_no_cuda()):
        return None, missing
    if controls.feedback is not None:
        return None, "controls is a Python function"
    build = getattr(flow, "kernel_program", None)
    if build is None:
        return None, f"{type(flow).__name__} has no compiled kernel"
    try:
        return build([own for own, _ in own_observables(observers)]), ""
    except TypeError as error:
        return None, str(error)
