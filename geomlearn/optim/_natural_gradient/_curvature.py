"""The factors of all layers: what a refresh makes of the sums, and the directions they give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor

from ._distributed import ProcessGroup, summed
from ._kronecker import (
    KroneckerFactors,
    KroneckerRule,
    kronecker_scaled,
    kronecker_start,
    kronecker_update,
)
from ._layers import Layer
from ._products import prepared
from ._state import factor_dtype, read_factors, write_factors
from ._sums import Sums

States = MutableMapping[Tensor, Any]
Directions = dict[Tensor, Tensor]


class Curvature:
    """The layers with curvature of a model, with the sums of their statistics.

    The factors live in the state of the optimizer; products of them are held here between refreshes.

    Attributes:
        layers: The layers.
        sums: The sums of each.
    """

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.sums: dict[Layer, Sums] = {}
        self._prepared: dict[Layer, tuple[KroneckerFactors, Callable[[Tensor], Tensor]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Copy the layers; sums belong to the parameters of this model."""
        return {"layers": self.layers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.layers = state["layers"]
        self.sums = {layer: Sums() for layer in self.layers}
        self._prepared = {}

    def extend(self, layers: Iterable[Layer]) -> None:
        """Take on layers."""
        for layer in layers:
            self.layers.append(layer)
            self.sums[layer] = Sums()

    def forget(self) -> None:
        """Drop all sums."""
        for sums in self.sums.values():
            sums.clear()

    def release(self) -> None:
        """Drop the products that are held."""
        self._prepared = {}

    def factors(self, layer: Layer, states: States, rule: KroneckerRule) -> KroneckerFactors:
        """Give the factors of a layer, identities before its first refresh, where the weight is.

        Args:
            layer: The layer.
            states: State of each parameter.
            rule: How the factors move.

        Returns:
            The factors.
        """
        dtype, device = factor_dtype(layer), layer.weight.parameter.device
        state = states[layer.weight.parameter]
        factors = read_factors(state, layer)
        if factors is not None and factors.C.dtype == dtype and factors.C.device == device:
            return factors
        if factors is None:
            return kronecker_start(layer.inputs, layer.outputs, rule, dtype, device)
        factors = KroneckerFactors._make(None if x is None else x.to(device, dtype) for x in factors)
        write_factors(state, layer, factors)
        return factors

    def refreshed(
        self, states: States, rule: KroneckerRule, *, mean: bool, group: ProcessGroup, processes: int
    ) -> dict[Layer, KroneckerFactors]:
        """Move the factors of the layers that were seen, without touching the state.

        Args:
            states: State of each parameter.
            rule: How they move.
            mean: Whether the loss is a mean over the samples.
            group: The processes to sum over.
            processes: How many there are.

        Returns:
            The new factors.
        """
        shared = processes > 1
        seen = [layer for layer in self.layers if shared or self.sums[layer].K is not None]
        own = {layer: self.factors(layer, states, rule) for layer in seen}
        moments = self._moments(own, group, processes)
        moved = {}
        for layer, (K, C, rows, samples) in moments.items():
            if samples:
                # A gradient of a mean over n samples is 1/n of those of the samples.
                C = C * ((samples if mean else processes) / processes**2)
                K = K / max(rows, 1)
                sides, factors = (layer.inputs, layer.outputs), own[layer]
                if rule.start == "scaled" and read_factors(states[layer.weight.parameter], layer) is None:
                    factors, K, C = kronecker_scaled(*sides, factors, K, C, rule)
                moved[layer] = kronecker_update(*sides, factors, K, C, rule)
        return moved

    def _moments(
        self, own: Mapping[Layer, KroneckerFactors], group: ProcessGroup, processes: int
    ) -> dict[Layer, tuple[Tensor, Tensor, float, float]]:
        """The sums, over all processes where there are several."""
        seen = {}
        for layer, sums in self.sums.items():
            if sums.K is not None and sums.C is not None:
                seen[layer] = (sums.K, sums.C, float(sums.rows), float(sums.samples))
        if processes == 1:
            return seen
        tensors: list[Tensor] = []
        for layer, factors in own.items():
            K, C, rows, samples = seen.get(layer, (None, None, 0.0, 0.0))
            K = torch.zeros_like(factors.K) if K is None else K
            C = torch.zeros_like(factors.C) if C is None else C
            tensors += [K, C, torch.tensor([rows, samples], dtype=torch.float64, device=C.device)]
        totals = summed(tensors, group)
        return {
            layer: (totals[3 * i], totals[3 * i + 1], *totals[3 * i + 2].tolist())
            for i, layer in enumerate(own)
        }

    def directions(
        self,
        gradients: Mapping[Tensor, Tensor],
        states: States,
        rule: KroneckerRule,
        moved: Mapping[Layer, KroneckerFactors],
    ) -> Directions:
        """Precondition gradients.

        Args:
            gradients: Gradients by parameter; layers whose weight has none are left out.
            states: State of each parameter.
            rule: How factors move.
            moved: Factors that take the place of those in the state.

        Returns:
            Directions of the weights and biases, by parameter and like it.
        """
        found: Directions = {}
        for layer in self.layers:
            weight, bias = layer.weight, layer.bias
            gradient = gradients.get(weight.parameter)
            if gradient is None:
                continue
            other = None if bias is None else gradients.get(bias.parameter)
            missing = bias is not None and other is None
            if bias is not None:
                other = bias.of(torch.zeros_like(bias.parameter) if other is None else other)
            apply = self._apply(layer, states, rule, moved)
            ours = layer.parts(apply(layer.matrix(weight.of(gradient), other)))
            _put(found, weight.parameter, weight.rows, ours[0])
            if bias is not None and not missing and ours[1] is not None:
                _put(found, bias.parameter, bias.rows, ours[1])
        return found

    def _apply(
        self,
        layer: Layer,
        states: States,
        rule: KroneckerRule,
        moved: Mapping[Layer, KroneckerFactors],
    ) -> Callable[[Tensor], Tensor]:
        factors = moved.get(layer) or self.factors(layer, states, rule)
        held = self._prepared.get(layer)
        if held is None or held[0].C is not factors.C or held[0].K is not factors.K:
            held = self._prepared[layer] = factors, prepared(layer.inputs, layer.outputs, factors)
        return held[1]

    def commit(self, states: States, moved: Mapping[Layer, KroneckerFactors]) -> None:
        """Put new factors into the state."""
        for layer, factors in moved.items():
            write_factors(states[layer.weight.parameter], layer, factors)


def _put(found: Directions, parameter: Tensor, rows: tuple[int, int] | None, value: Tensor) -> None:
    """Put the direction of a part where the parameter's is."""
    if rows is None:
        found[parameter] = value.to(parameter.dtype)
        return
    if parameter not in found:
        found[parameter] = torch.zeros_like(parameter)
    found[parameter][slice(*rows)] = value
