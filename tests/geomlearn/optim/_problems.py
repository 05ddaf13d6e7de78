"""Objectives on which iterations are counted, with starts and least values."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Problem(NamedTuple):
    function: Callable[[Tensor], Tensor]
    start: Tensor
    least: float


def problem(name: str) -> Problem:
    """One of P1 to P8; P1 and P2 are those of the authors' code."""
    return _MAKERS[name]()


def _full(n: int, value: float) -> Tensor:
    return torch.full((n,), value, dtype=torch.float64)


def _covariance(n: int) -> Tensor:
    index = torch.arange(n, dtype=torch.float64)
    return 0.9 ** (index[:, None] - index).abs()


def _barrier() -> Problem:
    return Problem(
        lambda x: x[0] + x[1] ** 2 - torch.log((x[0] * x[1]).abs()), _full(2, 5.0), 1.5 + 0.5 * np.log(2)
    )


def _entropy() -> Problem:
    return Problem(lambda x: (x * torch.log(x)).sum(), _full(5, 5.0), -5 / np.e)


def _quartic() -> Problem:
    S = _covariance(50)
    return Problem(lambda x: ((x - 1) @ S @ (x - 1)) ** 2, _full(50, 2.0), 0.0)


def _quadratic() -> Problem:
    S = _covariance(50)
    start = torch.from_numpy(np.random.default_rng(0).normal(0, 10, 50))
    return Problem(lambda x: 0.5 * x @ S @ x, start, 0.0)


def _log_sum_exp() -> Problem:
    generator = np.random.default_rng(0)
    A = torch.from_numpy(generator.normal(size=(200, 50)))
    b = torch.from_numpy(generator.normal(size=200))
    return Problem(lambda x: 5 * torch.logsumexp((A @ x - b) / 5, 0), _full(50, 1.0), 25.8376551665)


def _rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def _logistic() -> Problem:
    generator = np.random.default_rng(1)
    points = np.vstack([generator.normal(-0.5, 1, (250, 2)), generator.normal(0.5, 1, (250, 2))])
    signed = torch.from_numpy(points * np.r_[-np.ones(250), np.ones(250)][:, None])

    def function(w: Tensor) -> Tensor:
        return torch.nn.functional.softplus(-(signed @ w)).sum()

    best = _full(2, 1.0)
    for _ in range(20):  # Newton
        slope, curvature = torch.func.grad(function)(best), torch.func.hessian(function)(best)
        best = best - torch.linalg.solve(curvature, slope)
    return Problem(function, _full(2, 1.0), float(function(best)))


_MAKERS: dict[str, Callable[[], Problem]] = {
    "P1": _barrier,
    "P2": _entropy,
    "P3": _quartic,
    "P4": _quadratic,
    "P5": _log_sum_exp,
    "P6": lambda: Problem(_rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64), 0.0),
    "P7": lambda: Problem(_rosenbrock, _full(10, 0.0), 0.0),
    "P8": _logistic,
}
