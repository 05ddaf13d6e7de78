"""The first correction of the adiabatic invariant of a nearly periodic map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ._circle import CircleAction

Function = Callable[[Tensor], Tensor]


def circle_values(action: CircleAction, w: Tensor, function: Function, points: int) -> Tensor:
    """Values of a function on the circles through states, at equidistant angles.

    Args:
        action: The circle action.
        w: States ``(..., 2 d)``.
        function: From states ``(..., 2 d)`` to ``(...)``.
        points: Number of samples on a circle, which closes at a turn over the common divisor of the weights.

    Returns:
        Shape ``(..., points)``.
    """
    step = 2 * torch.pi / (points * action.divisor)
    phases = step * torch.arange(points, dtype=w.dtype, device=w.device)
    return function(action(w.unsqueeze(-2), phases))


def first_correction(action: CircleAction, rates: Tensor, theta: Tensor) -> Tensor:
    r"""Solve ``mu_1(w turned by theta) - mu_1(w) = -g(w)`` on the circles through states.

    With the coefficients ``g_k`` of ``g`` on the circle through ``w`` the solution of zero mean is

    .. math:: \mu_1 = -\sum_{k \ne 0} \frac{g_k}{e^{i k \theta} - 1},

    which needs ``g_0 = 0``; for a symplectic map that is so, a discrete form of Noether's theorem.

    Source: the homological equation of the normal form of Burby, Hirvijoki, Leok, J. Nonlinear Sci. 33 (2023)
    38, at first order.

    Args:
        action: The circle action.
        rates: ``g`` on the circle ``(..., points)``, the rate at which the map changes the moment when the
            perturbation sets in.
        theta: Angle by which the map turns the circles ``(...)``.

    Returns:
        ``mu_1`` at the first point of each circle ``(...)``.
    """
    points = rates.shape[-1]
    if rates.numel() == 0:
        return rates[..., 0]  # transforms of nothing are refused by some libraries
    orders = torch.fft.fftfreq(points, 1 / points, dtype=rates.dtype, device=rates.device)
    g = torch.fft.fft(rates, dim=-1) / points
    solvable = (orders != 0) & (orders.abs() < points / 2)
    phase = torch.exp(1j * action.divisor * orders * theta.unsqueeze(-1))
    one = torch.ones((), dtype=phase.dtype, device=phase.device)
    terms = -g / torch.where(solvable, phase - one, one)
    return torch.where(solvable, terms, 0 * one).sum(-1).real
