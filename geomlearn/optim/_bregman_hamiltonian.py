"""The leapfrog map of a Bregman Hamiltonian on its extended phase space, for diagnosis."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ._bregman_rule import BregmanRule


class PhasePoint(NamedTuple):
    """A point of the extended phase space (q, t, r, rᵗ).

    Attributes:
        position: Position q, shape (n,).
        time: Clock t, shape ().
        momentum: Momentum r, shape (n,).
        time_momentum: Momentum rᵗ of the clock, shape (): −H along the exact flow.
    """

    position: Tensor
    time: Tensor
    momentum: Tensor
    time_momentum: Tensor


def bregman_rest(rule: BregmanRule, function: Callable[[Tensor], Tensor], position: Tensor) -> PhasePoint:
    """Begin at rest with the clock at 1 and rᵗ = −H, where H + rᵗ = 0."""
    time = torch.ones((), dtype=position.dtype, device=position.device)
    still = PhasePoint(position, time, torch.zeros_like(position), torch.zeros_like(time))
    return still._replace(time_momentum=-bregman_hamiltonian(rule, function, still))


def bregman_hamiltonian(rule: BregmanRule, function: Callable[[Tensor], Tensor], point: PhasePoint) -> Tensor:
    """Compute H + rᵗ = ½ a(t)‖r‖² + b(t) f(q) + rᵗ, which the exact flow keeps.

    Args:
        rule: Family, order and C.
        function: The function f.
        point: Where.

    Returns:
        The extended Hamiltonian, shape ().
    """
    q, t, r, rt = point
    a, b = _coefficients(rule, t)
    return 0.5 * a * (r * r).sum() + b * function(q) + rt


def bregman_leapfrog(
    rule: BregmanRule, function: Callable[[Tensor], Tensor], point: PhasePoint
) -> PhasePoint:
    """Make one step h of the symmetric leapfrog composition, the map that ``BregmanSLC`` iterates.

    Half a kick, half a turn of the clock, a drift, and the first two again in reverse. It is symplectic in
    (q, t, r, rᵗ), of second order, and with −h its own inverse; H + rᵗ oscillates with h². Restarts and
    temporal looping, which are none of this, are left out. The momenta grow as e^{2ηt} or t^{2p−1}, while the
    optimizers keep displacements: this form is to look at the map, not to optimize with.

    Args:
        rule: Family, order, C and h; h may be negative.
        function: The function f; it must work under ``torch.func``.
        point: Where the step begins.

    Returns:
        Where it ends.

    References:
        M. Betancourt, M. I. Jordan, A. C. Wilson: On symplectic optimization, arXiv:1802.03653, 2018.

    Example:
        >>> import torch
        >>> rule, half = BregmanRule(h=0.5, C=1.0), lambda q: 0.5 * (q * q).sum()
        >>> start = bregman_rest(rule, half, torch.tensor([2.0, -1.0], dtype=torch.float64))
        >>> end = bregman_leapfrog(rule, half, start)
        >>> back = bregman_leapfrog(BregmanRule(h=-0.5, C=1.0), half, end)
        >>> torch.allclose(back.position, start.position, rtol=1e-14)
        True
    """
    q, t, r, rt = _kick(rule, function, point)
    t = t + 0.5 * rule.h
    a, slope = _coefficients(rule, t)[0], _slopes(rule, t)[0]
    rt = rt - 0.5 * rule.h * slope * (r * r).sum()
    return _kick(rule, function, PhasePoint(q + rule.h * a * r, t + 0.5 * rule.h, r, rt))


def _kick(rule: BregmanRule, function: Callable[[Tensor], Tensor], point: PhasePoint) -> PhasePoint:
    """Half a kick."""
    q, t, r, rt = point
    gradient, value = torch.func.grad_and_value(function)(q)
    half = 0.5 * rule.h
    b, slope = _coefficients(rule, t)[1], _slopes(rule, t)[1]
    return PhasePoint(q, t, r - half * b * gradient, rt - half * slope * value)


def _coefficients(rule: BregmanRule, t: Tensor) -> tuple[Tensor, Tensor]:
    """a(t) and b(t)."""
    w = rule.order
    if rule.family == "exponential":
        return w * torch.exp(-w * t), rule.C * w * torch.exp(2 * w * t)
    return w * t ** (-w - 1), rule.C * w * t ** (2 * w - 1)


def _slopes(rule: BregmanRule, t: Tensor) -> tuple[Tensor, Tensor]:
    """a'(t) and b'(t)."""
    a, b = _coefficients(rule, t)
    w = rule.order
    return (-w * a, 2 * w * b) if rule.family == "exponential" else (-(w + 1) / t * a, (2 * w - 1) / t * b)
