"""Whether constraints are independent of each other."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

_STATES = 16


class _Constrained(Protocol):
    degrees: int
    constraint_names: tuple[str, ...]

    @property
    def inverse_mass(self) -> Tensor: ...

    def constraint_jacobian(self, q: Tensor) -> Tensor: ...


def require_independent(system: _Constrained) -> None:
    """Refuse masses that are not positive and constraints that depend on others everywhere.

    Args:
        system: The system.

    Raises:
        ValueError: If the mass matrix is not positive definite, or the gradients of the constraints are
            dependent at every one of 16 random positions.
    """
    mass = system.inverse_mass.detach()
    if not bool((mass == mass.mT).all()) or not bool((torch.linalg.eigvalsh(mass) > 0).all()):
        raise ValueError(
            "expression: expected a positive definite mass matrix, got the second derivatives "
            f"{mass.tolist()} of H in the momenta; every position needs a mass"
        )
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(_STATES, system.degrees, generator=generator, dtype=torch.float64).to(mass)
    names = [dependent_constraint(system, point) for point in q]
    if all(name is not None for name in names):
        raise ValueError(
            f"constraints: {names[0]} depends on the others, whose motion already satisfies or contradicts "
            "it; take it away"
        )


def dependent_constraint(system: _Constrained, q: Tensor) -> str | None:
    """Name the first constraint whose gradient is a combination of those before it.

    Args:
        system: The system.
        q: Positions ``(d,)``.

    Returns:
        The name; None where they are independent.
    """
    with torch.no_grad():
        jacobian = system.constraint_jacobian(q)
    for k, name in enumerate(system.constraint_names):
        if not bool(independent(jacobian[: k + 1])):
            return name
    return None


def independent(jacobian: Tensor) -> Tensor:
    """Whether gradients are independent, each measured by its own length.

    Args:
        jacobian: Gradients in the rows, ``(..., m, d)``.

    Returns:
        Shape ``(...)``; true where they are not finite, which is another failure.
    """
    m, d = jacobian.shape[-2:]
    finite = torch.isfinite(jacobian).all(-1).all(-1)
    size = torch.linalg.vector_norm(jacobian, dim=-1, keepdim=True)
    rows = torch.where(finite[..., None, None] & (size > 0), jacobian / size, 0.0)
    if m > d:
        return ~finite
    smallest = torch.linalg.svdvals(rows)[..., -1]
    return ~finite | (smallest > 1e3 * torch.finfo(jacobian.dtype).eps * m)
