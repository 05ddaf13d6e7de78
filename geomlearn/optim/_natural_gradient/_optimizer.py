"""The structured inverse-free natural gradient as a torch optimizer."""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import StateDict
from torch.optim.sgd import sgd

from ._curvature import Curvature
from ._distributed import ProcessGroup, active_group, require_group, summed
from ._fallback import FALLBACK, step_fallback
from ._groups import ADAMW, NATURAL, all_finite, check_group, gradients_of, named_parameters, split_group
from ._kronecker import KroneckerFactors, KroneckerRule
from ._layers import Layer, Uncurved, find_layers
from ._rows import APPROXIMATIONS
from ._state import (
    VERSION,
    cloned,
    factor_dtype,
    factor_keys,
    read_factors,
    refuse_other_layers,
    refuse_other_shapes,
    structures_of,
)
from ._structures import StructureChoice
from ._watch import Reading, Watch


class StructuredNaturalGradient(Optimizer):
    """Natural gradient with structured Kronecker factors that no step inverts (IKFAC, INGD: SINGD).

    A layer with weight gradient G (d_o, d_i), the bias as its last column, is stepped along

        C C^T G K K^T,    with (K K^T)^-1 near the second moment U of the layer's inputs plus damping, and
                          (C C^T)^-1 near that of the gradients of the samples' losses by its outputs:

    the factors K and C, of a structure each, move by K <- K h(N), multiplicatively, so that they stay
    invertible in any precision (see ``KroneckerRule``). The curvature is that of the labels in the data, the
    empirical Fisher matrix. Momentum and weight decay follow the preconditioning.

    Curvature is read from the calls of layers in a scope,

        with optimizer.curvature():
            loss(model(x), y).backward()
        optimizer.step()

    which does something on every ``interval``-th step only; backward passes outside of it, and
    ``torch.autograd.grad`` in it, leave no trace. All parameters are trained: those of layers without
    curvature by AdamW, in the same step, in groups of their own; ``print(optimizer)`` lists both.

    Args:
        model: The model, also compiled or in ``DistributedDataParallel``. Nothing is attached to it.
        lr: Learning rate of the parameters with curvature.
        params: Parameters, named parameters or groups of them that are to be trained; by default all that
            require gradients. Options of a group are for all its parameters.
        structure: "dense", "diagonal", "block" (or "block-30", ...), "triangular", "hierarchical",
            "toeplitz", "rank-10", ...; a pair of them for the factors of inputs and of outputs; or a mapping
            from patterns of layer names to such.
        variant: "ikfac" or "ingd".
        momentum: Momentum of the parameters.
        weight_decay: Multiple of the parameters that is added to their directions.
        damping: Multiple of the identity that is added to the second moments.
        factor_rate: Step size of the factors, above 0 and at most 1; or a function of the number of steps.
        factor_momentum: Momentum of the factors, with "ingd" only; 0.5 by default.
        interval: Steps between two refreshes of the factors.
        h: "h2", "h1", "exp" or "cayley".
        step_bound: Largest norm of a step of a factor; None for no bound.
        approximation: Of layers that a sample goes through at many positions, "expand": every position is a
            sample to them; "reduce": inputs are averaged and gradients summed over positions.
        batch_dim: Dimension of the samples in inputs of layers that have positions, (samples, positions,
            features) by default. That of convolutions and of torch's attention is known.
        loss_reduction: "mean" if the loss is a mean over the samples, "sum" if it is a sum.
        maximize: Whether to maximize.
        foreach: As in torch's optimizers; None means True.
        fallback: Options of AdamW: lr (1e-3), betas, eps, weight_decay (0).
        process_group: Processes over which gradients and curvature are averaged: "auto" for all of them if
            torch.distributed is initialised, None for none. Where ``DistributedDataParallel`` is given as
            the model, it is the one to average gradients.

    Raises:
        ValueError: If an option is out of range, or a parameter is a ``ManifoldParameter``.
        TypeError: If ``params`` holds something else.

    Attributes:
        rule: The rule by which factors move, which may be replaced between steps.
        factor_rate: As given.
        steps: Number of steps made.
        skipped: Number of steps not made because something was not finite.
        others: The parameters without curvature, with the reason.

    References:
        W. Lin, V. Duruisseaux, M. Leok, F. Nielsen, M. E. Khan, M. Schmidt: Simplifying momentum-based
        positive-definite submanifold optimization with applications to deep learning, ICML 2023 (INGD). W.
        Lin, F. Dangel, R. Eschenhagen, K. Neklyudov, A. Kristiadi, R. E. Turner, A. Makhzani: Structured
        inverse-free natural gradient descent, ICML 2024 (IKFAC, SINGD).

    Examples:
        >>> import torch
        >>> from geomlearn.optim import StructuredNaturalGradient
        >>> model = torch.nn.Linear(3, 1)
        >>> optimizer = StructuredNaturalGradient(model, lr=0.1)
        >>> x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
        >>> with optimizer.curvature():
        ...     model(x).square().mean().backward()
        >>> optimizer.step()
        >>> optimizer.steps
        1
    """

    _step_supports_amp_scaling = True
    grad_scale: Tensor | None
    found_inf: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        lr: float | Tensor = 1e-3,
        *,
        params: Iterable[Any] | None = None,
        structure: StructureChoice = "dense",
        variant: str = "ikfac",
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        damping: float = 1e-3,
        factor_rate: float | Callable[[int], float] = 0.05,
        factor_momentum: float | None = None,
        interval: int = 10,
        h: str = "h2",
        step_bound: float | None = 0.5,
        approximation: str = "expand",
        batch_dim: int = 0,
        loss_reduction: str = "mean",
        maximize: bool = False,
        foreach: bool | None = None,
        fallback: Mapping[str, Any] | None = None,
        process_group: ProcessGroup = "auto",
    ) -> None:
        _require_words(approximation, loss_reduction, interval, fallback)
        require_group(process_group)
        rate = factor_rate(0) if callable(factor_rate) else factor_rate
        self.rule = KroneckerRule(variant, rate, factor_momentum, damping, h, step_bound)
        self.factor_rate = factor_rate
        self.interval, self.loss_reduction, self.process_group = (
            interval,
            loss_reduction,
            process_group,
        )
        self.steps = self.skipped = 0
        self._reading = Reading(approximation, batch_dim)
        self._structure = structure
        self._fallback = dict(fallback or {})
        self._averaged = isinstance(model, nn.parallel.DistributedDataParallel)
        self._curvature = Curvature()
        self._names: dict[Tensor, str] = {}
        self.others: list[Uncurved] = []
        self._watching = self._told = self._unscaled = False
        self._take(model)
        known = [p for p in model.parameters() if p.requires_grad]
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
        }
        super().__init__(known if params is None else params, defaults)

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
        self.others += [other for other in found.others if other.parameter not in self._names]
        for name, p in model.named_parameters():
            self._names.setdefault(p, name)

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
        count = sum(len(group["params"]) for group in self.param_groups)
        named = named_parameters(params, self._names, count)
        before = len(self.param_groups)
        try:
            for group in split_group(options, named, self._curved(), self._fallback):
                super().add_param_group(group)
                check_group(self.param_groups[-1])
        except (ValueError, TypeError):
            del self.param_groups[before:]
            raise
        for name, p in named:
            if p not in self._names:
                self._names[p] = name
                self.others.append(Uncurved(name, p, "no layer of the model holds it"))

    # Curvature

    def curvature(self, scaler: Any = None, *, samples: int | None = None) -> AbstractContextManager[None]:
        """Make the scope in which forward and backward passes show their curvature.

        Both passes belong in it, of all micro-batches of the step. Between refreshes it does nothing. A model
        of torch.compile runs uncompiled in it when it does something.

        Args:
            scaler: The ``torch.amp.GradScaler`` that the loss is scaled by.
            samples: Number of terms that the loss of a backward pass is the mean of, where it is not the
                number of samples that the layers see: in a mean over all words of all sentences, the words.

        Returns:
            The context manager.
        """
        if self._watching or not self._due:
            return nullcontext()
        scale = 1.0 if scaler is None else float(scaler.get_scale())
        self._unscaled = self._unscaled or scaler is None
        return self._scope(dataclasses.replace(self._reading, scale=scale, samples=samples))

    @property
    def _due(self) -> bool:
        return self.steps % self.interval == 0

    @contextmanager
    def _scope(self, reading: Reading) -> Iterator[None]:
        states, rule, curvature = self.state, self.rule, self._curvature
        watch = Watch(
            curvature.layers, curvature.sums, lambda layer: curvature.factors(layer, states, rule), reading
        )
        self._watching = True
        try:
            with _uncompiled(), watch:
                yield
        finally:
            self._watching = False

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients, and the curvature that came with them.

        Args:
            set_to_none: Whether gradients become None instead of zero.
        """
        super().zero_grad(set_to_none)
        self._curvature.forget()

    # Steps

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step with the gradients that the parameters hold.

        Where a gradient, a second moment or a direction is infinite or NaN, nothing is changed but
        ``skipped``, which counts it; the first time there is a warning.

        Args:
            closure: Function that computes the gradients anew, in the scope of ``curvature``, and returns the
                loss.

        Returns:
            The loss of the closure, if there is one.

        Raises:
            RuntimeError: If a gradient is sparse, or a refresh is due and no backward pass was made in the
                scope of ``curvature``, or none that knew the scaler. Nothing has then been changed.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad(), self.curvature():
                loss = closure()
        with torch.no_grad():
            self._step()
        return loss

    def _step(self) -> None:
        gradients = self._gradients()
        if not gradients:
            self._curvature.forget()
            return
        found_inf = self.__dict__.get("found_inf")
        if found_inf is not None and bool(found_inf.item()):
            self._skip("a gradient", quiet=True)
            return
        group, processes = active_group(self.process_group)
        rule, states, curvature = self.rule, self.state, self._curvature
        moved: dict[Layer, KroneckerFactors] = {}
        if self._due and curvature.layers:
            if callable(self.factor_rate):
                rule = self.rule = dataclasses.replace(rule, rate=self.factor_rate(self.steps))
            moved = curvature.refreshed(
                states, rule, mean=self.loss_reduction == "mean", group=group, processes=processes
            )
            self._require_curvature(gradients, moved)
        if processes > 1 and not self._averaged:
            gradients = self._average(gradients, group, processes)
        directions = curvature.directions(gradients, states, rule, moved)
        factors = [x for pair in moved.values() for x in pair if x is not None]
        if not all_finite([*gradients.values(), *directions.values(), *factors]):
            self._skip("a gradient or the curvature")
            return
        curvature.commit(states, moved)
        curvature.forget()
        self._unscaled = False
        for options in self.param_groups:
            if options["method"] == NATURAL:
                self._step_natural(options, gradients, directions)
            else:
                self._step_adamw(options, gradients)
        self.steps += 1

    def _gradients(self) -> dict[Tensor, Tensor]:
        """The gradients, without the scale of the loss."""
        gradients = gradients_of(self.param_groups)
        scale = self.__dict__.get("grad_scale")
        if scale is None or not gradients:
            return gradients
        return {p: g / scale.to(g.device) for p, g in gradients.items()}

    def _require_curvature(
        self, gradients: Mapping[Tensor, Tensor], moved: Mapping[Layer, KroneckerFactors]
    ) -> None:
        """Refuse a step whose refresh saw nothing."""
        if "found_inf" in self.__dict__ and self._unscaled and moved:
            raise RuntimeError(
                "the loss was scaled by a GradScaler that curvature() was not told of: write "
                "`with optimizer.curvature(scaler):`."
            )
        unseen = [x for x in self._curvature.layers if x.weight.parameter in gradients and x not in moved]
        if not unseen:
            return
        if not moved:
            raise RuntimeError(
                f"step {self.steps} is to refresh the curvature, but no backward pass went through a layer "
                "in its scope: write `with optimizer.curvature(): loss(model(x), y).backward()` around both "
                "passes, or give step a closure."
            )
        if not self._told:
            self._told = True
            warnings.warn(
                f"the curvature of {', '.join(layer.name for layer in unseen)} was not seen, though there "
                "are gradients: their weights were not used by torch.nn.functional in the scope of "
                "curvature(). They are stepped with the factors that they have.",
                RuntimeWarning,
                stacklevel=4,
            )

    def _skip(self, what: str, quiet: bool = False) -> None:
        self._curvature.forget()
        self._curvature.release()
        self._unscaled = False
        self.skipped += 1
        if not quiet and self.skipped == 1:
            warnings.warn(
                f"{what} is infinite or NaN at step {self.steps}: the step was not made, parameters and "
                "state are as they were; `skipped` counts such steps.",
                RuntimeWarning,
                stacklevel=4,
            )

    def _average(
        self, gradients: dict[Tensor, Tensor], group: ProcessGroup, processes: int
    ) -> dict[Tensor, Tensor]:
        """Average gradients over processes; one that none of them has stays away."""
        parameters = [p for options in self.param_groups for p in options["params"]]
        own = [gradients[p] if p in gradients else torch.zeros_like(p) for p in parameters]
        held = torch.tensor([float(p in gradients) for p in parameters], device=parameters[0].device)
        *sums, held = summed([*own, held], group)
        there = held.tolist()
        return {p: g / processes for p, g, some in zip(parameters, sums, there, strict=True) if some}

    def _step_natural(
        self, options: dict[str, Any], gradients: Mapping[Tensor, Tensor], directions: Mapping[Tensor, Tensor]
    ) -> None:
        parameters = [p for p in options["params"] if p in gradients]
        if not parameters:
            return
        states = [self.state[p] for p in parameters]
        for p, state in zip(parameters, states, strict=True):
            _follow(p, state, ("momentum_buffer",))
        buffers = [state.get("momentum_buffer") for state in states]
        sgd(
            parameters,
            [directions[p] if p in directions else gradients[p] for p in parameters],
            buffers,
            foreach=options["foreach"] is not False,
            weight_decay=options["weight_decay"],
            momentum=options["momentum"],
            lr=float(options["lr"]),
            dampening=0.0,
            nesterov=False,
            maximize=options["maximize"],
        )
        if options["momentum"]:
            for state, buffer in zip(states, buffers, strict=True):
                state["momentum_buffer"] = buffer

    def _step_adamw(self, options: dict[str, Any], gradients: Mapping[Tensor, Tensor]) -> None:
        parameters = [p for p in options["params"] if p in gradients]
        if not parameters:
            return
        states = [self.state[p] for p in parameters]
        for p, state in zip(parameters, states, strict=True):
            _follow(p, state, ("exp_avg", "exp_avg_sq"))
        step_fallback(options, parameters, [gradients[p] for p in parameters], states)

    # State

    def state_dict(self) -> StateDict:
        """Copy the state: plain tensors, numbers and words, as ``torch.load`` takes them by default.

        Returns:
            The state, with its version, the structures of the layers and the rule of the factors.
        """
        state = super().state_dict()
        state["state"] = cloned(state["state"])
        state["natural_gradient"] = {
            "version": VERSION,
            "steps": self.steps,
            "skipped": self.skipped,
            "interval": self.interval,
            "rule": dataclasses.asdict(self.rule),
            "structures": structures_of(self._curvature.layers),
        }
        return state

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take the state of another optimizer of this kind, to go on bit for bit.

        Args:
            state_dict: What ``state_dict`` returned; it is left as it is.

        Raises:
            ValueError: If groups, layers, structures, the variant or shapes differ, or the state is of a
                later version; nothing has then been loaded.
        """
        own = state_dict.get("natural_gradient", {})
        self._refuse(state_dict, own)
        super().load_state_dict(state_dict)
        self._restore_factors(state_dict)
        self.steps = int(own.get("steps", 0))
        self.skipped = int(own.get("skipped", 0))
        self.interval = int(own.get("interval", self.interval))
        if "rule" in own:
            self.rule = KroneckerRule(**own["rule"])
            if not callable(self.factor_rate):
                self.factor_rate = self.rule.rate
        self._curvature.forget()
        self._curvature.release()

    def _refuse(self, state_dict: StateDict, own: Mapping[str, Any]) -> None:
        version = own.get("version", VERSION)
        if not isinstance(version, int) or not 1 <= version <= VERSION:
            raise ValueError(
                f"state_dict: its version is {version!r}, this release reads up to {VERSION}; load it with "
                "the release that wrote it, or a later one."
            )
        variant = own.get("rule", {}).get("variant", self.rule.variant)
        if variant != self.rule.variant:
            raise ValueError(
                f'state_dict: it is of variant="{variant}", the optimizer of "{self.rule.variant}"; make it '
                "with the other variant."
            )
        if "structures" in own:
            refuse_other_layers(structures_of(self._curvature.layers), own["structures"])
        saved = state_dict["state"]
        for p, index in self._numbered(state_dict):
            refuse_other_shapes([p], saved, [index])
        numbers = dict(self._numbered(state_dict))
        for layer in self._curvature.layers:
            entry = saved.get(numbers.get(layer.weight.parameter), {})
            factors = read_factors(entry, layer)
            if factors is None:
                continue
            expected = (0 if layer.inputs is None else layer.inputs.memory, layer.outputs.memory)
            if (factors.K.numel(), factors.C.numel()) != expected:
                raise ValueError(
                    f"state_dict: the factors of layer {layer.name!r} have {factors.K.numel()} and "
                    f"{factors.C.numel()} numbers, those of the optimizer {expected[0]} and {expected[1]}; "
                    "make it with the structure of the state."
                )

    def _numbered(self, state_dict: StateDict) -> list[tuple[Tensor, int]]:
        """Our parameters with the numbers that they have in a state."""
        ours = [p for group in self.param_groups for p in group["params"]]
        saved = [index for group in state_dict["param_groups"] for index in group["params"]]
        return list(zip(ours, saved))

    def _restore_factors(self, state_dict: StateDict) -> None:
        """Put factors back in the dtype of factors, for that of the parameter may be less precise."""
        numbers = dict(self._numbered(state_dict))
        for layer in self._curvature.layers:
            p = layer.weight.parameter
            entry = state_dict["state"].get(numbers.get(p), {})
            for key in factor_keys(layer):
                if key in entry:
                    self.state[p][key] = entry[key].detach().to(p.device, factor_dtype(layer), copy=True)

    def __getstate__(self) -> dict[str, Any]:
        """Copy everything but what is held for the passes of this model."""
        own = (
            "rule",
            "factor_rate",
            "interval",
            "loss_reduction",
            "process_group",
            "steps",
            "skipped",
            "others",
            "_reading",
            "_structure",
            "_fallback",
            "_averaged",
            "_curvature",
            "_names",
        )
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state, also one that was saved before an option was added."""
        super().__setstate__(state)
        self._watching = self._told = self._unscaled = False
        for group in self.param_groups:
            if group["method"] == ADAMW:
                for key, value in FALLBACK.items():
                    group.setdefault(key, value)
            for key, value in self.defaults.items():
                group.setdefault(key, value)

    def __repr__(self) -> str:
        """List the layers with their structures, the parameters of AdamW with the reasons, and the groups."""
        rule = ", ".join(
            f"{field.name}={getattr(self.rule, field.name)!r}" for field in dataclasses.fields(self.rule)
        )
        lines = [f"{type(self).__name__} (", f"  {rule}, interval={self.interval}"]
        curved = self._curved()
        held = {p for group in self.param_groups for p in group["params"]}
        lines.append("  natural gradient:")
        for layer, structure in zip(
            self._curvature.layers, structures_of(self._curvature.layers).values(), strict=True
        ):
            if layer.weight.parameter in held:
                lines.append(f"    {layer.name or '(model)'}: {layer.kind}, {structure}")
        lines.append("  AdamW:")
        for other in self.others:
            if other.parameter in held and other.parameter not in curved:
                lines.append(f"    {other.name}: {other.reason}")
        for number, group in enumerate(self.param_groups):
            options = ", ".join(
                f"{key}={value!r}"
                for key, value in sorted(group.items())
                if key not in ("params", "param_names")
            )
            lines.append(f"  group {number}: {len(group['params'])} parameters, {options}")
        return "\n".join([*lines, ")"])


def _require_words(
    approximation: str, loss_reduction: str, interval: int, fallback: Mapping[str, Any] | None
) -> None:
    if approximation not in APPROXIMATIONS:
        raise ValueError(f"approximation: expected one of {APPROXIMATIONS}, got {approximation!r}.")
    if loss_reduction not in ("mean", "sum"):
        raise ValueError(f'loss_reduction: expected "mean" or "sum", got {loss_reduction!r}.')
    if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
        raise ValueError(f"interval: expected a whole number >= 1, got {interval!r}.")
    unknown = set(fallback or {}) - set(FALLBACK)
    if unknown:
        raise ValueError(f"fallback: expected options among {sorted(FALLBACK)}, got {sorted(unknown)}.")


def _uncompiled() -> AbstractContextManager[Any]:
    """Run compiled models as they were written: compiled code calls nothing that can be watched."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def _follow(p: Tensor, state: dict[str, Any], keys: Iterable[str]) -> None:
    """Bring momenta to where a parameter was moved or converted to."""
    for key in keys:
        value = state.get(key)
        if isinstance(value, Tensor) and (value.dtype != p.dtype or value.device != p.device):
            state[key] = value.to(p.device, p.dtype)
