"""Which parameters of a model make up a layer with curvature, and which have none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lie import StructuredFactor

from .._manifold_parameter import ManifoldParameter
from ._modules import Candidate, Part, candidates
from ._structures import LARGEST, StructureChoice, check_choice, check_patterns, choose, make_structures


@dataclass(frozen=True, eq=False)
class Layer:
    """A weight and a bias that share a Kronecker-factored preconditioner.

    Attributes:
        name: Name of the module; with .q, .k or .v for the projections of attention.
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


def find_layers(model: nn.Module, structure: StructureChoice = "dense", *, largest: int = LARGEST) -> Layout:
    """Sort the trainable parameters of a model into layers with curvature and others.

    A weight that modules share is one layer: of the embedding among them, else of the first of them.

    Args:
        model: The model.
        structure: Structures, see ``choose``.
        largest: Most rows of a "dense" or "triangular" factor; one that is larger is diagonal.

    Returns:
        The layers and the others; every parameter with ``requires_grad`` is in one of them, once (in three
        layers that part it, where it holds three projections of attention).

    Raises:
        ValueError: If the choice of structures names a structure or a layer that there is not, or a lazy
            module has not been run, so that its sizes are unknown.
    """
    check_choice(structure)
    found = list(_all_candidates(model))
    embedded = {c.weight.parameter for c in found if c.kind == "embedding"}
    layers: list[Layer] = []
    taken: dict[Tensor, str] = {}
    reasons: dict[Tensor, str] = {}
    for candidate in found:
        weight, bias = candidate.weight.parameter, candidate.bias
        reason = _unfit(weight)
        if bias is not None and bias.parameter in taken and taken[bias.parameter] != candidate.module:
            bias = None
        if bias is not None and _unfit(bias.parameter):
            bias = None
        if not reason and taken.get(weight, candidate.module) != candidate.module:
            reason = f"its weight belongs to {taken[weight]!r}"
        elif not reason and weight in embedded and candidate.kind != "embedding":
            reason = "its weight belongs to an embedding"
        if reason:
            for part in (candidate.weight, candidate.bias):
                if part is not None:
                    reasons.setdefault(part.parameter, reason)
            continue
        layers.append(_layer(candidate, bias, structure, largest))
        taken.update({part.parameter: candidate.module for part in (candidate.weight, bias) if part})
    check_patterns(structure, [layer.name for layer in layers])
    others = [
        Uncurved(name, parameter, reasons.get(parameter) or _unfit(parameter) or _stranger(model, name))
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter not in taken
    ]
    return Layout(layers, others)


def _all_candidates(model: nn.Module) -> Iterator[Candidate]:
    for name, module in model.named_modules():
        for parameter_name, parameter in module.named_parameters(recurse=False):
            if is_lazy(parameter):
                raise ValueError(
                    f"model: {name or type(module).__name__} has a {parameter_name} without a shape; run the "
                    "model once before the optimizer is made."
                )
        yield from candidates(name, module)


def _layer(candidate: Candidate, bias: Part | None, structure: StructureChoice, largest: int) -> Layer:
    weight = candidate.weight.of(candidate.weight.parameter)
    name, kind, groups = candidate.name, candidate.kind, candidate.groups
    chosen = choose(structure, name, kind)
    sizes: tuple[int | None, int]
    if kind == "norm":
        sizes = (None, weight.numel() * (1 if bias is None else 2))
    elif kind == "embedding":
        sizes = weight.shape[0], weight.shape[1]
    else:
        sizes = weight[0].numel() + (bias is not None), weight.shape[0]
    inputs, outputs = make_structures(chosen, sizes, kind, groups, largest)
    return Layer(name, kind, candidate.weight, bias, inputs, outputs)


def _unfit(parameter: Tensor) -> str:
    """Why a parameter can be no part of a layer; nothing if it can."""
    if not parameter.requires_grad:
        return "its weight is frozen"
    if isinstance(parameter, ManifoldParameter):
        return "it lies on a manifold"
    if not parameter.is_floating_point():
        return f"its dtype is {parameter.dtype}"
    return "" if parameter.numel() else "it is empty"


def _stranger(model: nn.Module, name: str) -> str:
    owner = model.get_submodule(name.rpartition(".")[0])
    return f"no curvature for this parameter of {type(owner).__name__}"
