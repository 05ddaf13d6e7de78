"""Errors of predictions in units of what they predict: the change of the state."""

from __future__ import annotations

import torch
from torch import Tensor

from integrators import FlowMap, Part

from .data import Windows


def relative_increment_error(model: FlowMap, windows: Windows) -> dict[str, Tensor]:
    r"""Compute the error of the predicted change of the state, relative to that change, by channel.

    Entry ``k`` is the root mean square over the windows of the error of the state ``k + 1`` steps after the
    start, divided by that of its displacement from the start; standing still gives 1. A loss in
    units of the state says little about slow variables, which hardly move in a step.

    Args:
        model: A flow map; it is not changed.
        windows: States ``(N, T, n)``, ``T - 1`` steps of the map long.

    Returns:
        For each part a tensor ``(T - 1, channels)``; a part on a group has one channel, the distance.

    Raises:
        ValueError: If a channel never moves, or the windows are not those of the model's space.

    Example:
        >>> import torch
        >>> from geomlearn.data import solved_windows
        >>> from integrators import Verlet, zoo
        >>> problem = zoo.harmonic()
        >>> error = relative_increment_error(
        ...     Verlet(problem.system, 0.1), solved_windows(problem.system, problem.start[None], 0.1)
        ... )
        >>> [f"{float(error[name].squeeze()):.0e}" for name in ("q", "p")]
        ['2e-03', '8e-04']
    """
    if not model.space.fits(windows.space):
        raise ValueError(f"windows: its states are {windows.space}, those of the model are {model.space}")
    states = windows.states.transpose(0, 1)
    inputs = None if windows.controls is None else windows.controls.transpose(0, 1)
    with torch.no_grad():
        predicted = model.unroll(states[0], inputs, steps=len(states) - 1)
    errors = {}
    for part in windows.space.parts:
        wrong = _squares(part, predicted, states[1:], windows).mean(1).sqrt()
        moved = _squares(part, states[:1].expand_as(states[1:]), states[1:], windows).mean(1).sqrt()
        errors[part.name] = wrong / _moving(part, moved)
    return errors


def increment_weights(windows: Windows) -> dict[str, Tensor]:
    r"""Weights with which a loss is the mean square error relative to the mean square change in a step.

    A vector channel has the weight :math:`1/\langle (x_{k+1} - x_k)^2\rangle`, a part on a group that of its
    squared distance, the mean taken over all steps of all windows. Slow channels then count as much as fast
    ones.

    Args:
        windows: States ``(N, T, n)``.

    Returns:
        For each part its weights, for ``VelocityPositionLoss``.

    Raises:
        ValueError: If a channel never moves.
    """
    states = windows.states.transpose(0, 1)
    weights = {}
    for part in windows.space.parts:
        moved = _squares(part, states[:-1], states[1:], windows).flatten(0, 1).mean(0)
        weights[part.name] = _moving(part, moved).reciprocal()
    return weights


def _squares(part: Part, a: Tensor, b: Tensor, windows: Windows) -> Tensor:
    """Squared differences ``(..., channels)`` of one part of the states."""
    where = windows.space.slices[part.name]
    a, b = a[..., where], b[..., where]
    if part.manifold is None:
        return (a - b).square()
    a, b = a.unflatten(-1, part.shape), b.unflatten(-1, part.shape)
    return part.manifold.squared_distance(a, b, check=False).unsqueeze(-1)


def _moving(part: Part, moved: Tensor) -> Tensor:
    if not bool((moved > 0).all()):
        raise ValueError(
            f"windows: {part.name} has a channel that never moves, to which no error can be relative"
        )
    return moved
