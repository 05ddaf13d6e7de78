"""Networks that a kernel can take: modules that emit their layers, and stacks of torch's own layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ._builder import KernelBuilder
from ._mlp import EmittedLayers, Layers

_TORCH_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.Tanh: "tanh",
    nn.SiLU: "silu",
    nn.Softplus: "softplus",
    nn.Sigmoid: "sigmoid",
    nn.ReLU: "relu",
}


@runtime_checkable
class KernelNetwork(Protocol):
    """A perceptron that a compiled kernel can evaluate."""

    def emit(self, builder: KernelBuilder) -> EmittedLayers:
        """Give the network a place in a kernel and return its code generator."""


def emit_network(builder: KernelBuilder, module: object) -> EmittedLayers:
    """Give a network a place in a kernel, one and the same however often a kernel evaluates it.

    Args:
        builder: The kernel under construction.
        module: A ``KernelNetwork``; or an ``nn.Linear``, or an ``nn.Sequential`` of ``nn.Linear`` with one
            kind of activation between them.

    Returns:
        The network's code generator.

    Raises:
        TypeError: If a kernel cannot take the module; the message says why.
    """

    def place() -> EmittedLayers:
        return module.emit(builder) if isinstance(module, KernelNetwork) else _emit_stack(builder, module)

    return builder.shared(module, place)


def _emit_stack(builder: KernelBuilder, module: object) -> EmittedLayers:
    return EmittedLayers(builder, read_layers(module))


def read_layers(module: object) -> Layers:
    """Read the weights of torch's own layers.

    Args:
        module: An ``nn.Linear``, or an ``nn.Sequential`` of ``nn.Linear`` with one kind of activation between
            them.

    Returns:
        The layers; they share memory with the module.

    Raises:
        TypeError: If it is anything else; the message says what.
    """
    known = ", ".join(sorted(kind.__name__ for kind in _TORCH_ACTIVATIONS))
    hint = (
        f"kernels take nn.Linear layers with one of {known} between them, modules with emit(builder) such as"
        " geomlearn.nn.MLP, and modules with emit_value and emit_gradient"
    )
    if not isinstance(module, (nn.Linear, nn.Sequential)):
        name = getattr(module, "__qualname__", type(module).__qualname__)
        raise TypeError(f"{name} has no kernel code; {hint}")
    linear: list[nn.Linear] = []
    activations: list[str] = []
    for part in _parts(module):
        if isinstance(part, nn.Linear) and len(linear) == len(activations):
            linear.append(part)
        elif type(part) in _TORCH_ACTIVATIONS and len(linear) == len(activations) + 1:
            activations.append(_TORCH_ACTIVATIONS[type(part)])
        else:
            raise TypeError(f"a stack with {part} at this place has no kernel code; {hint}")
        if isinstance(part, nn.Softplus) and part.beta != 1:
            raise TypeError(f"a softplus with beta={part.beta} has no kernel code; use beta=1")
    if len(activations) != len(linear) - 1:
        raise TypeError(f"a stack that does not end in nn.Linear has no kernel code; {hint}")
    if len(set(activations)) > 1:
        raise TypeError(f"a stack with the activations {', '.join(activations)} has no kernel code; {hint}")
    biases: list[Tensor] = [
        torch.zeros(layer.out_features, dtype=torch.float64) if layer.bias is None else layer.bias
        for layer in linear
    ]
    return Layers([layer.weight for layer in linear], biases, activations[0] if activations else "tanh")


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from _parts(part)
    else:
        yield module
