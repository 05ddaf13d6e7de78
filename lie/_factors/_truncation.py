"""Approximations h of the exponential with which a factor A moves to A h(N)."""

from __future__ import annotations

import torch
from torch import Tensor

from .._generic import exponential
from .._linalg import add_product, product, solve

TRUNCATIONS = ("exp", "h2", "h1", "cayley")


def moved(a: Tensor, n: Tensor, h: str) -> Tensor:
    """Compute A h(N).

    Args:
        a: Matrix A, shape (..., n, n).
        n: Matrix N, shape (..., n, n).
        h: One of ``TRUNCATIONS``.

    Returns:
        The product, shape (..., n, n).

    Raises:
        ValueError: If h is another word.
    """
    if h == "exp":
        return product(a, exponential(n))
    if h == "h1":
        return add_product(a, a, n)
    if h == "h2":
        first = product(a, n)
        return add_product(a + first, first, n, 0.5)
    if h == "cayley":
        eye = torch.eye(n.shape[-1], dtype=n.dtype, device=n.device)
        return add_product(a, a, solve(eye - 0.5 * n, n))
    raise ValueError(f"h must be one of {', '.join(map(repr, TRUNCATIONS))}, got {h!r}.")
