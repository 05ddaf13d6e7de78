"""Problems among SPD matrices, structures, and runs of the two faces of the method."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import lie
from geomlearn.optim import ManifoldParameter, SPDMomentum, SPDRule, SPDState, spd_matrix, spd_start, spd_step

STRUCTURES: dict[str, dict[str, Any]] = {
    "all": {},
    "full": {"structure": "full"},
    "diagonal": {"structure": "diagonal"},
    "block_diagonal": {"structure": "block_diagonal", "block": 3},
    "lower": {"structure": "triangular"},
    "upper": {"structure": "upper"},
    "block_lower": {"structure": "block_lower", "rank": 2},
    "block_upper_first": {"structure": "block_upper", "rank": 1, "diagonal": "first"},
    "hierarchical": {"structure": "hierarchical", "k1": 1, "k2": 1},
    "lower_toeplitz": {"structure": "lower_toeplitz"},
    "circulant": {"structure": "circulant"},
}
BAND: dict[str, Any] = {"structure": "lower_banded", "bandwidth": 1}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spectrum(n: int, condition: float, seed: int = 0) -> Tensor:
    """An SPD matrix with eigenvalues equally spaced in their logarithms, their product 1."""
    U = torch.linalg.qr(torch.randn(n, n, generator=seeded(seed), dtype=torch.float64)).Q
    half = math.log10(condition) / 2
    values = torch.logspace(-half, half, n, dtype=torch.float64)
    return (U * values) @ U.mT


def log_det(Q: Tensor) -> Callable[[Tensor], Tensor]:
    """tr(Q tau) - log det tau, summed over a batch; its minimum is at the inverse of Q."""
    return lambda tau: (Q * tau).sum() - torch.logdet(tau).sum()


def manifold(kind: str, n: int = 5) -> Any:
    return lie.SPD(n, **(BAND if kind == "band" else STRUCTURES[kind]))


def start(M: Any, *batch: int, seed: int = 1) -> Tensor:
    """Random matrices of a manifold."""
    drawn = M.random(*batch, generator=seeded(seed), dtype=torch.float64)
    return drawn if isinstance(M, lie.SPDManifold) else M.matrix(drawn)


def follow(
    M: Any, tau: Tensor, function: Callable[[Tensor], Tensor], steps: int, **options: Any
) -> tuple[Tensor, SPDMomentum]:
    """Run the optimizer."""
    x = ManifoldParameter(M, tau)
    optimizer = SPDMomentum([x], **options)
    descend(optimizer, [x], lambda: function(x), steps)
    return x, optimizer


def descend(
    optimizer: Any, parameters: list[Tensor], function: Callable[[], Tensor], steps: int
) -> list[float]:
    """Values along a run with a closure."""

    def closure() -> Tensor:
        for p in parameters:
            p.grad = None
        value = function()
        value.backward()
        return value

    return [float(optimizer.step(closure).detach()) for _ in range(steps)]


def follow_states(
    rule: SPDRule, tau: Tensor, function: Callable[[Tensor], Tensor], steps: int
) -> list[SPDState]:
    """Run the functional core."""
    states = [spd_start(rule, tau)]
    for _ in range(steps):
        gradient, value = torch.func.grad_and_value(function)(spd_matrix(rule, states[-1]))
        states.append(spd_step(rule, states[-1], gradient, value))
    return states
