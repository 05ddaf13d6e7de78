"""Splittings into any number of exact flows."""

from __future__ import annotations

from collections.abc import Sequence

from .._flow import FlowMap
from ..systems import System
from ._composition import Composition


def Strang(flows: Sequence[FlowMap], h: float, system: System | None = None) -> Composition:
    """Split symmetrically: half steps of all flows but the last, that one, the half steps backwards.

    ``phi^1_(h/2) ... phi^(m-1)_(h/2) phi^m_h phi^(m-1)_(h/2) ... phi^1_(h/2)`` is symmetric and of order 2
    for the sum of the parts; ``symmetric_composition`` raises the order. It is symplectic where every part
    is, and keeps whatever every part keeps: volume, a Poisson bracket, an invariant, a group.

    Source: Strang, SIAM J. Numer. Anal. 5 (1968) 506; Hairer, Lubich, Wanner, Geometric Numerical
    Integration, 2nd ed. 2006, section II.5; McLachlan, Quispel, Acta Numerica 11 (2002) 341.

    Args:
        flows: Flows of the parts, on one state space; their own steps do not matter. Parts that are not exact
            should be symmetric, such as ``Verlet`` or ``GaussLegendre`` for a part.
        h: Step; negative steps go back in time.
        system: The whole system, to follow its energy and invariants.

    Returns:
        The splitting.

    Raises:
        ValueError: If there is no flow, or they live in different spaces.

    Example:
        >>> from integrators import DriftFlow, Hamiltonian, KickFlow
        >>> pendulum = Hamiltonian("p**2/2 - cos(q)")
        >>> flow = Strang([KickFlow(pendulum, 0.1), DriftFlow(pendulum, 0.1)], h=0.1)
        >>> flow.order, flow.symmetric, flow.symplectic
        (2, True, True)
    """
    halves, whole = (
        [flow.with_step(0.5 * h) for flow in flows[:-1]],
        [flow.with_step(h) for flow in flows[-1:]],
    )
    return Composition([*halves, *whole, *reversed(halves)], h, _order(flows, 2), system)


def LieTrotter(flows: Sequence[FlowMap], h: float, system: System | None = None) -> Composition:
    """Split into whole steps, the first flow first: order 1; its adjoint takes them in reverse order.

    Source: Trotter, Proc. Amer. Math. Soc. 10 (1959) 545; Hairer, Lubich, Wanner, Geometric Numerical
    Integration, 2nd ed. 2006, section II.5.

    Args:
        flows: Flows of the parts, on one state space; their own steps do not matter.
        h: Step; negative steps go back in time.
        system: The whole system, to follow its energy and invariants.

    Returns:
        The splitting.
    """
    return Composition([flow.with_step(h) for flow in flows], h, _order(flows, 1), system)


def _order(flows: Sequence[FlowMap], most: int) -> int | None:
    """Order for the sum of the parts; not known where that of a part is not."""
    orders = [most if flow.exact else flow.order for flow in flows]
    known = [order for order in orders if order is not None]
    return min(most, *known) if known and len(known) == len(orders) else None
