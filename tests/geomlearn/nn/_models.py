"""Models and states drawn for the tests."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from geomlearn.nn import GaugeWarning, LieFVIN
from integrators import FlowMap
from lie import SE3, SO3, LieGroup

GROUPS = {"SO3": SO3, "SE3": SE3}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def configurations(group: LieGroup, *batch: int, seed: int = 0) -> tuple[Tensor, ...]:
    """``(R,)`` or ``(x, R)``."""
    rotation = SO3.random(*batch, generator=generator(seed), dtype=torch.float64)
    return (rotation,) if group is SO3 else (randn(*batch, 3, seed=seed + 1), rotation)


def states(flow: FlowMap, *batch: int, seed: int = 0, speed: float = 1.0) -> Tensor:
    rotation = SO3.random(*batch, generator=generator(seed), dtype=torch.float64)
    vectors = {
        name: (1.0 if name == "x" else speed) * randn(*batch, 3, seed=seed + k)
        for k, name in enumerate(flow.space.names)
        if name != "R"
    }
    return flow.space.pack(R=rotation, **vectors)


def shaken(model: nn.Module, scale: float = 0.3, seed: int = 7) -> Any:
    """The model with every parameter moved at random."""
    source = generator(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            move = torch.randn(parameter.shape, generator=source, dtype=torch.float64)
            parameter.add_(scale * move.to(parameter.dtype))
    return model


def quiet(*arguments: Any, **slots: Any) -> LieFVIN:
    """A model whose scale may be open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GaugeWarning)
        return LieFVIN(*arguments, **slots)
