"""Running a compiled loop on tensors: strides, memory for the result, threads."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod

import torch
from torch import Tensor

from ._kernel import LANES, Kernel

PARALLEL = 32_768
"""Number of elements from which on a batch is shared among as many threads as torch uses."""

_HUGE, _PAGE, _ADVICE = 4 << 20, 4096, 14  # bytes, bytes, MADV_HUGEPAGE

_pools: dict[int, ThreadPoolExecutor] = {}


def launch(
    kernel: Kernel,
    inputs: Sequence[Tensor],
    depths: Sequence[int],
    batch: tuple[int, ...],
    shape: tuple[int, ...],
) -> tuple[Tensor, int]:
    """Apply a kernel to a batch.

    Args:
        kernel: The kernel.
        inputs: Tensors of one dtype.
        depths: Number of dimensions of an element of each.
        batch: Their batch dimensions.
        shape: Shape of an element of the result.

    Returns:
        The results, contiguous, and the number of bad elements.
    """
    out = inputs[0].new_empty(batch + shape)
    dimensions = len(batch)
    if dimensions > 2:  # views where there are any
        inputs = [x.reshape(prod(batch), *x.shape[dimensions:]) for x in inputs]
        batch, dimensions = (prod(batch),), 1
    inner = batch[-1] if dimensions else 1
    count = inner * batch[0] if dimensions == 2 else inner
    arguments = [inner or 1]
    for x, depth in zip(inputs, depths, strict=True):
        strides = x.stride()
        arguments += (
            x.data_ptr(),
            strides[0] if dimensions == 2 else 0,
            strides[dimensions - 1] if dimensions else 0,
            strides[-2] if depth == 2 else 0,
            strides[-1] if depth else 0,
        )
    arguments.append(out.data_ptr())
    run = kernel.run(out.dtype)
    if count < PARALLEL:
        return out, run(0, count, *arguments)
    _advise(out)
    return out, _share(run, count, arguments)


def _share(run: Callable[..., int], count: int, arguments: list[int]) -> int:
    """Run a loop in as many threads as torch uses; the compiled code does not hold the interpreter's lock.

    Numba's own threads would kill a forked process and abort when two Python threads start them at once.

    Args:
        run: The loop.
        count: Number of elements.
        arguments: What it takes after the first element and the one after the last.

    Returns:
        Number of bad elements.
    """
    threads = min(torch.get_num_threads(), count // (PARALLEL // 2))
    pool = None if threads == 1 else _pools.get(os.getpid())
    if threads > 1 and pool is None:  # also in a process forked from one that has threads
        pool = _pools[os.getpid()] = ThreadPoolExecutor(thread_name_prefix="integrators")
    blocks = -(-count // LANES)
    stops = [min(count, LANES * (blocks * (k + 1) // threads)) for k in range(threads)]
    starts = [0, *stops[:-1]]
    if pool is None:
        return run(0, count, *arguments)
    try:
        rest = [pool.submit(run, *part, *arguments) for part in zip(starts[1:], stops[1:], strict=True)]
    except RuntimeError:  # the interpreter is shutting down
        return run(0, count, *arguments)
    return run(0, stops[0], *arguments) + sum(part.result() for part in rest)


def _advise(out: Tensor) -> None:
    """Ask for large pages: small ones cost a fresh result of megabytes more in page faults than the loop."""
    if _madvise is not None and out.nbytes >= _HUGE:
        start = -(-out.data_ptr() // _PAGE) * _PAGE
        _madvise(start, (out.data_ptr() + out.nbytes - start) // _PAGE * _PAGE, _ADVICE)


def _find_madvise() -> Callable[[int, int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return function


_madvise = _find_madvise()
