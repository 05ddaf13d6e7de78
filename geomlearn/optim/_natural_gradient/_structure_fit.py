"""How well structures fit the curvature of a model's layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lie import StructuredFactor

from ._kronecker import KroneckerFactors, KroneckerRule, kronecker_start
from ._layers import Layer, find_layers
from ._rows import LayerCall, transposed
from ._statistics import captured_share
from ._structures import make_structure
from ._watch import Reading, Watch


class StructureFit(NamedTuple):
    """How well structures fit one factor of one layer.

    Attributes:
        layer: Name of the layer, as in the choice of structures.
        factor: "inputs" or "outputs".
        n: Number of rows.
        shares: Share of the second moment that each structure captures, |S|_F^2 / |U|_F^2 with S the
            orthogonal projection of the moment U on what the structure can follow.
        memory: Numbers that each structure stores.
    """

    layer: str
    factor: str
    n: int
    shares: dict[str, float]
    memory: dict[str, int]


class _Rows(Watch):
    """Keeps the rows of calls instead of their sums."""

    def __init__(self, layers: Sequence[Layer], reading: Reading) -> None:
        super().__init__(layers, {}, _started, reading)
        self.rows: dict[Layer, tuple[list[Tensor], list[Tensor]]] = {x: ([], []) for x in layers}

    def _add(self, layer: Layer, call: LayerCall, gradient: Tensor, batch_dim: int, root: int) -> None:
        rows = call.rows(
            gradient,
            bias=layer.bias is not None,
            approximation=self._reading.approximation,
            batch_dim=batch_dim,
        )
        if call.kind != layer.kind:
            rows = transposed(rows)
        for kept, own in zip(self.rows[layer], (rows.inputs, rows.outputs)):
            if own.ndim == 2:  # else it is diagonal, or there is none
                kept.append(own.double())


def _started(layer: Layer) -> KroneckerFactors:
    return kronecker_start(layer.inputs, layer.outputs, KroneckerRule())


def structure_fit(
    model: nn.Module,
    closure: Callable[[], Tensor],
    structures: Sequence[str] = ("diagonal", "block", "hierarchical", "toeplitz", "rank-k"),
    *,
    approximation: str = "expand",
    batch_dim: int = 0,
) -> list[StructureFit]:
    """Measure how well structures fit the curvature of each layer, to choose them for the layers that gain.

    Memory goes with the number of rows, inputs of layers times samples and positions: a few samples do.

    Args:
        model: The model.
        closure: Computes the loss of a batch; the backward pass is made here, its gradients are put away.
        structures: Names of structures, as ``StructuredNaturalGradient`` takes them.
        approximation: "expand" or "reduce", as there.
        batch_dim: As there.

    Returns:
        The fits of both factors of all layers with curvature that the closure calls, but for those of
        vocabularies, whose moment is diagonal.

    Examples:
        >>> import torch
        >>> model = torch.nn.Linear(3, 2)
        >>> x = torch.eye(3)
        >>> fit, _ = structure_fit(model, lambda: model(x).square().mean(), ["diagonal", "dense"])
        >>> fit.factor, fit.n, fit.memory
        ('inputs', 4, {'diagonal': 4, 'dense': 16})
        >>> round(fit.shares["diagonal"], 6)  # of the unit matrix with a border of ones, and 3 in its corner
        0.666667
    """
    made: dict[tuple[str, int], StructuredFactor] = {}
    layers = find_layers(model).layers
    parameters = [p for p in model.parameters() if p.requires_grad]
    before = [p.grad for p in parameters]
    watch = _Rows(layers, Reading(approximation, batch_dim))
    for p in parameters:
        p.grad = None
    try:
        with watch, torch.enable_grad():
            closure().backward()
    finally:
        for p, gradient in zip(parameters, before):
            p.grad = gradient
    fits = []
    for layer, both in watch.rows.items():
        for factor, kept in zip(("inputs", "outputs"), both):
            if kept:
                rows = torch.cat(kept)
                n = rows.shape[-1]
                made.update({(x, n): make_structure(x, n) for x in structures if (x, n) not in made})
                shares = {x: float(captured_share(made[x, n], rows)) for x in structures}
                fits.append(
                    StructureFit(layer.name, factor, n, shares, {x: made[x, n].memory for x in structures})
                )
    return fits
