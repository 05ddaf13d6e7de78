"""Nearly-periodic Hamiltonian systems: a fast rotation, and slow motion that an adiabatic invariant rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..systems import Hamiltonian
from ._problem import Problem, positive, state

_ONE = dict.fromkeys(("time", "energy", "q", "p"), "1")


@dataclass(frozen=True, repr=False)
class NearlyPeriodic(Problem[Hamiltonian]):
    """A Hamiltonian system that rotates ``(q1, p1)`` with rate 1 where ``epsilon`` is zero.

    Attributes:
        epsilon: Ratio of the slow to the fast rate.
        average: Slow states ``(..., 2)``, ``q2`` and ``p2``, and amplitudes ``(...)`` of the fast pair to the
            mean over a fast turn of what ``epsilon`` multiplies in ``H``.
    """

    epsilon: float = 0.0
    average: Callable[[Tensor, Tensor], Tensor] = lambda slow, amplitude: torch.zeros_like(amplitude)

    @staticmethod
    def moment(x: Tensor) -> Tensor:
        """Compute ``(q1^2 + p1^2) / 2``, the adiabatic invariant to leading order, of states ``(..., 4)``."""
        return 0.5 * (x[..., 0].square() + x[..., 2].square())

    def reduced(self, x: Tensor, moment: Tensor | None = None) -> Tensor:
        """Compute the Hamiltonian of the slow motion to leading order, without its factor ``epsilon``.

        Args:
            x: States ``(..., 4)``.
            moment: Value at which ``(q1^2 + p1^2) / 2`` is frozen, such as that of the start, broadcast to
                the batch; by default its value at the states.

        Returns:
            Shape ``(...)``.
        """
        amplitude = (2 * (self.moment(x) if moment is None else moment)).sqrt()
        return self.average(x[..., 1::2], amplitude.expand(x.shape[:-1]))


def coupled_oscillators(epsilon: float = 0.01, position: float = 1.0) -> NearlyPeriodic:
    """A fast and a slow oscillator with a nonlinear coupling.

    ``H = (q1^2 + p1^2) / 2 + epsilon (q2^2 + p2^2) / 2 + epsilon q1 q2 sin(2 q1 + 2 q2)``. To leading order
    the slow pair moves by ``epsilon`` times ``(q2^2 + p2^2) / 2 + A J1(2 A) q2 cos(2 q2)``, the mean over a
    turn of the fast pair of amplitude ``A``, with Bessel's function ``J1``.

    Args:
        epsilon: Strength of all but the fast rotation, up to 1.
        position: First ``q2``; the published starts have 0, 0.15, 0.3, 0.4, 1, 1.45 and 1.55, all with
            ``q1 = 1.5`` at rest.

    Returns:
        The problem, states ``(q1, q2, p1, p2)``, over a time ``20 / epsilon`` or three slow turns;
        dimensionless.
    """
    positive(epsilon=epsilon)

    def average(slow: Tensor, amplitude: Tensor) -> Tensor:
        q = slow[..., 0]
        coupling = amplitude * torch.special.bessel_j1(2 * amplitude)
        return 0.5 * slow.square().sum(-1) + coupling * q * torch.cos(2 * q)

    return NearlyPeriodic(
        "two coupled oscillators",
        Hamiltonian("(q1**2 + p1**2)/2 + eps*((q2**2 + p2**2)/2 + q1*q2*sin(2*q1 + 2*q2))", {"eps": epsilon}),
        state(1.5, position, 0.0, 0.0),
        duration=20 / epsilon,
        units=_ONE,
        source="Duruisseaux, Burby, Tang, Sci. Rep. 13 (2023) 8351",
        parameters={"eps": epsilon},
        accuracy=1e-8,
        epsilon=epsilon,
        average=average,
    )


def gyrating_particle(epsilon: float = 0.01) -> NearlyPeriodic:
    """A charged particle in a strong uniform magnetic field and a potential that varies over a gyroradius.

    In canonical pairs of the gyration ``(q1, p1)`` and the guiding centre ``(q2, p2)``, with time in radians
    of the gyration and ``epsilon = 1 / B``: ``H = (q1^2 + p1^2) / 2 + epsilon (cos x + cos(2 y) / 2)`` at the
    place ``x = p2 - p1``, ``y = q2 + q1``. ``(q1^2 + p1^2) / 2`` is the magnetic moment. To leading order the
    guiding centre moves by ``epsilon`` times ``J0(r) cos p2 + J0(2 r) cos(2 q2) / 2``, the mean of the
    potential over a circle of the gyroradius ``r``, with Bessel's function ``J0``.

    Args:
        epsilon: Inverse of the field.

    Returns:
        The problem, states ``(q1, q2, p1, p2)``, over a time ``40 / epsilon``; dimensionless.
    """
    positive(epsilon=epsilon)

    def average(slow: Tensor, amplitude: Tensor) -> Tensor:
        wide = torch.special.bessel_j0(amplitude) * torch.cos(slow[..., 1])
        return wide + 0.5 * torch.special.bessel_j0(2 * amplitude) * torch.cos(2 * slow[..., 0])

    return NearlyPeriodic(
        "charged particle in a strong magnetic field",
        Hamiltonian("(q1**2 + p1**2)/2 + eps*(cos(p2 - p1) + cos(2*(q2 + q1))/2)", {"eps": epsilon}),
        state(1.0, 0.3, 0.0, 0.2),
        duration=40 / epsilon,
        units=_ONE,
        source="Littlejohn, J. Plasma Phys. 29 (1983) 111; Lee, Phys. Fluids 26 (1983) 556",
        parameters={"eps": epsilon},
        accuracy=1e-8,
        epsilon=epsilon,
        average=average,
    )
