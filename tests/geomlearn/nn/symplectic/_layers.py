"""Layers with weights from formulas, and layers of every kind with weights of the size of one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from geomlearn.nn import (
    ActivationShear,
    ExtendedLinear,
    GradientShear,
    HenonLayer,
    HenonMap,
    LinearShear,
    RidgeLayer,
    SymplecticFlow,
    SymplecticLayer,
    TimeShear,
)

from .._models import generator, shaken

Z = torch.tensor([0.3, -0.2, 0.5, 0.7], dtype=torch.float64)


def with_formula(layer: Any, number: int = 0, offset: float = 0.0) -> Any:
    """A layer of two degrees of freedom and three units with sines and cosines as weights."""
    k, j = torch.arange(2.0, dtype=torch.float64).unsqueeze(1), torch.arange(3.0, dtype=torch.float64)
    with torch.no_grad():
        layer.potential.w.copy_(0.5 * torch.sin(1 + k + 2 * j + 3 * number + offset))
        layer.potential.a.copy_(0.8 * torch.cos(1 + j + 2 * number + offset))
        layer.potential.b.copy_(0.3 * torch.sin(2 + j + number + offset))
        if hasattr(layer, "eta"):
            layer.eta.copy_(0.2 * torch.cos(k.squeeze(1) + number + offset))
    return layer


def every_layer(d: int, seed: int = 0, size: float = 0.4) -> dict[str, SymplecticLayer]:
    """One layer of each kind, all weights moved at random by numbers of a size."""
    source = generator(seed)
    henon: dict[str, SymplecticLayer] = {
        "Hénon map": HenonMap(d, 5, generator=source),
        "Hénon layer": HenonLayer(d, 4, "sigmoid", generator=source),
        "scaled Hénon layer": HenonLayer(d, 19, "sin", generator=source).normalise(
            torch.linspace(-0.5, 0.5, d, dtype=torch.float64),
            torch.linspace(0.7, 2.0, d, dtype=torch.float64),
        ),
    }
    shears: dict[str, SymplecticLayer] = {
        "linear p": LinearShear(d, "p", bias=True, generator=source),
        "linear q": LinearShear(d, "q", generator=source),
        "activation p": ActivationShear(d, "p", "sin", generator=source),
        "activation q": ActivationShear(d, "q", generator=source),
        "gradient p": GradientShear(d, 6, "p", generator=source),
        "gradient q": GradientShear(d, 21, "q", "tanh", parameters=2, generator=source),
        "extended linear": ExtendedLinear(d, 5, generator=source),
        "extended linear with parameters": ExtendedLinear(d, 2, parameters=2, generator=source),
    }
    timed = {half: TimeShear(d, 5, half, deviation=0.5, generator=source) for half in "pq"}
    shears |= {f"time {half}": layer for half, layer in timed.items()}
    ridges = {
        "ridge tanh": RidgeLayer(d, 6, generator=source),
        "ridge hidden": RidgeLayer(d, 3, "sigmoid", 4, generator=source),
        "ridge polynomial": RidgeLayer(d, 4, 3, generator=source),
    }
    layers = henon | shears | ridges
    for k, layer in enumerate(layers.values()):
        shaken(layer, size / math.sqrt(d), seed + k)
    with torch.no_grad():
        ridges["ridge polynomial"].a.mul_(0.2 / d)
    return layers


KINDS = list(every_layer(1))


def parameters_for(layer: SymplecticLayer | SymplecticFlow, *batch: int) -> Tensor | None:
    if layer.control_size == 0:
        return None
    return torch.randn(*batch, layer.control_size, generator=generator(3), dtype=torch.float64)


def box(d: int, *batch: int, seed: int = 5, half: float = 1.5) -> Tensor:
    """States drawn from a cube."""
    return half * (2 * torch.rand(*batch, 2 * d, generator=generator(seed), dtype=torch.float64) - 1)


def form(d: int) -> Tensor:
    eye, zero = torch.eye(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
    return torch.cat((torch.cat((zero, eye), 1), torch.cat((-eye, zero), 1)))
