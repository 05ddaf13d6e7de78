"""Models as programs of torch.export."""

from __future__ import annotations

import json
import os
import warnings

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from .._files import atomic_write
from ._compare import compare
from ._description import KEY, describe_target
from ._target import Target, choose_target
from ._trace import trace

TRACED = 1009
"""Number of states in a trace: equal to no other size, since torch takes equal sizes for one."""


def to_program(
    model: nn.Module,
    path: str | os.PathLike[str] | None = None,
    *,
    quantity: str | None = None,
    steps: int | None = None,
    batch: int | str = "dynamic",
    example: Tensor | None = None,
    tolerance: float | None = None,
) -> ExportedProgram:
    """Record a step of a flow map, its next states, or the field of a system, as a ``torch.export`` program.

    The program has torch's operations alone, weights included, and runs where ``torch.export`` runs:
    ``program.module()``, ``torch.compile``, ahead-of-time compilation for C++ by
    ``torch._inductor.aoti_compile_and_package``. Its values are compared with those of the model before it is
    returned.

    Args:
        model: A flow map with an explicit step, a ``LieFVIN``, or a system.
        path: File to write with ``torch.export.save``, usually ``.pt2``; its description is beside the
            program. None writes no file.
        quantity: ``"step"``, the default of a flow map; ``"field"``, the default of a system; or a method of
            states ``(batch, n)``, such as ``"energy"``.
        steps: None for the state after one step, ``(batch, n)``; a number for the states after each of so
            many, ``(steps, batch, n)``.
        batch: ``"dynamic"`` for any number of states, or their number.
        example: States ``(..., n)`` to trace and compare with, where random ones would not do.
        tolerance: Largest difference from the model, relative to one plus the size of the values; by default
            1e-12 in float64 and 1e-5 in float32, times the number of steps.

    Returns:
        The program; its arguments are states ``(batch, n)`` and, for a model with inputs, controls
        ``(batch, m)`` or ``(steps, batch, m)``.

    Raises:
        ExportError: If a step needs a loop whose length depends on the state, or values differ.
    """
    target = choose_target(model, quantity, steps)
    program = program_of(target, batch, example, onnx=False)
    compare(target, program.module(), batch, example, tolerance, "the exported program")
    if path is not None:
        text = json.dumps(describe_target(target))
        with atomic_write(path) as temporary, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(program, temporary, extra_files={f"{KEY}.json": text})
    return program


def program_of(target: Target, batch: int | str, example: Tensor | None, onnx: bool) -> ExportedProgram:
    """Trace a target and hand the graph to torch.export.

    Args:
        target: What is exported.
        batch: ``"dynamic"`` or the number of states.
        example: States to trace with, or ``None``.
        onnx: Whether the graph is to go on to ONNX.

    Returns:
        The program.

    Raises:
        ValueError: If the batch is neither.
    """
    fixed = isinstance(batch, int) and not isinstance(batch, bool) and batch > 0
    if not fixed and batch != "dynamic":
        raise ValueError(f"batch: expected 'dynamic' or a number of states, got {batch!r}")
    arguments = target.samples(TRACED, example)
    graph = trace(target, arguments, onnx)
    shapes: list[dict[int, Dim]] | None = None
    if fixed:
        arguments = target.samples(int(batch), example)
    else:
        places = [0 if k == 0 or target.steps is None else 1 for k in range(len(arguments))]
        shapes = [{place: Dim("batch")} for place in places]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        return torch.export.export(graph, arguments, dynamic_shapes=None if shapes is None else tuple(shapes))
