"""Which parameters of a model make up a layer with curvature, and which have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lie import StructuredFactor

from ._structures import StructureChoice, check_choice, choose, make_structure


@dataclass(frozen=True, eq=False)
class Part:
    """Consecutive entries of a parameter along its first dimension, all of them where ``rows`` is None.

    Attributes:
        name: Qualified name of the parameter.
        parameter: The parameter.
        rows: First of the entries, and the one behind the last.
    """

    name: str
    parameter: Tensor
    rows: tuple[int, int] | None = None

    def of(self, whole: Tensor) -> Tensor:
        """Take the part of a tensor like the parameter, as a view."""
        return whole if self.rows is None else whole[self.rows[0] : self.rows[1]]


@dataclass(frozen=True, eq=False)
class Layer:
    """A weight and a bias that share a Kronecker-factored preconditioner.

    Attributes:
        name: Name of the module, with the part of it where it has several.
        kind: "linear", "conv", "embedding" or "norm".
        weight: The weight.
        bias: The bias, or None.
        inputs: Structure of the factor K of the inputs, a row for the bias included; None for "norm".
        outputs: Structure of the factor C of the output gradients.
    """

    name: str
    kind: str
    weight: Part
    bias: Part | None
    inputs: StructuredFactor | None
    outputs: StructuredFactor

    def matrix(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Arrange tensors like the weight and the bias as the matrix that the factors multiply.

        Args:
            weight: Like the part of the weight.
            bias: Like the part of the bias; None where the layer has none.

        Returns:
            Matrix, shape (d_o, d_i); (d_o, 1) where the layer has one factor.
        """
        if self.kind == "norm":
            flat = weight.flatten() if bias is None else torch.cat((weight.flatten(), bias.flatten()))
            return flat.unsqueeze(-1)
        if self.kind == "embedding":
            return weight.mT
        flat = weight.flatten(1)
        return flat if bias is None else torch.cat((flat, bias.unsqueeze(-1)), -1)

    def parts(self, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        """Undo ``matrix``.

        Args:
            matrix: Matrix, shape (d_o, d_i) or (d_o, 1).

        Returns:
            Tensors like the parts of the weight and of the bias.
        """
        like = self.weight.of(self.weight.parameter)
        if self.kind == "embedding":
            return matrix.mT, None
        if self.bias is None:
            return matrix.reshape(like.shape), None
        if self.kind == "norm":
            weight, bias = matrix.flatten().split((like.numel(), self.outputs.n - like.numel()))
            return weight.view(like.shape), bias.view(like.shape)
        return matrix[:, :-1].reshape(like.shape), matrix[:, -1]


class Uncurved(NamedTuple):
    """A parameter without curvature.

    Attributes:
        name: Qualified name.
        parameter: The parameter.
        reason: Why.
    """

    name: str
    parameter: Tensor
    reason: str


class Layout(NamedTuple):
    """All trainable parameters of a model.

    Attributes:
        layers: Those with curvature.
        others: Those without.
    """

    layers: list[Layer]
    others: list[Uncurved]


def find_layers(model: nn.Module, structure: StructureChoice = "dense") -> Layout:
    """Sort the trainable parameters of a model into layers with curvature and others.

    Args:
        model: The model.
        structure: Structures, see ``choose``.

    Returns:
        The layers and the others; every parameter with ``requires_grad`` is in one of them, once.
    """
    check_choice(structure)
    layers: list[Layer] = []
    taken: set[Tensor] = set()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module.weight.requires_grad and module.weight not in taken:
            bias = module.bias if module.bias is not None and module.bias.requires_grad else None
            d_o, d_i = module.weight.shape
            chosen = choose(structure, name, "linear")
            layers.append(
                Layer(
                    name,
                    "linear",
                    Part(_join(name, "weight"), module.weight),
                    None if bias is None else Part(_join(name, "bias"), bias),
                    make_structure(chosen.inputs, d_i + (bias is not None)),
                    make_structure(chosen.outputs, d_o),
                )
            )
            taken.update(p for p in (module.weight, bias) if p is not None)
    others = [
        Uncurved(name, parameter, "no layer with curvature holds it")
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter not in taken
    ]
    return Layout(layers, others)


def _join(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name
