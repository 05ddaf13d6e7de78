"""High order from any symmetric map."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._flow import FlowMap
from ._composition import Composition
from ._weights import order_of, weights_of


def symmetric_composition(flow: FlowMap, weights: str | Sequence[float] = "TripleJump") -> Composition:
    """Raise the order of a symmetric map by steps of different lengths, some of them back in time.

    ``Phi_h = S_(w_s h) ... S_(w_1 h)`` with palindromic weights is symmetric again, and symplectic or
    reversible where the map is. For maps of order 2 the weights are ``"Yoshida4"``, ``"Suzuki4"``,
    ``"Yoshida6"``, ``"KahanLi6"``, ``"Yoshida8"``, ``"SuzukiUmeno8"``, ``"KahanLi8"`` and
    ``"SofroniouSpaletta10"``; at equal work Suzuki's and Kahan and Li's are far more accurate than Yoshida's.
    ``"TripleJump"`` and ``"SuzukiJump"`` raise any even order by two. The order of other weights is computed
    from the order conditions. Every order above 2 needs steps backwards, which stiff damping does not stand.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, section V.3; Yoshida, Phys.
    Lett. A 150 (1990) 262; Suzuki, Phys. Lett. A 146 (1990) 319; Kahan, Li, Math. Comp. 66 (1997) 1089.

    Args:
        flow: A symmetric map of even order: a symmetric splitting, an implicit midpoint rule, RATTLE, a
            variational integrator, a Strang splitting, or a composition of that kind.
        weights: A name, or the shares of ``h`` in order.

    Returns:
        The composition, with the step and the observables of the map.

    Raises:
        ValueError: If the map is not symmetric or its order is not known, or the weights are no palindrome
            or do not sum to one.

    Example:
        >>> from integrators import Hamiltonian, Verlet
        >>> pendulum = Hamiltonian("p**2/2 - cos(q)")
        >>> symmetric_composition(Verlet(pendulum, h=0.1), "KahanLi8").order
        8
    """
    name = type(flow).__name__
    if not flow.symmetric:
        raise ValueError(
            f"flow: expected a symmetric map, whose step with -h is its inverse; {name} is not, and the "
            "weights would not cancel its even errors; with half = flow.with_step(flow.h / 2) the map "
            "half @ half.adjoint() is symmetric, where the adjoint is known"
        )
    if flow.order is None or flow.order < 2 or flow.order % 2:
        raise ValueError(
            f"flow: expected a symmetric map of known even order, got {name} of order {flow.order}; "
            "Composition(maps, order=2) states the order of a composition of partial flows"
        )
    if isinstance(weights, str):
        order, shares = weights_of(weights, flow.order)
    else:
        shares = _checked(weights)
        order = order_of(shares, flow.order)
    out = Composition([flow.with_step(w * flow.h) for w in shares], flow.h, order)
    out.shares = shares
    return out


def _checked(weights: Sequence[float]) -> tuple[float, ...]:
    shares = tuple(float(w) for w in weights)
    gap = max((abs(a - b) for a, b in zip(shares, reversed(shares), strict=True)), default=1.0)
    if not shares or 0.0 in shares or not (gap <= 1e-15 and abs(math.fsum(shares) - 1) <= 1e-13):
        raise ValueError(
            f"weights: expected numbers that are not zero, read the same backwards and sum to 1, got {shares}"
        )
    return shares
