"""Optimizers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn
from torch.optim import LBFGS, SGD, Adam, AdamW, Optimizer

from lie import SPDManifold, StructuredSPD

from ..optim import (
    BrAVO,
    BregmanSLC,
    LevenbergMarquardt,
    ManifoldParameter,
    RiemannianAdam,
    RiemannianSGD,
    SPDMomentum,
    StructuredNaturalGradient,
)

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]

_DEFAULT_RATE = {
    "adam": 1e-3,
    "adamw": 1e-3,
    "sgd": 1e-2,
    "lbfgs": 1.0,
    "levenberg-marquardt": 1.0,
    "bregman": 4.0,
    "bravo": 4.0,
    "riemannian-adam": 1e-3,
    "riemannian-sgd": 1e-2,
    "spd-momentum": 1e-2,
    "natural-gradient": 1e-2,
}
_ON_MANIFOLDS = ("bregman", "bravo", "riemannian-adam", "riemannian-sgd", "spd-momentum")


def make_optimizer(
    optimizer: str | Optimizer | OptimizerFactory,
    model: nn.Module,
    lr: float | None = None,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Make the optimizer of a model's trainable parameters.

    Args:
        optimizer: ``"adamw"``, ``"adam"``, ``"sgd"`` (momentum 0.9), ``"lbfgs"`` (strong Wolfe line search),
            ``"levenberg-marquardt"`` (of the whole model), ``"bregman"`` (``BregmanSLC``, for full
            gradients), ``"bravo"`` (``BrAVO``, for minibatches), ``"riemannian-adam"``, ``"riemannian-sgd"``
            (momentum 0.9), ``"spd-momentum"`` (for SPD matrices, structured ones too), ``"natural-gradient"``
            (of the whole model, for networks of torch's layers), a function of the parameters that returns an
            optimizer, or an optimizer, which is returned as it is.
        model: The model.
        lr: Learning rate of a named optimizer; by default 1e-3 for the Adams, 1e-2 for gradient descent, with
            or without momentum, and natural gradient, 4 for bregman and bravo, whose time step it is, and 1
            for the others.
        weight_decay: Weight decay of a named optimizer.

    Returns:
        The optimizer.

    Raises:
        TypeError: If a function returns something else.
        ValueError: If the name is unknown, the model has nothing to train, rates are given for an optimizer
            that has its own, the optimizer holds none of the model's parameters, or the named optimizer
            would move a parameter off its manifold.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(f"model: {type(model).__name__} has no parameter with requires_grad to train")
    if isinstance(optimizer, str):
        return _named(optimizer, model, parameters, lr, weight_decay)
    if lr is not None or weight_decay:
        raise ValueError(
            "lr, weight_decay: set them in the optimizer that is given; they go with a named one only"
        )
    made = optimizer if isinstance(optimizer, Optimizer) else optimizer(parameters)
    if not isinstance(made, Optimizer):
        raise TypeError(f"optimizer: expected a torch.optim.Optimizer, got {type(made).__name__}")
    held = {id(p) for group in made.param_groups for p in group["params"]}
    if held.isdisjoint(id(p) for p in parameters):
        raise ValueError(
            "optimizer: holds none of the model's trainable parameters; make it from model.parameters()"
        )
    return made


def _named(
    name: str, model: nn.Module, parameters: list[nn.Parameter], lr: float | None, weight_decay: float
) -> Optimizer:
    if name not in _DEFAULT_RATE:
        raise ValueError(
            f"optimizer: expected one of {sorted(_DEFAULT_RATE)}, an optimizer or a function of the"
            f" parameters, got {name!r}"
        )
    if name not in _ON_MANIFOLDS and name != "levenberg-marquardt":  # which refuses them itself
        _refuse_manifolds(name, model)
    rate = _DEFAULT_RATE[name] if lr is None else lr
    if name in ("lbfgs", "levenberg-marquardt") and weight_decay:
        raise ValueError(f"weight_decay: {name} has none; add the penalty to the loss")
    if name == "levenberg-marquardt":
        return LevenbergMarquardt(model, lr=rate)
    if name == "natural-gradient":
        return StructuredNaturalGradient(model, rate, weight_decay=weight_decay)
    if name == "lbfgs":
        return LBFGS(parameters, lr=rate, line_search_fn="strong_wolfe")
    if name == "sgd":
        return SGD(parameters, lr=rate, momentum=0.9, weight_decay=weight_decay)
    if name == "riemannian-sgd":
        return RiemannianSGD(parameters, lr=rate, momentum=0.9, weight_decay=weight_decay)
    makers = {
        "adam": Adam,
        "adamw": AdamW,
        "bregman": BregmanSLC,
        "bravo": BrAVO,
        "riemannian-adam": RiemannianAdam,
        "spd-momentum": SPDMomentum,
    }
    return makers[name](parameters, lr=rate, weight_decay=weight_decay)


def _refuse_manifolds(name: str, model: nn.Module) -> None:
    for path, parameter in model.named_parameters():
        if isinstance(parameter, ManifoldParameter) and parameter.requires_grad:
            raise ValueError(
                f"optimizer: {name!r} would move {path} off {parameter.manifold!r}; take one of"
                f" {_names_for(parameter)}"
            )


def _names_for(parameter: ManifoldParameter) -> list[str]:
    """The optimizers that know a manifold."""
    if isinstance(parameter.manifold, StructuredSPD):
        return ["spd-momentum"]
    spd = isinstance(parameter.manifold, SPDManifold)
    return sorted(name for name in _ON_MANIFOLDS if spd or name != "spd-momentum")
