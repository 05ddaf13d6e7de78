"""Small networks and batches, and ways to train them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geomlearn.optim import StructuredNaturalGradient

SIZES = (5, 7, 3)


def perceptron(seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(seed)
    d_i, hidden, d_o = SIZES
    return nn.Sequential(nn.Linear(d_i, hidden), nn.Tanh(), nn.Linear(hidden, d_o)).to(dtype)


def batch(seed: int, samples: int = 32, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(100 + seed)
    x = torch.randn(samples, SIZES[0], generator=generator, dtype=torch.float64)
    labels = torch.randint(0, SIZES[-1], (samples,), generator=generator)
    return x.to(dtype), labels


OPTIONS: dict[str, Any] = {"lr": 0.05, "interval": 2, "factor_rate": 0.1, "damping": 1e-2}
PUBLISHED: dict[str, Any] = {"start": "identity", "trust": None}


def optimizer_of(model: nn.Module, **options: Any) -> StructuredNaturalGradient:
    return StructuredNaturalGradient(model, **{**OPTIONS, **PUBLISHED, **options})


def step(model: nn.Module, optimizer: StructuredNaturalGradient, number: int, samples: int = 32) -> Tensor:
    """One step of classification on the batch of that number; its loss."""
    x, labels = batch(number, samples, next(model.parameters()).dtype)
    optimizer.zero_grad()
    with optimizer.curvature():
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
    optimizer.step()
    return loss.detach()


def train(model: nn.Module, optimizer: StructuredNaturalGradient, numbers: range) -> None:
    for number in numbers:
        step(model, optimizer, number)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().double().flatten() for p in model.parameters()])


def factors(optimizer: StructuredNaturalGradient) -> Tensor:
    """All numbers of all factors."""
    states = optimizer.state_dict()["state"].values()
    found = [v.double().flatten() for s in states for key, v in s.items() if key[0] in "KC"]
    return torch.cat(found)


def off(a: Tensor, b: Tensor) -> float:
    """Largest error relative to the largest entry."""
    return float((a - b).abs().max() / b.abs().max())


def generated(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def iterate(model: nn.Module, optimizer: StructuredNaturalGradient, loss: Any, steps: int = 3) -> list[float]:
    values = []
    for _ in range(steps):
        optimizer.zero_grad()
        with optimizer.curvature():
            value = loss(model)
            value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    return values
