"""Kernel code of multilayer perceptrons: values and gradients."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ._builder import KernelBuilder, Rows

UNROLL = 10

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
        self.biases = [builder.parameter(bias) for bias in layers.biases]
        self.hidden = [builder.rows(size) for size in self.sizes[1:-1]]
        self.slopes = [builder.rows(size) for size in self.sizes[1:-1]]
        self.back = [builder.rows(size) for size in self.sizes[1:-1]]
        self.output = builder.rows(self.sizes[-1])
        self.input_slope = builder.rows(self.sizes[0])

    def emit_forward(self, inputs: Rows) -> Rows:
        """Add code for the outputs; slopes of the hidden units are kept for ``emit_backward``.

        Args:
            inputs: Rows of the inputs.

        Returns:
            Rows of the outputs.
        """
        value, slope = ACTIVATIONS[self.activation]
        previous = inputs
        for k, rows in enumerate([*self.hidden, self.output]):
            self._affine(previous, rows, self.weights[k], self.biases[k])
            if k < len(self.hidden):
                with (
                    self.builder.loop(f"for i in range({len(rows)}):"),
                    self.builder.loop("for l in range(L):"),
                ):
                    self.builder.line(f"s = A[({rows[0]} + i) * L + l]")
                    if "g" in slope.replace("logistic", ""):
                        self.builder.line("g = logistic(s)")
                    self.builder.line(f"y = {value}")
                    self.builder.line(f"A[({rows[0]} + i) * L + l] = y")
                    self.builder.line(f"A[({self.slopes[k][0]} + i) * L + l] = {slope}")
            previous = rows
        return self.output

    def emit_backward(self) -> Rows:
        """Add code for the gradient of a single output with respect to the inputs.

        Returns:
            Rows of the gradient, as many as inputs.
        """
        last = len(self.hidden) - 1
        if last < 0:
            self.builder.lanes(
                *[f"@{row} = P[{self.weights[0] + i}]" for i, row in enumerate(self.input_slope)]
            )
            return self.input_slope
        offset, rows, slopes = self.weights[-1], self.back[last], self.slopes[last]
        with self.builder.loop(f"for i in range({len(rows)}):"):
            self.builder.line(f"w = P[{offset} + i]")
            with self.builder.loop("for l in range(L):"):
                self.builder.line(f"A[({rows[0]} + i) * L + l] = w * A[({slopes[0]} + i) * L + l]")
        for k in range(last, -1, -1):
            target = self.back[k - 1] if k else self.input_slope
            scale = self.slopes[k - 1] if k else None
            self._transposed(self.back[k], target, self.weights[k], scale)
        return self.input_slope

    def _affine(self, inputs: Rows, outputs: Rows, weight: int, bias: int) -> None:
        """``outputs = W inputs + b``, several inputs per pass over the lanes."""
        n = len(inputs)
        with self.builder.loop(f"for i in range({len(outputs)}):"):
            for first in range(0, n, UNROLL):
                group = range(first, min(first + UNROLL, n))
                for j in group:
                    self.builder.line(f"w{j - first} = P[{weight} + i * {n} + {j}]")
                start = f"A[({outputs[0]} + i) * L + l]" if first else f"P[{bias} + i]"
                terms = [f"w{j - first} * A[{inputs[j]} * L + l]" for j in group]
                with self.builder.loop("for l in range(L):"):
                    self.builder.line(f"A[({outputs[0]} + i) * L + l] = {' + '.join([start, *terms])}")

    def _transposed(self, cotangents: Rows, outputs: Rows, weight: int, scale: Rows | None) -> None:
        """``outputs = scale * W^T cotangents``."""
        n, m = len(outputs), len(cotangents)
        with self.builder.loop(f"for i in range({n}):"):
            for first in range(0, m, UNROLL):
                group = range(first, min(first + UNROLL, m))
                for j in group:
                    self.builder.line(f"w{j - first} = P[{weight} + {j * n} + i]")
                terms = [f"w{j - first} * A[{cotangents[j]} * L + l]" for j in group]
                if first:
                    terms.insert(0, f"A[({outputs[0]} + i) * L + l]")
                total = " + ".join(terms)
                if scale is not None and group[-1] == m - 1:
                    total = f"({total}) * A[({scale[0]} + i) * L + l]"
                with self.builder.loop("for l in range(L):"):
                    self.builder.line(f"A[({outputs[0]} + i) * L + l] = {total}")
