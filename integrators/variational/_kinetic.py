"""Discrete kinetic terms of a rotating body and the implicit equations that they pose.

A rotation over one step is written ``Z = Cay(z) = (I + S(z)) (I - S(z))^-1`` with ``z = tan(angle / 2) *
axis``. Each term gives the scaled impulse ``a(z)``, that is ``h`` times the left-trivialised momentum that
the term ascribes to the step, and the solver inverts it: given ``a``, find ``z``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .._linear import apply

cross = torch.linalg.cross


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product over the last dimension, which is kept.

    Args:
        a: Vectors ``(..., 3)``.
        b: Vectors ``(..., 3)``.

    Returns:
        Numbers ``(..., 1)``.
    """
    return (a * b).sum(-1, keepdim=True)


def skew(a: Tensor) -> Tensor:
    """The matrix ``S(a)`` of the cross product, ``S(a) b = a x b``.

    Args:
        a: Vectors ``(..., 3)``.

    Returns:
        Matrices ``(..., 3, 3)``.
    """
    x, y, z = a.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack((o, -z, y, z, o, -x, -y, x, o), dim=-1).unflatten(-1, (3, 3))


class DiscreteKinetic(ABC):
    """A discrete kinetic term on a group of dimension ``n``; stateless.

    Attributes:
        name: Word by which users and files choose the term.
        admits: Largest ``|z|`` of a root on the physical branch.
    """

    name: str
    admits: float

    def admissible(self, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
        """Whether roots are on the physical branch, the one that starts at rest, ``(...)``.

        Args:
            z: Roots ``(..., n)``.
            a: Scaled impulse ``(..., n)``.
            inertia: ``J``.

        Returns:
            True where they are.
        """
        return ~(torch.linalg.vector_norm(z, dim=-1) > self.admits)

    @abstractmethod
    def impulse(self, z: Tensor, inertia: Tensor) -> Tensor:
        """Scaled impulse ``a(z)``.

        Args:
            z: Coordinates of the displacement ``(..., n)``.
            inertia: ``J``, ``(n, n)`` or ``(..., n, n)``.

        Returns:
            ``a``, ``(..., n)``.
        """

    @abstractmethod
    def residual(self, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
        """The function of ``z`` that vanishes at the solution, ``(..., n)``.

        Args:
            z: Coordinates of the displacement ``(..., n)``.
            a: Scaled impulse ``(..., n)``.
            inertia: ``J``.

        Returns:
            Residual ``(..., n)``, in the unit of ``a``.
        """

    @abstractmethod
    def jacobian(self, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
        """Derivative of ``residual`` with respect to ``z``, ``(..., n, n)``.

        Args:
            z: Coordinates of the displacement ``(..., n)``.
            a: Scaled impulse ``(..., n)``.
            inertia: ``J``.

        Returns:
            Jacobian ``(..., n, n)``.
        """

    @abstractmethod
    def pull_back(self, z: Tensor, multiplier: Tensor) -> tuple[Tensor, Tensor]:
        """Transpose of the derivative of ``residual`` with respect to ``a`` and ``J``.

        Args:
            z: Solution ``(..., n)``.
            multiplier: ``(..., n)``.

        Returns:
            The cotangents of ``a`` ``(..., n)`` and of ``J`` ``(..., n, n)``, the latter symmetric.
        """

    @abstractmethod
    def push_forward(self, z: Tensor, a_tangent: Tensor, inertia_tangent: Tensor | None) -> Tensor:
        """Derivative of ``residual`` along tangents of ``a`` and ``J``.

        Args:
            z: Solution ``(..., n)``.
            a_tangent: ``(..., n)``.
            inertia_tangent: ``(n, n)`` or ``(..., n, n)``, or ``None`` for zero.

        Returns:
            Tangent of the residual ``(..., n)``.
        """


class TraceKinetic(DiscreteKinetic):
    """The term ``tr((I - Z) J_d) / h`` of Moser and Veselov, which LieFVIN uses.

    ``S(a) = Z J_d - J_d Z^T``, that is ``a = 2 (J z + z x J z) / (1 + |z|^2)``. It conserves the energy of a
    free body exactly. Solutions exist up to about 1 rad per step, where they meet a second, spurious branch
    with ``|z| > 1``.

    Source: Duruisseaux, Duong, Leok, Atanasov, L4DC 2023, eqs. 9 and 15-17.
    """

    name = "trace"
    admits = 1.0

    def impulse(self, z: Tensor, inertia: Tensor) -> Tensor:
        jz = apply(inertia, z)
        return 2 * (jz + cross(z, jz)) / (1 + dot(z, z))

    def residual(self, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
        return a + cross(a, z) + z * dot(a, z) - 2 * apply(inertia, z)

    def jacobian(self, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
        identity = torch.eye(3, dtype=z.dtype, device=z.device)
        return skew(a) + dot(a, z).unsqueeze(-1) * identity + z.unsqueeze(-1) * a.unsqueeze(-2) - 2 * inertia

    def pull_back(self, z: Tensor, multiplier: Tensor) -> tuple[Tensor, Tensor]:
        a_bar = multiplier + cross(z, multiplier) + z * dot(z, multiplier)
        outer = multiplier.unsqueeze(-1) * z.unsqueeze(-2)
        return a_bar, -(outer + outer.mT)

    def push_forward(self, z: Tensor, a_tangent: Tensor, inertia_tangent: Tensor | None) -> Tensor:
        change = a_tangent - cross(z, a_tangent) + z * dot(z, a_tangent)
        return change if inertia_tangent is None else change - 2 * apply(inertia_tangent, z)


class CayleyKinetic(DiscreteKinetic):
    """The term ``(2 / h) z^T J z``, the energy of the Cayley-retracted velocity.

    ``a = 2 (I + S(z) + z z^T) J z``. Order 2 with errors about 2.3 times those of the trace term, but
    solvable at any step length; the energy of a free body oscillates by ``O(h^2)`` instead of being exact.
    """

    name = "cayley"
    admits = float("inf")

    def impulse(self, z: Tensor, inertia: Tensor) -> Tensor:
        jz = apply(inertia, z)
        return 2 * (jz + cross(z, jz) + z * dot(z, jz))

    def residual(self, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
        return a - self.impulse(z, inertia)

    def jacobian(self, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
        jz = apply(inertia, z)
        identity = torch.eye(3, dtype=z.dtype, device=z.device)
        outer = z.unsqueeze(-1) * jz.unsqueeze(-2)
        return -2 * (inertia + skew(z) @ inertia - skew(jz) + 2 * outer + dot(z, jz).unsqueeze(-1) * identity)

    def pull_back(self, z: Tensor, multiplier: Tensor) -> tuple[Tensor, Tensor]:
        rotated = multiplier - cross(z, multiplier) + z * dot(z, multiplier)
        outer = rotated.unsqueeze(-1) * z.unsqueeze(-2)
        return multiplier, -(outer + outer.mT)

    def push_forward(self, z: Tensor, a_tangent: Tensor, inertia_tangent: Tensor | None) -> Tensor:
        if inertia_tangent is None:
            return a_tangent
        change = apply(inertia_tangent, z)
        return a_tangent - 2 * (change + cross(z, change) + z * dot(z, change))


KINETIC_TERMS: dict[str, DiscreteKinetic] = {term.name: term for term in (TraceKinetic(), CayleyKinetic())}
