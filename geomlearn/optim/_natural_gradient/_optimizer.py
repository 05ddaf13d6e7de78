"""The structured inverse-free natural gradient as a torch optimizer."""

from __future__ import annotations

import dataclasses
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, overload

import torch
from torch import Tensor, nn

from ._curvature import Curvature
from ._distributed import ProcessGroup, active_group, any_nonzero, averaged, require_group
from ._groups import NATURAL, all_finite, gradients_of
from ._kronecker import KroneckerFactors, KroneckerRule
from ._layered import LayeredOptimizer
from ._layers import Layer
from ._rows import APPROXIMATIONS
from ._spectrum import LayerSpectrum, layer_spectrum
from ._structures import StructureChoice
from ._updates import FALLBACK, squared_length, step_adamw, step_natural
from ._watch import Reading, Watch


class StructuredNaturalGradient(LayeredOptimizer):
    """Natural gradient with structured Kronecker factors that no step inverts (IKFAC, INGD: SINGD).

    A layer with weight gradient G (d_o, d_i), the bias as its last column, is stepped along

        C C^T G K K^T,

    with (K K^T)^-1 near the second moment U of the layer's inputs plus damping, and (C C^T)^-1 near that of
    the gradients of the samples' losses by its outputs. The factors K and C, of a structure each, move by
    K <- K h(N), multiplicatively, so that they stay invertible in any precision (see ``KroneckerRule``). The
    curvature is that of the labels in the data, the empirical Fisher matrix. Momentum and weight decay follow
    the preconditioning.

    Curvature is read from the calls of layers in a scope::

        with optimizer.curvature():
            loss(model(x), y).backward()
        optimizer.step()

    The scope does something on every ``interval``-th step only; backward passes outside of it, and
    ``torch.autograd.grad`` in it, leave no trace. All parameters are trained: those of layers without
    curvature by AdamW, in the same step, in groups of their own; ``print(optimizer)`` lists both.

    Args:
        model: The model, also compiled or in ``DistributedDataParallel``. Nothing is attached to it.
        lr: Learning rate of the parameters with curvature.
        params: Parameters, named parameters or groups of them that are to be trained; by default all that
            require gradients. Options of a group are for all its parameters.
        structure: "dense", "diagonal", "block" (or "block-30", ...), "triangular", "hierarchical",
            "toeplitz", "rank-10", ...; a pair of them for the factors of inputs and of outputs; or a mapping
            from patterns of layer names to such. Diagonal are, whatever the structure, the factors of a
            vocabulary, those of norm layers that no pattern but "*" names, and "dense" and "triangular" ones
            of more than 8192 rows.
        variant: "ikfac" or "ingd".
        momentum: Momentum of the parameters.
        weight_decay: Multiple of the parameters that is added to their directions.
        damping: Multiple of the identity that is added to the second moments.
        factor_rate: Step size of the factors, above 0 and at most 1; or a function of the number of steps.
        factor_momentum: Momentum of the factors, with "ingd" only; 0.5 by default.
        interval: Steps between two refreshes of the factors.
        h: "h2" or "h1", see ``KroneckerRule``.
        step_bound: Largest norm of a step of a factor; None for no bound.
        start: "scaled", where the first curvature seen says which multiples of the identity the factors start
            from; or "identity", as published, from which they need about 1 / factor_rate refreshes to reach
            the scale of the curvature.
        trust: Largest lr^2 d . g, with gradients g and directions d: about twice the divergence of what the
            model predicts after a step from what it predicted before. A longer step is shortened, which
            matters where losses and with them the curvature vanish; None for no bound.
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
    _watching = _told = _unscaled = False
    _copied = (*LayeredOptimizer._copied, "loss_reduction", "process_group", "_reading", "_averaged")

    def __init__(
        self,
        model: nn.Module,
        lr: float | Tensor = 1e-2,
        *,
        params: Iterable[Any] | None = None,
        structure: StructureChoice = "dense",
        variant: str = "ikfac",
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        damping: float = 1e-2,
        factor_rate: float | Callable[[int], float] = 0.05,
        factor_momentum: float | None = None,
        interval: int = 10,
        h: str = "h2",
        step_bound: float | None = 0.5,
        start: str = "scaled",
        trust: float | None = 1e-4,
        approximation: str = "expand",
        batch_dim: int = 0,
        loss_reduction: str = "mean",
        maximize: bool = False,
        foreach: bool | None = None,
        fallback: Mapping[str, Any] | None = None,
        process_group: ProcessGroup = "auto",
    ) -> None:
        _require_words(approximation, loss_reduction, interval, fallback)
        if trust is not None and not trust > 0:
            raise ValueError(f"trust: expected a number > 0 or None, got {trust!r}.")
        require_group(process_group)
        rate = factor_rate(0) if callable(factor_rate) else factor_rate
        self.rule = KroneckerRule(variant, rate, factor_momentum, damping, h, step_bound, start)
        self.factor_rate, self.trust = factor_rate, trust
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
        self._names = {}
        self.others = []
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
        if self._watching or not self._due or not self._curvature.layers:
            return nullcontext()
        scale = 1.0 if scaler is None else float(scaler.get_scale())
        self._unscaled = self._unscaled or scaler is None
        return self._scope(dataclasses.replace(self._reading, scale=scale, samples=samples))

    @torch.no_grad()
    def preconditioner_spectrum(self) -> dict[str, LayerSpectrum]:
        """Compute the eigenvalues of the preconditioners, which say how unlike gradients steps are.

        Returns:
            For the name of each layer, the eigenvalues, their range and the condition number.
        """
        return {
            layer.name: layer_spectrum(
                layer.inputs, layer.outputs, self._curvature.factors(layer, self.state, self.rule)
            )
            for layer in self._curvature.layers
        }

    @property
    def _due(self) -> bool:
        return self.steps % self.interval == 0

    @contextmanager
    def _scope(self, reading: Reading) -> Iterator[None]:
        states, rule, curvature = self.state, self.rule, self._curvature
        held = {p for options in self.param_groups for p in options["params"]}
        layers = [layer for layer in curvature.layers if layer.weight.parameter in held]
        watch = Watch(layers, curvature.sums, lambda layer: curvature.factors(layer, states, rule), reading)
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
        self._forget()

    def _forget(self) -> None:
        self._curvature.forget()
        self._unscaled = False

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
        try:
            with torch.no_grad():
                self._step()
        except BaseException:
            for given in ("grad_scale", "found_inf"):  # by a scaler, which only takes them back from a step
                self.__dict__.pop(given, None)
            raise
        return loss

    def _step(self) -> None:
        gradients = self._gradients()
        if not gradients:
            self._forget()
            return
        group, processes = active_group(self.process_group)
        found_inf = self.__dict__.get("found_inf")
        if found_inf is not None and any_nonzero(found_inf, group, processes):
            self._skip("a gradient", quiet=True)
            return
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
            parameters = [p for options in self.param_groups for p in options["params"]]
            gradients = averaged(parameters, gradients, group, processes)
        directions = curvature.directions(gradients, states, rule, moved)
        if not self._trusted(gradients, directions, moved):
            self._skip("a gradient or the curvature")
            return
        curvature.commit(states, moved)
        self._forget()
        for options in self.param_groups:
            parameters = [p for p in options["params"] if p in gradients]
            if parameters:
                along = [directions[p] if p in directions else gradients[p] for p in parameters]
                update = step_natural if options["method"] == NATURAL else step_adamw
                update(options, parameters, along, [states[p] for p in parameters])
        self.steps += 1

    def _trusted(
        self,
        gradients: Mapping[Tensor, Tensor],
        directions: Mapping[Tensor, Tensor],
        moved: Mapping[Layer, KroneckerFactors],
    ) -> bool:
        """Shorten directions by one factor to what is trusted; False if anything is infinite or NaN."""
        checked = [x for factors in moved.values() for x in factors if x is not None]
        length = math.inf
        if self.trust is not None:
            rates = {p: float(group["lr"]) for group in self.param_groups for p in group["params"]}
            length = squared_length([(rates[p], gradients[p], d) for p, d in directions.items()])
        if math.isfinite(length):  # and so is every entry that it is of
            checked += [g for p, g in gradients.items() if p not in directions]
        else:
            checked += [*gradients.values(), *directions.values()]
        if not all_finite(checked):
            return False
        if self.trust is not None and not length <= self.trust:
            factor = (self.trust / length) ** 0.5 if math.isfinite(length) else 0.0
            torch._foreach_mul_(list(directions.values()), factor)
        return True

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
        if not unseen or not any(bool(gradients[x.weight.parameter].any()) for x in unseen):
            return  # zeros, by which tools start the states of optimizers, need no curvature
        if not moved:
            raise RuntimeError(
                f"step {self.steps} is to refresh the curvature, but no backward pass went through a layer "
                "in its scope: write `with optimizer.curvature(): loss(model(x), y).backward()` around both "
                "passes, or give step a closure. Calls in transforms of torch.func are not seen."
            )
        if not self._told:
            self._told = True
            warnings.warn(
                f"the curvature of {', '.join(layer.name for layer in unseen)} was not seen, though there "
                "are gradients: their weights were not used by torch.nn.functional in the scope of "
                "curvature(). They are stepped with the factors that they have.",
                RuntimeWarning,
                stacklevel=5,
            )

    def _skip(self, what: str, quiet: bool = False) -> None:
        self._forget()
        self._curvature.release()
        self.skipped += 1
        if not quiet and self.skipped == 1:
            warnings.warn(
                f"{what} is infinite or NaN at step {self.steps}: the step was not made, parameters and "
                "state are as they were; `skipped` counts such steps.",
                RuntimeWarning,
                stacklevel=5,
            )


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
