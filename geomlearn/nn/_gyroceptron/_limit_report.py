"""Whether a trained gyroceptron has the limit and the invariant that it is meant to have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from integrators import Status, rollout

from ._nearly_periodic import NearlyPeriodicMap
from ._resonance import Resonance

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LimitReport:
    """Measurements of the limit ``epsilon = 0`` and of the adiabatic invariant of a map.

    Attributes:
        resonance: The harmonic to which the angle is nearest.
        variation: Largest change of the invariant along each rollout of the map, over its first value
            ``(...)``; infinite where the rollout broke off.
        data_variation: The same along given trajectories, or ``None``.
        limit_error: Root mean square, over states and entries, of the distance of the limit from the fast
            flow, over that of the fast flow from the identity; ``None`` without a fast flow.
    """

    resonance: Resonance
    variation: Tensor
    data_variation: Tensor | None
    limit_error: float | None

    def __str__(self) -> str:
        """One line for each measurement."""
        near = "a resonance is near" if self.resonance.close else "no resonance is near"
        lines = [
            f"smallest divisor {self.resonance.divisor:.3g} at k = {self.resonance.harmonic}: {near}",
            f"invariant along rollouts: changes by up to {float(self.variation.max()):.2%}",
        ]
        if self.data_variation is not None:
            lines.append(f"invariant along the data: changes by up to {float(self.data_variation.max()):.2%}")
        if self.limit_error is not None:
            lines.append(f"limit: differs from the fast flow by {self.limit_error:.2%} of its motion")
        return "\n".join(lines)


def measure_limit(
    net: NearlyPeriodicMap,
    x: Tensor,
    steps: int = 1000,
    fast_flow: Map | None = None,
    trajectories: Tensor | None = None,
    backend: str = "auto",
) -> LimitReport:
    """Measure whether the structure of a trained gyroceptron is that of the data.

    A good fit does not say so: with an angle near a resonance the part near the identity can take over the
    fast motion, and the map then predicts well while its adiabatic invariant is none.

    Example:
        >>> import torch
        >>> from geomlearn.nn import Gyroceptron
        >>> net = Gyroceptron(4, 0.01, (1, 0), 2.4, generator=torch.Generator().manual_seed(0))
        >>> x = torch.tensor([[1.0, 0.2, 0.0, 0.3]], dtype=torch.float64)
        >>> report = measure_limit(net, x, 100, lambda x: net.action(x, 2.4), backend="torch")
        >>> report.limit_error, bool(report.variation < 0.1)
        (0.0, True)

    Args:
        net: The map.
        x: States ``(..., n)`` at which the limit is measured and rollouts start.
        steps: Length of the rollouts.
        fast_flow: The flow of the fast part alone over a step, from states to states, where it is known.
        trajectories: Measured states ``(samples, ..., n)`` along which the invariant is followed too.
        backend: Backend of the rollouts.

    Returns:
        The measurements; printing them shows a line for each.

    Raises:
        ValueError: If there are no states.
    """
    net.space.check(x, "x")
    if x.numel() == 0:
        raise ValueError(f"x: expected at least one state, got shape {tuple(x.shape)}")
    run = rollout(net, x, steps, observe=["adiabatic_invariant"], backend=backend)
    variation = _variation(run.observations["adiabatic_invariant"])
    broken = run.status >= int(Status.NOT_CONVERGED)
    error = None
    with torch.no_grad():
        if fast_flow is not None:
            there, n = fast_flow(x), 2 * net.degrees
            distance, motion = (net.limit(x) - there)[..., :n], (there - x)[..., :n]
            error = float((distance.square().mean() / motion.square().mean()).sqrt())
        along = None if trajectories is None else _variation(net.adiabatic_invariant(trajectories))
    return LimitReport(net.resonance(), variation.masked_fill(broken, torch.inf), along, error)


def _variation(values: Tensor) -> Tensor:
    change = (values - values[:1]).abs().amax(0)
    return torch.where(change == 0, change, change / values[0].abs())
