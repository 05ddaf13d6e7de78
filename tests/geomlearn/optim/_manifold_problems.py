"""Objectives on manifolds with starts and least values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import lie


class ManifoldProblem(NamedTuple):
    manifold: Any
    start: Tensor
    function: Callable[[Tensor], Tensor]
    least: float


def rayleigh() -> ManifoldProblem:
    """Leading eigenvector of a symmetric 100 by 100 matrix."""
    M = np.random.default_rng(0).normal(size=(100, 100))
    A = torch.from_numpy((M + M.T) / 2)
    start = torch.full((100,), 0.1, dtype=torch.float64)
    least = -0.5 * float(torch.linalg.eigvalsh(A)[-1])
    return ManifoldProblem(lie.Sphere(100), start, lambda x: -0.5 * x @ A @ x, least)


def wahba() -> ManifoldProblem:
    """Rotation nearest to a matrix."""
    K = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 3)))
    U, _, Vh = torch.linalg.svd(K)
    best = U @ torch.diag(torch.stack([torch.ones(()), torch.ones(()), torch.det(U @ Vh)]).double()) @ Vh
    start = lie.SO3.exp(torch.tensor([2.5, 0, 0], dtype=torch.float64)) @ best
    return ManifoldProblem(lie.SO3, start, lambda R: -(R.mT @ K).trace(), -float((best.mT @ K).trace()))


def brockett() -> ManifoldProblem:
    """Four leading eigenvectors of a symmetric 50 by 50 matrix."""
    M = np.random.default_rng(0).normal(size=(50, 50))
    A, N = torch.from_numpy((M + M.T) / 2), torch.diag(torch.tensor([4.0, 3, 2, 1], dtype=torch.float64))
    start = torch.linalg.qr(torch.from_numpy(np.random.default_rng(1).normal(size=(50, 4)))).Q
    top = torch.linalg.eigvalsh(A)[-4:]
    least = -0.5 * float((top * torch.tensor([1.0, 2, 3, 4])).sum())
    return ManifoldProblem(lie.Stiefel(50, 4), start, lambda X: -0.5 * (X.mT @ A @ X @ N).trace(), least)
