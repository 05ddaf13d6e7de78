"""An optimizer of layers with curvature and other parameters: its groups, its state, its description."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import StateDict

from ._curvature import Curvature
from ._groups import ADAMW, check_group, described, entries_of, parameter_of, split_group
from ._kronecker import KroneckerRule
from ._layers import Layer, Uncurved, find_layers
from ._state import (
    VERSION,
    cloned,
    factor_dtype,
    factor_keys,
    refuse_other_factors,
    refuse_other_layers,
    refuse_other_rules,
    refuse_other_shapes,
    refuse_others,
    structures_of,
)
from ._structures import StructureChoice
from ._updates import FALLBACK


class LayeredOptimizer(Optimizer):
    """Base: everything but the scope and the step.

    Attributes:
        rule: The rule by which factors move.
        factor_rate: Its rate, or a function of the number of steps.
        interval: Steps between two refreshes.
        trust: Largest length of a step.
        steps: Number of steps made.
        skipped: Number of steps not made.
        others: The parameters without curvature.
    """

    rule: KroneckerRule
    factor_rate: float | Callable[[int], float]
    interval: int
    trust: float | None
    steps: int
    skipped: int
    others: list[Uncurved]
    _structure: StructureChoice
    _fallback: dict[str, Any]
    _curvature: Curvature
    _names: dict[Tensor, str]
    _copied: tuple[str, ...] = (
        "rule",
        "factor_rate",
        "interval",
        "trust",
        "steps",
        "skipped",
        "others",
        "_structure",
        "_fallback",
        "_curvature",
        "_names",
    )

    # Parameters

    def _take(self, model: nn.Module) -> None:
        """Find the layers of a model, but for those that are known."""
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}.")
        if isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        model = getattr(model, "_orig_mod", model)
        known = {layer.weight.parameter for layer in self._curvature.layers}
        found = find_layers(model, self._structure)
        self._curvature.extend(layer for layer in found.layers if layer.weight.parameter not in known)
        self._note(found.others)
        for name, p in model.named_parameters():
            self._names.setdefault(p, name)

    def _note(self, others: Iterable[Uncurved]) -> None:
        """Keep in mind why parameters have no curvature."""
        known = {other.parameter for other in self.others}
        self.others += [other for other in others if other.parameter not in known]

    @property
    def layers(self) -> list[Layer]:
        """The layers with curvature."""
        return list(self._curvature.layers)

    def _curved(self) -> set[Tensor]:
        parts = [part for layer in self._curvature.layers for part in (layer.weight, layer.bias)]
        return {part.parameter for part in parts if part is not None}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with options of its own or else those of the constructor.

        Parameters of layers with curvature and others go to groups of their own. With "model", a module that
        the parameters are of, layers of it are looked for; without it new parameters are stepped by AdamW.

        Args:
            param_group: ``{"params": ..., "model": ..., option: value, ...}``.

        Raises:
            TypeError: If it is no dictionary, or a parameter is no tensor.
            ValueError: If an option is out of range or a parameter is in another group already.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        options = dict(param_group)
        params = options.pop("params")
        if "model" in options:
            self._take(options.pop("model"))
        for derived in ("method", "param_names"):
            options.pop(derived, None)
        entries = entries_of(params)
        before = len(self.param_groups)
        try:
            for group in split_group(options, entries, self._curved(), self._fallback):
                super().add_param_group(group)
                check_group(self.param_groups[-1])
        except (ValueError, TypeError):
            del self.param_groups[before:]
            raise
        for number, entry in enumerate(entries, sum(len(g["params"]) for g in self.param_groups[:before])):
            p = parameter_of(entry)
            name = entry[0] if isinstance(entry, tuple) else f"parameter {number}"
            self._names.setdefault(p, name)
        curved = self._curved()
        strangers = [p for group in self.param_groups[before:] for p in group["params"] if p not in curved]
        self._note(Uncurved(self._names[p], p, "no layer of the model holds it") for p in strangers)

    # State

    def state_dict(self) -> StateDict:
        """Copy the state: plain tensors, numbers and words, as ``torch.load`` takes them by default.

        Returns:
            The state, with its version, the structures of the layers and the rule of the factors.
        """
        state = super().state_dict()
        state["state"] = cloned(state["state"])
        state["param_groups"] = copy.deepcopy(state["param_groups"])
        state["natural_gradient"] = {
            "version": VERSION,
            "steps": self.steps,
            "skipped": self.skipped,
            "interval": self.interval,
            "trust": self.trust,
            "rule": dataclasses.asdict(self.rule),
            "structures": structures_of(self._curvature.layers),
        }
        return state

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take the state of another optimizer of this kind, to go on bit for bit.

        Args:
            state_dict: What ``state_dict`` returned; it is left as it is. Without its "natural_gradient", the
                next step is a refresh.

        Raises:
            ValueError: If groups, layers, structures, the variant or shapes differ, or the state is of a
                later version; nothing has then been loaded.
        """
        own = state_dict.get("natural_gradient", {})
        numbers = self._numbers(state_dict)
        refuse_others(self.param_groups, state_dict["param_groups"])
        refuse_other_rules(self.rule, own)
        if "structures" in own:
            refuse_other_layers(structures_of(self._curvature.layers), own["structures"])
        refuse_other_shapes(numbers, state_dict["state"])
        refuse_other_factors(self._curvature.layers, numbers, state_dict["state"])
        super().load_state_dict({**state_dict, "state": cloned(state_dict["state"])})
        for layer in self._curvature.layers:
            p = layer.weight.parameter
            saved = state_dict["state"].get(numbers.get(p), {})
            for key in factor_keys(layer):
                if key in saved:  # again, for torch has given it the dtype of the parameter
                    self.state[p][key] = saved[key].detach().to(p.device, factor_dtype(layer), copy=True)
        self.steps, self.skipped = int(own.get("steps", 0)), int(own.get("skipped", 0))
        self.interval = int(own.get("interval", self.interval))
        self.trust = own.get("trust", self.trust)
        if "rule" in own:
            self.rule = KroneckerRule(**own["rule"])
            if not callable(self.factor_rate):
                self.factor_rate = self.rule.rate

    def _numbers(self, state_dict: StateDict) -> dict[Tensor, int]:
        """Numbers that our parameters have in a state."""
        ours = [p for group in self.param_groups for p in group["params"]]
        saved = [index for group in state_dict["param_groups"] for index in group["params"]]
        return dict(zip(ours, saved))

    def __getstate__(self) -> dict[str, Any]:
        """Copy everything but what is held for the passes of this model."""
        return {**super().__getstate__(), **{name: getattr(self, name) for name in self._copied}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state, also one that was saved before an option was added."""
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in {**(FALLBACK if group["method"] == ADAMW else {}), **self.defaults}.items():
                group.setdefault(key, value)
        self._curvature.forget()
        self._curvature.release()

    def __repr__(self) -> str:
        """List the layers with their structures, the parameters of AdamW with the reasons, and the groups."""
        held = {p for group in self.param_groups for p in group["params"]}
        layers, curved = self._curvature.layers, self._curved()
        rule = ", ".join(f"{key}={value!r}" for key, value in dataclasses.asdict(self.rule).items())
        lines = [
            f"{type(self).__name__} (",
            f"  {rule}, interval={self.interval}, trust={self.trust}",
            "  natural gradient:",
        ]
        for layer, structure in zip(layers, structures_of(layers).values(), strict=True):
            if layer.weight.parameter in held:
                lines.append(f"    {layer.name or '(model)'}: {layer.kind}, {structure}")
        others = [x for x in self.others if x.parameter in held and x.parameter not in curved]
        lines.append("  AdamW:" if others else "  AdamW: nothing")
        lines += [f"    {other.name}: {other.reason}" for other in others]
        lines += [f"  group {number}: {described(group)}" for number, group in enumerate(self.param_groups)]
        return "\n".join([*lines, ")"])
