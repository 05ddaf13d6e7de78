"""The discrete kinetic term of a retracted velocity on any Lie group."""

from __future__ import annotations

import torch
from torch import Tensor

from lie import MatrixLieGroup

from .._linear import apply
from ._kinetic import DiscreteKinetic

RETRACTIONS = ("cayley", "exp")


class GroupKinetic(DiscreteKinetic):
    """The term ``(h / 2) <xi, I xi>`` of a step ``f = tau(h xi)``, ``tau`` the Cayley transform or ``exp``.

    With ``h xi = 2 z`` and ``d tau(u) = hat(dtau_u du) tau(u)`` the momentum that enters the step is
    ``(dtau^-1_{h xi})^T I xi``, so ``a(z) = 2 (dtau^-1_{2 z})^T I z``. On SO(3) with the Cayley transform it
    is the rigid body's ``"cayley"`` term.

    Source: Bou-Rabee and Marsden, Found. Comput. Math. 9 (2009), for the retraction; Duruisseaux, Duong,
    Leok, Atanasov, L4DC 2023, for the forces.
    """

    admits = float("inf")

    def __init__(self, group: MatrixLieGroup, retraction: str) -> None:
        """Choose group and retraction.

        Args:
            group: The group.
            retraction: ``"cayley"`` or ``"exp"``.

        Raises:
            ValueError: If the retraction is unknown, or is not one of this group.
        """
        if retraction not in RETRACTIONS:
            raise ValueError(f"retraction: expected one of {RETRACTIONS}, got {retraction!r}")
        if retraction == "cayley" and not group.cayley_closed:
            raise ValueError(
                f"retraction: expected 'exp' on {group.name}, whose algebra the Cayley transform does not map"
                " into the group, got 'cayley'"
            )
        self.name, self.group = retraction, group
        exp = retraction == "exp"
        self.retract = group.exp if exp else group.cayley
        self._inverse_tangent = group.left_jacobian_inverse if exp else group.cayley_jacobian_inverse

    def displacement(self, z: Tensor) -> Tensor:
        """Group element ``f = tau(2 z)``.

        Args:
            z: Coordinates ``(..., dim)``.

        Returns:
            Elements ``(..., n, n)``.
        """
        return self.retract(2 * z)

    def impulse(self, z: Tensor, inertia: Tensor) -> Tensor:
        """Scaled impulse ``a(z) = 2 (dtau^-1_{2 z})^T I z``.

        Args:
            z: Coordinates ``(..., dim)``.
            inertia: ``I``.

        Returns:
            ``a``, ``(..., dim)``.
        """
        return apply(self._inverse_tangent(2 * z).mT, 2 * apply(inertia, z))

    def residual(self, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
        """The difference ``a - a(z)``.

        Args:
            z: Coordinates ``(..., dim)``.
            a: Scaled impulse ``(..., dim)``.
            inertia: ``I``.

        Returns:
            Residual ``(..., dim)``.
        """
        return a - self.impulse(z, inertia)

    def jacobian(self, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
        """Derivative of ``residual`` with respect to ``z``, row by row in reverse mode.

        Args:
            z: Coordinates ``(..., dim)``.
            a: Scaled impulse ``(..., dim)``.
            inertia: ``I``.

        Returns:
            Jacobian ``(..., dim, dim)``.
        """
        pull = torch.func.vjp(lambda p: -self.impulse(p, inertia), z)[1]
        identity = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
        rows: Tensor = torch.func.vmap(lambda row: pull(row.expand_as(z))[0], out_dims=-2)(identity)
        return rows

    def admissible(self, z: Tensor, a: Tensor, inertia: Tensor) -> Tensor:
        """Whether roots can be on the branch that starts at rest, on which the determinant keeps its sign.

        Args:
            z: Roots ``(..., dim)``.
            a: Scaled impulse ``(..., dim)``.
            inertia: ``I``.

        Returns:
            True where they can, and where the root is not finite.
        """
        return ~(torch.linalg.det(-self.jacobian(z, a, inertia)) <= 0)

    def pull_back(self, z: Tensor, multiplier: Tensor) -> tuple[Tensor, Tensor]:
        """Transpose of the derivative of ``residual`` with respect to ``a`` and ``I``.

        Args:
            z: Solution ``(..., dim)``.
            multiplier: ``(..., dim)``.

        Returns:
            The cotangents of ``a`` ``(..., dim)`` and of ``I`` ``(..., dim, dim)``.
        """
        moved = apply(self._inverse_tangent(2 * z), multiplier)
        outer = moved.unsqueeze(-1) * z.unsqueeze(-2)
        return multiplier, -(outer + outer.mT)

    def push_forward(self, z: Tensor, a_tangent: Tensor, inertia_tangent: Tensor | None) -> Tensor:
        """Derivative of ``residual`` along tangents of ``a`` and ``I``.

        Args:
            z: Solution ``(..., dim)``.
            a_tangent: ``(..., dim)``.
            inertia_tangent: ``(dim, dim)`` or ``(..., dim, dim)``, or ``None`` for zero.

        Returns:
            Tangent of the residual ``(..., dim)``.
        """
        return a_tangent if inertia_tangent is None else a_tangent - self.impulse(z, inertia_tangent)
