"""Factors in the state of an optimizer, and states that are plain and belong where they are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ._kronecker import KroneckerFactors, KroneckerRule
from ._layers import Layer

VERSION = 1
"""Version of the layout of states."""

FACTORS = ("K", "C", "m_K", "m_C")
"""First words of the keys of factors."""


def factor_keys(layer: Layer) -> tuple[str, str, str, str]:
    """Name the entries of the state of a weight that are the factors of a layer."""
    if layer.weight.rows is None:
        return FACTORS
    suffix = "[{}:{}]".format(*layer.weight.rows)
    K, C, m_K, m_C = (key + suffix for key in FACTORS)
    return K, C, m_K, m_C


def read_factors(state: Mapping[str, Any], layer: Layer) -> KroneckerFactors | None:
    """Read the factors of a layer from the state of its weight; None before the first."""
    K, C, m_K, m_C = factor_keys(layer)
    if C not in state:
        return None
    return KroneckerFactors(state[K], state[C], state.get(m_K), state.get(m_C))


def write_factors(state: dict[str, Any], layer: Layer, factors: KroneckerFactors) -> None:
    """Put the factors of a layer into the state of its weight."""
    for key, value in zip(factor_keys(layer), factors, strict=True):
        if value is not None:
            state[key] = value


def factor_dtype(layer: Layer) -> torch.dtype:
    """The dtype of the factors of a layer: that of its weight, float32 at least."""
    return torch.promote_types(layer.weight.parameter.dtype, torch.float32)


def cloned(value: Any) -> Any:
    """Copy nested dictionaries, lists and tuples with the tensors in them."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: cloned(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(cloned(item) for item in value)
    return value


def structures_of(layers: Iterable[Layer]) -> dict[str, str]:
    """Describe the structures of layers, by the names of the layers."""
    return {
        layer.name: f"{layer.outputs.name if layer.inputs is None else layer.inputs.name}"
        + ("" if layer.inputs is None else f" x {layer.outputs.name}")
        for layer in layers
    }


def refuse_other_layers(ours: Mapping[str, str], saved: Mapping[str, str]) -> None:
    """Refuse a state of other structures, layer for layer; names may differ, as in a model that was wrapped.

    Args:
        ours: What ``structures_of`` says of the layers that are to take it.
        saved: What it said of those that it was saved from.

    Raises:
        ValueError: If they differ.
    """
    if len(ours) != len(saved):
        raise ValueError(
            f"state_dict: it is of {len(saved)} layers with curvature, the optimizer has {len(ours)}; make "
            "the optimizer with the model of the state."
        )
    for (name, own), (other, theirs) in zip(ours.items(), saved.items(), strict=True):
        if own != theirs:
            raise ValueError(
                f"state_dict: layer {other!r} has the factors {theirs} there, and {name!r} {own} here; make "
                "the optimizer with the structure and the model of the state."
            )


def refuse_others(ours: Iterable[Mapping[str, Any]], saved: Iterable[Mapping[str, Any]]) -> None:
    """Refuse groups that are stepped by other methods, as those of other optimizers are.

    Args:
        ours: Our groups.
        saved: The groups of a state.

    Raises:
        ValueError: If methods or numbers of parameters differ.
    """
    found = [[(group.get("method"), len(group["params"])) for group in groups] for groups in (ours, saved)]
    if found[0] != found[1]:
        raise ValueError(
            f"state_dict: its groups, by method and number of parameters, are {found[1]}, those of the "
            f"optimizer {found[0]}; the state belongs to another optimizer or other parameter groups."
        )


def refuse_other_rules(rule: KroneckerRule, own: Mapping[str, Any]) -> None:
    """Refuse a state of a later version or of the other variant.

    Args:
        rule: The rule that is to go on.
        own: What a state says besides states and groups.

    Raises:
        ValueError: If it is of such.
    """
    version = own.get("version", VERSION)
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise ValueError(
            f"state_dict: its version is {version!r}, this release reads up to {VERSION}; load it with the "
            "release that wrote it, or a later one."
        )
    variant = own.get("rule", {}).get("variant", rule.variant)
    if variant != rule.variant:
        raise ValueError(
            f'state_dict: it is of variant="{variant}", the optimizer of "{rule.variant}"; make it with the '
            "other variant."
        )


def refuse_other_shapes(numbers: Mapping[Tensor, int], saved: Mapping[int, Mapping[str, Any]]) -> None:
    """Refuse a state whose momenta are not like the parameters.

    Args:
        numbers: Number of the state of each parameter.
        saved: States by number.

    Raises:
        ValueError: If a shape differs.
    """
    for p, index in numbers.items():
        for key in ("momentum_buffer", "exp_avg", "exp_avg_sq"):
            value = saved.get(index, {}).get(key)
            if isinstance(value, Tensor) and value.shape != p.shape:
                raise ValueError(
                    f"state_dict: {key} of parameter {index} has shape {tuple(value.shape)}, the parameter "
                    f"needs {tuple(p.shape)}; the state belongs to other parameters."
                )


def refuse_other_factors(
    layers: Iterable[Layer], numbers: Mapping[Tensor, int], saved: Mapping[int, Mapping[str, Any]]
) -> None:
    """Refuse a state whose factors have other structures, as far as their sizes tell.

    Args:
        layers: The layers.
        numbers: Number of the state of each parameter.
        saved: States by number.

    Raises:
        ValueError: If a size differs.
    """
    for layer in layers:
        factors = read_factors(saved.get(numbers.get(layer.weight.parameter, -1), {}), layer)
        expected = (0 if layer.inputs is None else layer.inputs.memory, layer.outputs.memory)
        if factors is not None and (factors.K.numel(), factors.C.numel()) != expected:
            raise ValueError(
                f"state_dict: the factors of layer {layer.name!r} have {factors.K.numel()} and "
                f"{factors.C.numel()} numbers, those of the optimizer {expected[0]} and {expected[1]}; make "
                "it with the structure of the state."
            )
