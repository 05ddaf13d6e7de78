"""The energy that Störmer-Verlet conserves almost exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from .._flow import FlowMap
from ..splitting import Splitting


def modified_energy(flow: FlowMap, x: Tensor) -> Tensor:
    """Compute the modified energy of a Verlet step up to terms of order ``h^4``.

    Kick first: ``H + h^2 (v . V'' v / 12 - V' . T'' V' / 24)``; drift first:
    ``H + h^2 (-v . V'' v / 24 + V' . T'' V' / 12)``, with ``v = dT/dp``, ``T'' = M^-1`` where T is quadratic.
    Along a numerical orbit it varies by ``O(h^4)`` where H varies by ``O(h^2)``: an oscillation of H that
    this does not share is truncation, and a drift of this one is rounding or a mistake.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, example IX.4.5; Leimkuhler,
    Reich, Simulating Hamiltonian Dynamics, 2004, section 5.2.

    Args:
        flow: ``Verlet`` or ``VerletDriftFirst``.
        x: States ``(..., 2 d)``.

    Returns:
        Shape ``(...)``.

    Raises:
        ValueError: If the map is another one, or the system depends on time.
    """
    factors = flow.scheme.factors if isinstance(flow, Splitting) else ()
    kinds = {"kdk": (1 / 12, -1 / 24), "dkd": (-1 / 24, 1 / 12)}
    pattern = "".join(kind[0] for kind, _ in factors)
    known = pattern in kinds and [weight for _, weight in factors] == [0.5, 1.0, 0.5]
    if not isinstance(flow, Splitting) or not known:
        raise ValueError(f"flow: expected Verlet or VerletDriftFirst, got {type(flow).__name__}")
    system = flow.system
    if system.timed:
        raise ValueError("flow: expected a system that does not depend on time, whose energy is conserved")
    d = system.degrees
    q, p = x[..., :d], x[..., d:]
    v = system.velocity(p)
    force = system.force(q)
    stiffness = torch.func.vjp(system.force, q)[1](v)[0]  # Hessians are symmetric
    bent = torch.func.vjp(system.velocity, p)[1](force)[0]
    along, across = kinds[pattern]
    correction = along * -(v * stiffness).sum(-1) + across * (force * bent).sum(-1)
    return system.energy(x) + flow.h**2 * correction
