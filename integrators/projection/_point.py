"""Projection of points onto the level sets of constraints."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .._fixed_point import any_true
from .._status import StepError
from ..systems._mass import InverseMass, MassLike
from ..systems._parse import as_symbols
from ._constraint import ConstraintLike, read_constraint
from ._manifold import LevelSet, Manifold


def project_point(
    x: Tensor,
    constraints: ConstraintLike,
    level: Tensor | float = 0.0,
    mass: MassLike | None = None,
    parameters: Mapping[str, float | Tensor] | None = None,
    iterations: int = 50,
    tolerance: float | None = None,
    rank_deficient: bool = False,
) -> Tensor:
    """Move points onto a level set ``g(x) = c`` by Gauss-Newton steps ``x <- x - G^T (G G^T)^-1 (g - c)``.

    The result is near the given point, not the nearest one of the level set. It is differentiable through the
    steps.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, IV.4.

    Args:
        x: Points ``(..., n)``.
        constraints: Expressions of ``x1, ..., xn``, by name or in a list, or a function in torch from
            ``(..., n)`` to ``(..., m)``.
        level: ``c``, a number or ``(..., m)``.
        mass: Weights of the metric: a number, ``(n,)`` or ``(n, n)``; None for the Euclidean one.
        parameters: Values of other symbols in the expressions.
        iterations: Largest number of steps.
        tolerance: Largest residual, relative to gradients times states; None takes 100 rounding units.
        rank_deficient: Whether gradients may be dependent.

    Returns:
        Points ``(..., n)`` with ``g(x) = c``.

    Raises:
        StepError: If a point does not reach its level set.
        ValueError: If the constraints depend on time.

    Examples:
        >>> import torch
        >>> project_point(torch.tensor([3.0, 0.0]), ["x1**2 + x2**2"], level=100.0)
        tensor([10.,  0.])
    """
    like = nn.Module()
    like.register_buffer("zero", x.new_zeros(()))
    n = x.shape[-1]
    hint = f"expected x1 to x{n} and values with parameters="
    names = as_symbols([f"x{k + 1}" for k in range(n)])
    constraint = read_constraint(constraints, names, parameters, like, hint).to(x.device)
    if constraint.timed:
        raise ValueError("constraints: expected functions of the point alone, got t")
    weights = None if mass is None else InverseMass(mass, n, x.dtype)
    manifold = LevelSet(constraint, n, rank_deficient, weights)
    c = torch.as_tensor(level, dtype=x.dtype, device=x.device)
    return reach(manifold, x, c, iterations, tolerance)


def reach(
    manifold: Manifold, x: Tensor, level: Tensor, iterations: int = 50, tolerance: float | None = None
) -> Tensor:
    """Move states onto level sets until they are there.

    Args:
        manifold: The constraints.
        x: States ``(..., n)``.
        level: Levels ``(..., m)``.
        iterations: Largest number of Gauss-Newton steps.
        tolerance: Largest relative residual; None takes 100 rounding units.

    Returns:
        States.

    Raises:
        StepError: If a state does not reach its level set.
    """
    limit = 100 * torch.finfo(x.dtype).eps if tolerance is None else tolerance
    for _ in range(iterations):
        off = manifold.relative_residual(x.detach(), level.detach())
        if not any_true(~(off <= limit)):
            return x
        x = manifold.moved(x, level, 1)
    off = manifold.relative_residual(x.detach(), level.detach())
    if any_true(~(off <= limit)):
        raise StepError(
            f"project: states do not reach {', '.join(manifold.names)} in {iterations} steps; "
            "start closer to them"
        )
    return x
