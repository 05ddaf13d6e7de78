"""Multilayer perceptrons whose gradient is written out, in torch and in kernels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from integrators.kernels import EmittedLayers, KernelBuilder, Layers

from ._activations import ACTIVATIONS
from ._slope import slope


class MLP(nn.Module):
    """Fully connected network with smooth activations.

    The gradient of a single output is computed layer by layer, which is faster than asking autograd, and
    differentiates like any other expression.

    Attributes:
        sizes: Widths from input to output.
        activation: Name of the activation between the layers.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "tanh",
        gain: float = 1.0,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw orthogonal weights and small biases.

        Args:
            sizes: Widths from input to output, at least two.
            activation: ``"tanh"``, ``"silu"``, ``"softplus"`` or ``"sin"``.
            gain: Factor on the last layer.
            dtype: Floating-point type.
            generator: Source of the random numbers; torch's global one by default.

        Raises:
            ValueError: If the activation is unknown or there are too few sizes.
        """
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation: expected one of {sorted(ACTIVATIONS)}, got {activation!r}")
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes: expected at least two positive widths, got {list(sizes)}")
        self.sizes, self.activation = tuple(sizes), activation
        self.layers = nn.ModuleList(skip_init(nn.Linear, a, b, dtype=dtype) for a, b in pairwise(sizes))
        with torch.no_grad():
            for layer, width in zip(self.linear_layers, sizes):
                nn.init.orthogonal_(layer.weight, generator=generator)
                nn.init.uniform_(layer.bias, -(width**-0.5), width**-0.5, generator=generator)
        self.rescale_(gain)

    @property
    def linear_layers(self) -> list[nn.Linear]:
        """The affine layers in order."""
        return [cast(nn.Linear, layer) for layer in self.layers]

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the network.

        Args:
            x: Inputs ``(..., sizes[0])``.

        Returns:
            Outputs ``(..., sizes[-1])``.
        """
        value = ACTIVATIONS[self.activation][0]
        *hidden, last = self.linear_layers
        for layer in hidden:
            x = value(layer(x))
        return last(x)

    def gradient(self, x: Tensor) -> Tensor:
        """Differentiate the single output with respect to the inputs.

        Args:
            x: Inputs ``(..., sizes[0])``.

        Returns:
            Gradient ``(..., sizes[0])``.

        Raises:
            ValueError: If the network has several outputs.
        """
        if self.sizes[-1] != 1:
            raise ValueError(
                f"gradient: expected a network with one output, got {self.sizes[-1]}; use torch.func.jacrev"
            )
        *hidden, last = self.linear_layers
        weights = [*(layer.weight for layer in hidden), last.weight]
        return slope(x, self.activation, weights, [layer.bias for layer in hidden])

    def rescale_(self, factor: float) -> None:
        """Multiply the outputs by a number, in place.

        Args:
            factor: The number.
        """
        last = self.linear_layers[-1]
        with torch.no_grad():
            last.weight.mul_(factor)
            last.bias.mul_(factor)

    def emit(self, builder: KernelBuilder) -> EmittedLayers:
        """Give the network a place in a kernel.

        Args:
            builder: The kernel under construction.

        Returns:
            The network's code generator.
        """
        weights: list[Tensor] = [layer.weight for layer in self.linear_layers]
        biases: list[Tensor] = [layer.bias for layer in self.linear_layers]
        return EmittedLayers(builder, Layers(weights, biases, self.activation))
