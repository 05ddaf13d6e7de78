"""The numbers of an exported model beside those of the model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ._errors import ExportError
from ._target import Target

TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}
BATCHES = (1, 2, 7)


def compare(
    target: Target,
    exported: Callable[..., Tensor],
    batch: int | str,
    example: Tensor | None,
    tolerance: float | None,
    what: str,
) -> None:
    """Refuse an exported model whose values are not those of the model.

    Args:
        target: What was exported.
        exported: The exported function.
        batch: ``"dynamic"``, which is tried at several sizes, or the number of states.
        example: States to compare at, or ``None`` for random ones.
        tolerance: Largest difference relative to one plus the size of the values, or ``None``.
        what: Name of the exported thing, for the message.

    Raises:
        ExportError: If values differ by more.
    """
    if tolerance is None:
        tolerance = TOLERANCES[target.dtype] * (target.steps or 1)
    function = target.function(target.model)
    for size in BATCHES if isinstance(batch, str) else (batch,):
        arguments = target.samples(size, example)
        with torch.no_grad():
            wanted, got = function(*arguments), exported(*arguments)
        if got.shape != wanted.shape:
            raise ExportError(f"{what} returns the shape {tuple(got.shape)}, the model {tuple(wanted.shape)}")
        difference = torch.where(torch.isnan(wanted) & torch.isnan(got), 0.0, (got - wanted).abs())
        worst = float((difference / (1 + wanted.abs())).nan_to_num(torch.inf).max())
        if worst > tolerance:
            raise ExportError(
                f"{what} differs from the model by {worst:.2g}, relative to one plus the size of the values,"
                f" for a batch of {size}; more than tolerance={tolerance:.2g} is refused"
            )
