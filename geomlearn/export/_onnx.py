"""Models as ONNX files."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .._files import atomic_write
from ._compare import compare
from ._description import KEY, describe_target
from ._errors import ExportError
from ._program import program_of
from ._target import Target, choose_target


def to_onnx(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    quantity: str | None = None,
    steps: int | None = None,
    batch: int | str = "dynamic",
    example: Tensor | None = None,
    tolerance: float | None = None,
    check: bool | None = None,
) -> None:
    """Write a step of a flow map, its next states, or the field of a system, as an ONNX file.

    The file holds the weights and, under ``"geomlearn"`` in its metadata, what ``describe`` reads. Its input
    is ``state`` ``(batch, n)`` and, for a model with inputs, ``controls`` ``(batch, m)`` or
    ``(steps, batch, m)``; its output is ``next_state`` ``(batch, n)``, ``states`` ``(steps, batch, n)``,
    ``field``, or the name of the quantity. The file is written only when its values, computed by
    onnxruntime, are those of the model. ONNX has no errors: where a model would raise one, such as
    ``LieFVIN`` on a step that is too large, the file returns NaN.

    Args:
        model: A flow map with an explicit step, a ``LieFVIN``, or a system.
        path: File to write; its name usually ends in ``.onnx``.
        quantity: ``"step"``, the default of a flow map; ``"field"``, the default of a system; or a method of
            states ``(batch, n)``, such as ``"energy"``.
        steps: None for the state after one step; a number for the states after each of so many.
        batch: ``"dynamic"`` for any number of states, or their number.
        example: States ``(..., n)`` to trace and compare with, where random ones would not do.
        tolerance: Largest difference from the model, relative to one plus the size of the values; by default
            1e-12 in float64 and 1e-5 in float32, times the number of steps.
        check: Whether to run the file before it is written; by default where onnxruntime is installed.

    Raises:
        ExportError: If a step needs a loop whose length depends on the state, ONNX or onnxruntime lack an
            operation, or values differ.
        ImportError: If onnx or onnxscript is not installed, or onnxruntime and ``check`` is true.
    """
    for name in ("onnx", "onnxscript"):
        need(name)
    if check is None:
        check = importlib.util.find_spec("onnxruntime") is not None
    target = choose_target(model, quantity, steps)
    content = _onnx_bytes(target, batch, example)
    if check:
        compare(target, _runtime(content, target), batch, example, tolerance, "the ONNX model in onnxruntime")
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def need(name: str) -> Any:
    """Import a package of the extra ``onnx``.

    Args:
        name: The package.

    Returns:
        The module.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} is needed and not installed: pip install 'geomlearn[onnx]'") from error


def _onnx_bytes(target: Target, batch: int | str, example: Tensor | None) -> bytes:
    program = program_of(target, batch, example, onnx=True)
    try:
        with _quiet():
            exported = torch.onnx.export(
                program,
                dynamo=True,
                optimize=False,
                input_names=target.inputs,
                output_names=[target.output],
                verbose=False,
            )
            if exported is not None:
                _tidy(exported.model)
    except torch.onnx.errors.OnnxExporterError as error:
        raise ExportError(f"model: {_last_line(error)}; to_program exports it") from error
    if exported is None:
        raise ExportError("model: torch.onnx.export returned nothing")
    exported.model.metadata_props[KEY] = json.dumps(describe_target(target))
    _name_batch(exported.model, target)
    return exported.model_proto.SerializeToString()


def _tidy(model: Any) -> None:
    """Evaluate constants and merge equal ones; torch's own optimisation takes minutes for long graphs."""
    need("onnxscript.optimizer").fold_constants(model)
    passes = need("onnx_ir.passes.common")
    for change in (
        passes.RemoveUnusedNodesPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
        passes.RemoveUnusedNodesPass(),
        passes.OutputFixPass(),
        passes.NameFixPass(),
    ):
        change(model)


def _last_line(error: BaseException) -> str:
    """The innermost of the causes of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().splitlines()[0]


def _name_batch(model: Any, target: Target) -> None:
    """Call the dimension of the batch by its name wherever it occurs."""
    ir = need("onnx_ir")
    given = str(model.graph.inputs[0].shape[0])
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    for value in values:
        if value.shape is not None:
            named = [
                "batch" if str(size) == given and not isinstance(size, int) else size for size in value.shape
            ]
            value.shape = ir.Shape(named)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what torch's exporter says about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _runtime(content: bytes, target: Target) -> Callable[..., Tensor]:
    runtime = need("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's classes have no common base of their own
        raise ExportError(f"model: onnxruntime refuses the ONNX model: {error}") from error

    def run(*arguments: Tensor) -> Tensor:
        named = {name: value.numpy() for name, value in zip(target.inputs, arguments, strict=True)}
        return torch.from_numpy(session.run(None, named)[0])

    return run
