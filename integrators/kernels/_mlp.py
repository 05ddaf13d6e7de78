"""Kernel code of multilayer perceptrons: values and gradients."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from ._builder import KernelBuilder, Rows
from ._mlp_text import Product, function_text

After = Callable[[str], list[str]]

ACTIVATIONS = {
    "tanh": ("hyperbolic_tangent(s)", "1.0 - y * y"),
    "silu": ("s * logistic(s)", "g * (1.0 + s * (1.0 - g))"),
    "softplus": ("max(s, 0.0) + math.log1p(exponential(-abs(s)))", "logistic(s)"),
    "sin": ("sine(s)", "cosine(s)"),
    "sigmoid": ("logistic(s)", "y * (1.0 - y)"),
    "relu": ("0.0 if s <= 0.0 else s", "1.0 if s > 0.0 else 0.0"),
}
"""Value of ``s`` and slope, in terms of ``s``, the value ``y`` and ``g = logistic(s)``."""


@dataclass(frozen=True)
class Layers:
    """Weights of a perceptron.

    Attributes:
        weights: ``(out, in)`` of each layer.
        biases: ``(out,)`` of each layer.
        activation: Name of the activation between the layers.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    activation: str


class EmittedLayers:
    """A perceptron whose weights have their place in the parameters of a kernel."""

    def __init__(self, builder: KernelBuilder, layers: Layers) -> None:
        """Reserve room for the weights and the intermediate values.

        Args:
            builder: The kernel under construction.
            layers: The weights.
        """
        self.builder = builder
        self.activation = layers.activation
        self.sizes = [layers.weights[0].shape[1], *(weight.shape[0] for weight in layers.weights)]
        self.weights = [builder.parameter(weight) for weight in layers.weights]
        self.transposed = [builder.parameter(weight.mT) for weight in layers.weights]
        self.biases = [builder.parameter(bias) for bias in layers.biases]
        self.inputs = builder.rows(self.sizes[0])
        self.hidden = [builder.rows(size) for size in self.sizes[1:-1]]
        self.slopes = [builder.rows(size) for size in self.sizes[1:-1]]
        self.output = builder.rows(self.sizes[-1])
        self.input_slope = builder.rows(self.sizes[0])

    def emit_forward(self, inputs: Rows) -> Rows:
        """Add code for the outputs; slopes of the hidden units are kept for ``emit_backward``.

        Args:
            inputs: Rows of the inputs.

        Returns:
            Rows of the outputs.
        """
        pairs = zip(self.inputs, inputs, strict=True)
        self.builder.lanes(*[f"@{own} = @{row}" for own, row in pairs], join=True)
        targets = [*self.hidden, self.output]
        products = []
        for k, (source, target) in enumerate(pairwise([self.inputs, *targets])):
            after = self._activate(k) if k < len(self.hidden) else _nothing
            products.append(self._product(k, source, target, after))
        self._call("forward", products)
        return self.output

    def emit_backward(self) -> Rows:
        """Add code for the gradient of a single output with respect to the inputs.

        Returns:
            Rows of the gradient, as many as inputs.
        """
        last = self.weights[-1]
        if not self.hidden:
            self.builder.lanes(*[f"@{row} = P[{last + i}]" for i, row in enumerate(self.input_slope)])
            return self.input_slope
        back, slopes = self.hidden[-1], self.slopes[-1]  # values that are not needed again make room
        first = [
            f"for i in range({len(back)}):",
            f"    w = P[{last} + i]",
            "    for l in range(L):",
            f"        A[({back[0]} + i) * L + l] = w * A[({slopes[0]} + i) * L + l]",
        ]
        parts: list[Product | list[str]] = [first]
        for k in range(len(self.hidden) - 1, -1, -1):
            target = self.hidden[k - 1] if k else self.input_slope
            after = self._scale(k - 1) if k else _nothing
            parts.append(self._back_product(k, self.hidden[k], target, after))
        self._call("backward", parts)
        return self.input_slope

    def _product(self, k: int, source: Rows, target: Rows, after: After) -> Product:
        return Product(
            target[0], len(target), source[0], len(source),
            self.weights[k], self.transposed[k], self.biases[k], after,
        )  # fmt: skip

    def _back_product(self, k: int, source: Rows, target: Rows, after: After) -> Product:
        return Product(
            target[0], len(target), source[0], len(source),
            self.transposed[k], self.weights[k], None, after,
        )  # fmt: skip

    def _activate(self, k: int) -> After:
        value, slope = ACTIVATIONS[self.activation]
        rows, slopes = self.hidden[k][0], self.slopes[k][0]

        def after(i: str) -> list[str]:
            return [
                *(["g = logistic(s)"] if "g" in slope.replace("logistic", "") else []),
                f"y = {value}",
                f"A[({rows} + {i}) * L + l] = y",
                f"A[({slopes} + {i}) * L + l] = {slope}",
            ]

        return after

    def _scale(self, k: int) -> After:
        rows, slopes = self.hidden[k][0], self.slopes[k][0]
        return lambda i: [f"A[({rows} + {i}) * L + l] = s * A[({slopes} + {i}) * L + l]"]

    def _call(self, name: str, parts: Sequence[Product | list[str]]) -> None:
        text = function_text("function", parts)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        name = f"{name}_{digest}"
        self.builder.functions.setdefault(name, text.replace("def function(", f"def {name}(", 1))
        self.builder.line(f"{name}(A, P)")


def _nothing(i: str) -> list[str]:
    return []
