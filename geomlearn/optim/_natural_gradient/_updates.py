"""Steps of the parameters: along directions with momentum, and by AdamW for those without curvature."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from .._checks import require, require_one_number

FALLBACK: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
"""Options of the fallback."""


def check_fallback(options: dict[str, Any]) -> None:
    """Refuse options out of range.

    Args:
        options: Options of a group of the fallback.
    """
    require_one_number(options, "lr")
    for name in ("lr", "eps", "weight_decay"):
        require(options, name, bool(options[name] >= 0), "a number >= 0")
    good = len(options["betas"]) == 2 and all(0 <= beta < 1 for beta in options["betas"])
    require(options, "betas", good, "two numbers >= 0 and < 1")


def squared_length(moves: list[tuple[float, Tensor, Tensor]]) -> float:
    """Measure a step in the metric that the preconditioners invert.

    A step of lr along d = P g has the squared length lr^2 d . g: for likelihoods about twice the divergence
    of what the model predicts after it from what it predicted before (J. Ba, R. Grosse, J. Martens:
    Distributed second-order optimization using Kronecker-factored approximations, ICLR 2017, section 5).

    Args:
        moves: Learning rate, gradient and direction of each parameter.

    Returns:
        The squared length of all of them together; infinite or NaN if an entry is.
    """
    dots = [torch.dot(_wide(g), _wide(d)) for _, g, d in moves]
    one_place = all(dot.device == dots[0].device and dot.dtype == dots[0].dtype for dot in dots)
    values = torch.stack(dots).tolist() if dots and one_place else [dot.item() for dot in dots]
    return sum(lr * lr * value for (lr, _, _), value in zip(moves, values, strict=True))


def _wide(x: Tensor) -> Tensor:
    """All entries in a row, in float32 at least."""
    flat = x.reshape(-1)
    return flat.float() if x.dtype in (torch.float16, torch.bfloat16) else flat


def step_natural(
    group: dict[str, Any], parameters: list[Tensor], directions: list[Tensor], states: list[dict[str, Any]]
) -> None:
    """Step parameters along directions, with momentum and weight decay.

    Args:
        group: Options of the group.
        parameters: The parameters.
        directions: Preconditioned gradients.
        states: Their states, which are changed in place.
    """
    for p, state in zip(parameters, states, strict=True):
        _follow(p, state, ("momentum_buffer",))
    buffers = [state.get("momentum_buffer") for state in states]
    sgd(
        parameters,
        directions,
        buffers,
        foreach=group["foreach"] is not False,
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        lr=float(group["lr"]),
        dampening=0.0,
        nesterov=False,
        maximize=group["maximize"],
    )
    if group["momentum"]:
        for state, buffer in zip(states, buffers, strict=True):
            state["momentum_buffer"] = buffer


def step_adamw(
    group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor], states: list[dict[str, Any]]
) -> None:
    """Step parameters by AdamW.

    Args:
        group: Options of the group.
        parameters: The parameters.
        gradients: Their gradients.
        states: Their states, which are made on the first step and changed in place.
    """
    for p, state in zip(parameters, states, strict=True):
        _follow(p, state, ("exp_avg", "exp_avg_sq"))
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(p, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(p, memory_format=torch.preserve_format)
    adamw(
        parameters,
        gradients,
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        [state["step"] for state in states],
        foreach=group["foreach"],
        has_complex=any(p.is_complex() for p in parameters),
        amsgrad=False,
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=group["maximize"],
    )


def _follow(p: Tensor, state: dict[str, Any], keys: Iterable[str]) -> None:
    """Bring momenta to where a parameter was moved or converted to."""
    for key in keys:
        value = state.get(key)
        if isinstance(value, Tensor) and (value.dtype != p.dtype or value.device != p.device):
            state[key] = value.to(p.device, p.dtype)
