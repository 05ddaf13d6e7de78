"""Curvature of the layers that are called in a scope, without hooks on modules."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.overrides import TorchFunctionMode

from ._kronecker import KroneckerFactors
from ._layers import Layer
from ._rows import CALLS, LayerCall, transposed
from ._rows import linear as describe_linear
from ._statistics import pulled_gram
from ._sums import Sums

_REPLACING = threading.RLock()
_ENGINE = "_engine_run_backward"


@dataclass(frozen=True)
class Reading:
    """How calls are read.

    Attributes:
        approximation: "expand", every position of a sequence or image is a row; or "reduce", every sample.
        batch_dim: Dimension of the samples in inputs with positions, but for convolutions.
        scale: By what the loss was multiplied before the backward pass.
        samples: Number of samples of a backward pass; None to see it from the inputs.
    """

    approximation: str = "expand"
    batch_dim: int = 0
    scale: float = 1.0
    samples: int | None = None


class Watch(TorchFunctionMode):
    """Sees the calls of layers in a scope and adds up their curvature when a backward pass reaches them.

    A layer is known by its weight, the ``Parameter`` itself or rows of it, which a function of torch is
    called with. A tensor hook on the output sums when gradients are accumulated in the weight:
    ``torch.autograd.grad`` by other tensors is not counted.

    Args:
        layers: The layers.
        sums: Where their curvature is added up.
        factors: Gives the factors of a layer, through which the curvature is seen.
        reading: How calls are read.
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        sums: Mapping[Layer, Sums],
        factors: Callable[[Layer], KroneckerFactors],
        reading: Reading,
    ) -> None:
        super().__init__()
        self._layers: dict[Tensor, list[Layer]] = {}
        for layer in layers:
            self._layers.setdefault(layer.weight.parameter, []).append(layer)
        self._sums, self._factors, self._reading = sums, factors, reading
        self._roots: dict[int, int] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Make a call of torch, and watch it if it is a layer's."""
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            with _REPLACING, _replaced(F, "linear", self._projection(*args, **kwargs)):
                return func(*args, **kwargs)
        if func in (Tensor.backward, torch.autograd.backward):
            with _replaced(torch.autograd, _ENGINE, self._recomputing):
                return func(*args, **kwargs)
        output = func(*args, **kwargs)
        describe = CALLS.get(func)
        if describe is not None and isinstance(output, Tensor) and output.requires_grad:
            self._see(describe(*args, **kwargs), output, self._reading.batch_dim)
        return output

    def _projection(self, query: Tensor, *_: Any, **__: Any) -> Callable[..., Callable[..., Any]]:
        """See the projections that attention makes in itself, on (positions, samples, features)."""
        samples = query.shape[1] if query.ndim == 3 else 1

        def watched(linear: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def seen(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
                output = linear(input, weight, bias)
                if output.requires_grad:
                    whole = input if input.ndim == 3 else input.unflatten(0, (-1, samples))
                    self._see(describe_linear(whole, weight, bias), output, 1, whole.shape[:-1])
                return output

            return seen

        return watched

    def _recomputing(self, engine: Callable[..., Any]) -> Callable[..., Any]:
        """See what checkpointing calls on the way back, where a mode is off as in every function of torch."""

        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return engine(*args, **kwargs)

        return run

    def _see(
        self, call: LayerCall, output: Tensor, batch_dim: int, leading: torch.Size | None = None
    ) -> None:
        """Watch the output of a call for its gradient, if a layer of ours made it."""
        found = self._find(call)
        if not found or torch._C._functorch.is_functorch_wrapped_tensor(output):
            return
        outer = torch._C._current_graph_task_id()
        accumulator = get_gradient_edge(found[0][0].weight.parameter).node

        def reached(gradient: Tensor) -> None:
            if not _executes(accumulator):
                return
            now = torch._C._current_graph_task_id()
            # Checkpointing may call a layer again within a pass, and start another pass for it.
            root = self._roots.setdefault(now, now if outer == -1 else self._roots.get(outer, outer))
            gradient = gradient.detach()
            gradient = gradient if leading is None else gradient.reshape(*leading, -1)
            device = gradient.device.type
            with torch._C.DisableTorchFunction(), torch.no_grad(), torch.autocast(device, enabled=False):
                for layer, rows in found:
                    own = gradient if rows is None else gradient[..., rows]
                    self._add(layer, call, own, batch_dim, root)

        output.register_hook(reached)

    def _find(self, call: LayerCall) -> list[tuple[Layer, slice | None]]:
        """The layers that a call is of, with the rows of its output that are theirs, None for all."""
        weight = call.weight
        if weight is None:
            return []
        start, parameter = 0, weight
        if weight not in self._layers:
            base = weight._base
            if base is None or base not in self._layers or weight.stride() != base.stride():
                return []
            start, parameter = weight.storage_offset() // max(base.stride(0), 1), base
        found: list[tuple[Layer, slice | None]] = []
        for layer in self._layers[parameter]:
            shared = (layer.kind, call.kind) == ("embedding", "linear")
            if not parameter.requires_grad or (layer.kind != call.kind and not shared):
                continue
            first, end = layer.weight.rows or (0, parameter.shape[0])
            if start <= first and end <= start + weight.shape[0]:
                whole = end - first == weight.shape[0]
                found.append((layer, None if whole else slice(first - start, end - start)))
        return found

    def _add(self, layer: Layer, call: LayerCall, gradient: Tensor, batch_dim: int, root: int) -> None:
        reading, factors = self._reading, self._factors(layer)
        rows = call.rows(
            gradient,
            bias=layer.bias is not None,
            approximation=reading.approximation,
            batch_dim=batch_dim,
        )
        if call.kind != layer.kind:
            rows = transposed(rows)
        seen = pulled_gram(layer.outputs, factors.C, rows.outputs)
        if reading.scale != 1:
            seen = seen / reading.scale**2
        samples = rows.samples if reading.samples is None else reading.samples
        self._sums[layer].add(
            pulled_gram(layer.inputs, factors.K, rows.inputs), seen, rows.rows, samples, root
        )


@contextmanager
def _replaced(module: Any, name: str, made: Callable[[Callable[..., Any]], Any]) -> Iterator[None]:
    """Have a function of a module done otherwise in this thread; nothing where the module has no such one."""
    original, thread = getattr(module, name, None), threading.get_ident()
    if original is None:
        yield
        return
    other = made(original)

    def chosen(*args: Any, **kwargs: Any) -> Any:
        return (other if threading.get_ident() == thread else original)(*args, **kwargs)

    setattr(module, name, chosen)
    try:
        yield
    finally:
        setattr(module, name, original)


def _executes(accumulator: Any) -> bool:
    """Whether the pass that is running adds to the gradient that a node accumulates."""
    try:
        return torch._C._will_engine_execute_node(accumulator)
    except RuntimeError:  # torch.autograd.grad by the parameter itself, which accumulates nothing
        return False
