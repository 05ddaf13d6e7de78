"""Splittings with gyroscopic forces: charges in a magnetic field, bodies seen from a turning frame."""

from __future__ import annotations

import torch
from torch import Tensor

from ..systems import HamiltonianSystem
from ._composition import Composition
from ._linear import LinearFlow
from ._partial import KickFlow
from ._splitting import Strang


class GyroscopicFlow(LinearFlow):
    """The exact flow of ``q' = M^-1 p, p' = G M^-1 p`` with a constant skew ``G``: circles.

    A charge ``e`` in a uniform field ``B`` has ``G v = e v x B``, with ``p = m v`` the kinetic momentum. The
    flow keeps the kinetic energy and the form ``dq ^ dp`` with the flux of the field, which has ``-G`` in its
    upper left block. Turning the velocities around does not turn it into its inverse, unless the field is
    turned too.

    Source: Hairer, Lubich, Wang, Numer. Math. 144 (2020) 787, section 2; Knapp, Kendl, Koskela, Ostermann,
    Phys. Rev. E 92 (2015) 063310.
    """

    def __init__(self, system: HamiltonianSystem, h: float, gyroscopic: Tensor) -> None:
        """Bind.

        Args:
            system: Separable with ``T = p M^-1 p / 2``; its kinetic energy alone is used.
            h: Step; negative steps go back in time.
            gyroscopic: ``G`` ``(d, d)``, skew-symmetric.

        Raises:
            ValueError: If the kinetic energy is not quadratic, the system depends on time, or ``G`` is not a
                skew-symmetric matrix of that size.
        """
        d = system.degrees
        if not system.quadratic_kinetic or system.timed:
            raise ValueError(
                f"system: GyroscopicFlow needs T = p M^-1 p / 2 and no time, which {system!r} does not have"
            )
        if tuple(gyroscopic.shape) != (d, d) or not bool((gyroscopic == -gyroscopic.mT).all()):
            raise ValueError(
                f"gyroscopic: expected a skew-symmetric matrix ({d}, {d}), got {tuple(gyroscopic.shape)}"
            )
        with torch.no_grad():
            inverse_mass = system.velocity(torch.eye(d, dtype=gyroscopic.dtype)).mT
        columns = torch.cat((inverse_mass, gyroscopic @ inverse_mass))
        super().__init__(system.space, torch.cat((torch.zeros_like(columns), columns), -1), h)
        self.register_buffer("gyroscopic", gyroscopic.detach().clone())
        self.symplectic = True

    gyroscopic: Tensor

    def symplectic_form(self) -> Tensor:
        """The form ``[[-G, I], [-I, 0]]``."""
        return _form(self.gyroscopic)


class _Kick(KickFlow):
    """A kick, which keeps the form with the flux as well."""

    def __init__(self, system: HamiltonianSystem, h: float, gyroscopic: Tensor) -> None:
        super().__init__(system, h)
        self.register_buffer("gyroscopic", gyroscopic.detach().clone())

    gyroscopic: Tensor

    def phase_derivative(self, x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Derivative of a step and the form ``[[-G, I], [-I, 0]]``."""
        form = _form(self.gyroscopic).to(x)
        return super().phase_derivative(x, control)[0], form, form


def GyroscopicSplitting(system: HamiltonianSystem, h: float, gyroscopic: Tensor) -> Composition:
    """Split ``q' = M^-1 p, p' = force(q) + G M^-1 p`` into kicks and exact circles.

    Half a kick, a step along the circle, half a kick: order 2, symmetric, explicit, symplectic for the form
    with the flux of the field, whatever the field strength; without a force it is exact. Boris's method has
    a rational approximation in place of the circle.

    Source: Knapp, Kendl, Koskela, Ostermann, Phys. Rev. E 92 (2015) 063310; Chin, Phys. Rev. E 77 (2008)
    066401.

    Args:
        system: Separable with ``T = p M^-1 p / 2`` in the kinetic momenta ``p = M v``, and the potential; its
            energy is the energy of the motion.
        h: Step; negative steps go back in time.
        gyroscopic: ``G`` ``(d, d)``, skew-symmetric; ``e [[0, B3, -B2], [-B3, 0, B1], [B2, -B1, 0]]`` for a
            charge in a uniform magnetic field.

    Returns:
        The splitting.

    Raises:
        ValueError: If the kinetic energy is not quadratic, the system depends on time, or ``G`` is not skew.
    """
    flow = GyroscopicFlow(system, h, gyroscopic)
    return Strang([_Kick(system, h, gyroscopic), flow], h, system)


def _form(gyroscopic: Tensor) -> Tensor:
    eye = torch.eye(gyroscopic.shape[0], dtype=gyroscopic.dtype, device=gyroscopic.device)
    return torch.cat((torch.cat((-gyroscopic, eye), -1), torch.cat((-eye, torch.zeros_like(eye)), -1)))
