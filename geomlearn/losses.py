"""Losses between predicted and measured states, and residuals of measured poses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from integrators import FlowMap, StateSpace
from lie import SO3

from ._increments import increment_weights, relative_increment_error

__all__ = [
    "PositionOnlyFlow",
    "PositionOnlyLoss",
    "ResidualLoss",
    "VelocityPositionLoss",
    "geodesic_loss",
    "increment_weights",
    "loss_terms",
    "noise_weights",
    "position_only_loss",
    "relative_increment_error",
    "velocity_position_loss",
    "velocity_position_residual",
]

Weight = float | Sequence[float] | Tensor


def geodesic_loss(predicted: Tensor, target: Tensor) -> Tensor:
    r"""Compute the mean of :math:`\theta^2`, the squared angle between two attitudes, over all pairs.

    Value, gradient and Hessian are finite and right where the attitudes are equal, unlike those of the square
    of an arccos of the trace.

    Args:
        predicted: Rotations ``(..., 3, 3)``.
        target: Rotations ``(..., 3, 3)``.

    Returns:
        A scalar in rad^2.
    """
    return SO3.squared_distance(predicted, target, check=False).mean()


def noise_weights(sigma: Mapping[str, Weight]) -> dict[str, Tensor]:
    r"""Turn noise standard deviations into the weights :math:`1/\sigma^2` of a least-squares loss.

    Args:
        sigma: Standard deviation of each part, one number or one per channel, in the unit of the part (rad
            for a rotation).

    Returns:
        For each part its weights, for ``velocity_position_loss``.

    Raises:
        ValueError: If a deviation is not positive and finite.
    """
    weights = {}
    for name, value in sigma.items():
        deviation = torch.as_tensor(value, dtype=torch.float64)
        if not bool((torch.isfinite(deviation) & (deviation > 0)).all()):
            raise ValueError(f"sigma[{name!r}]: expected positive standard deviations, got {value}")
        weights[name] = deviation.square().reciprocal()
    return weights


def loss_terms(
    predicted: Tensor,
    target: Tensor,
    space: StateSpace,
    weights: Mapping[str, Weight] | None = None,
    step_weights: Tensor | None = None,
) -> dict[str, Tensor]:
    r"""Compute the error of each part of the state: mean square, or mean :math:`\theta^2` for a rotation.

    A part on another group counts by :math:`|\log(\hat g^{-1} g)|^2`.

    Args:
        predicted: States ``(steps, ..., n)``.
        target: States ``(steps, ..., n)``.
        space: Layout of the states.
        weights: Factor of each part, 1 where it is not named: a number, or one per channel of a vector part
            (the mean over channels is taken after weighting).
        step_weights: Weights ``(steps,)`` of the steps of a window; only their ratios matter.

    Returns:
        For each part a scalar; their sum is ``velocity_position_loss``.

    Raises:
        ValueError: If shapes do not agree, or weights name a part that the space has not.
    """
    _check_terms(predicted, target, space, weights)
    weights = {} if weights is None else weights
    terms = {}
    sizes = [part.size for part in space.parts]
    for part, g, h in zip(space.parts, predicted.split(sizes, -1), target.split(sizes, -1), strict=True):
        factor = weights.get(part.name)
        if part.manifold is None:
            error = (g - h).square()
        else:
            g, h = g.unflatten(-1, part.shape), h.unflatten(-1, part.shape)
            error = part.manifold.squared_distance(g, h, check=False).unsqueeze(-1)
        if isinstance(factor, float | int):
            terms[part.name] = factor * _mean(error, step_weights)
        elif factor is not None:
            terms[part.name] = _mean(_as_channels(factor, error, part.name) * error, step_weights)
        else:
            terms[part.name] = _mean(error, step_weights)
    return terms


def _check_terms(
    predicted: Tensor, target: Tensor, space: StateSpace, weights: Mapping[str, Weight] | None
) -> None:
    if predicted.shape != target.shape or predicted.ndim < 1 or predicted.shape[-1] != space.size:
        raise ValueError(
            f"predicted: expected the shape of target ending in {space.size} for {space}, got"
            f" {tuple(predicted.shape)}"
            f" against {tuple(target.shape)}"
        )
    unknown = set(weights or {}) - set(space.names)
    if unknown:
        raise ValueError(f"weights: expected names among {space.names}, got {sorted(unknown)}")


def velocity_position_loss(
    predicted: Tensor,
    target: Tensor,
    space: StateSpace,
    weights: Mapping[str, Weight] | None = None,
    step_weights: Tensor | None = None,
) -> Tensor:
    r"""Compute the prediction loss: mean square of vector parts plus mean :math:`\theta^2` of rotations.

    With ``weights={"omega": 0.75}`` it is the loss of the pendulum experiment of Duruisseaux, Duong, Leok,
    Atanasov (L4DC 2023, §5.1), whose mean runs over the three entries of omega and a copied input with error
    zero.

    Args:
        predicted: States ``(steps, ..., n)``.
        target: States ``(steps, ..., n)``.
        space: Layout of the states.
        weights: Factor of each part, or of each channel of a vector part; see ``noise_weights``.
        step_weights: Weights ``(steps,)`` of the steps of a window; only their ratios matter.

    Returns:
        A scalar.
    """
    return torch.stack(list(loss_terms(predicted, target, space, weights, step_weights).values())).sum()


def velocity_position_residual(
    predicted: Tensor,
    target: Tensor,
    space: StateSpace,
    weights: Mapping[str, Weight] | None = None,
    step_weights: Tensor | None = None,
) -> Tensor:
    r"""Compute the residuals whose squares make up ``velocity_position_loss``.

    Their sum of squares over the last dimension, averaged over the others, is the loss. A part on a group
    gives :math:`\log(g^{-1} \hat g)`, whose length is the angle for a rotation.

    Args:
        predicted: States ``(steps, ..., n)``.
        target: States ``(steps, ..., n)``.
        space: Layout of the states.
        weights: Factor of each part, or of each channel of a vector part; none is negative.
        step_weights: Weights ``(steps,)`` of the steps of a window; none is negative.

    Returns:
        Residuals ``(..., steps * k)``.

    Raises:
        ValueError: If shapes do not agree, weights name a part that the space has not, or one is negative.
    """
    _check_terms(predicted, target, space, weights)
    equal = torch.ones(predicted.shape[0], dtype=predicted.dtype, device=predicted.device)
    share = _shares(equal if step_weights is None else step_weights, predicted)
    share = share.reshape(-1, *(1 for _ in predicted.shape[1:]))
    sizes = [part.size for part in space.parts]
    residuals = []
    for part, g, h in zip(space.parts, predicted.split(sizes, -1), target.split(sizes, -1), strict=True):
        factor = (weights or {}).get(part.name, 1.0)
        if part.manifold is None:
            error = g - h
            scale = share * _as_channels(factor, error, part.name) / part.size
        else:
            g, h = g.unflatten(-1, part.shape), h.unflatten(-1, part.shape)
            error = part.manifold.minus(g, h, check=False)
            scale = share * _as_channels(factor, error[..., :1], part.name)
        if bool((scale < 0).any()):
            raise ValueError(f"weights[{part.name!r}]: expected no negative weight of part or step, got one")
        residuals.append(scale.sqrt() * error)
    return torch.cat(residuals, dim=-1).movedim(0, -2).flatten(-2)


@runtime_checkable
class ResidualLoss(Protocol):
    """A loss that is a sum of squares, as ``LevenbergMarquardt`` needs it in ``fit``."""

    def residual(self, model: FlowMap, states: Tensor, controls: Tensor | None = None) -> Tensor:
        """Compute the residuals of each window.

        Args:
            model: The model.
            states: Windows ``(N, T, n)``.
            controls: Inputs ``(N, T-1, m)``.

        Returns:
            Residuals ``(N, ...)``, those of a window from that window alone. The sum of their squares for
            each window, averaged over the windows, is the loss.
        """


@runtime_checkable
class PositionOnlyFlow(Protocol):
    """A flow map that can be trained on poses without velocities."""

    def position_residual(
        self, q0: Tensor, q1: Tensor, q2: Tensor, u0: Tensor | None, u1: Tensor | None
    ) -> Tensor:
        """Compute the forced discrete Euler-Lagrange residual of three consecutive poses.

        Args:
            q0: First poses ``(..., k)``.
            q1: Poses one step later.
            q2: Poses two steps later.
            u0: Inputs ``(..., m)`` held over the first step.
            u1: Inputs held over the second step.

        Returns:
            Residuals ``(..., d)``, already divided by inertia and mass.
        """


def position_only_loss(flow: PositionOnlyFlow, positions: Tensor, controls: Tensor | None = None) -> Tensor:
    """Compute the mean square discrete Euler-Lagrange residual of windows of poses; no velocities are needed.

    Args:
        flow: Flow map with a ``position_residual``.
        positions: Windows of poses ``(N, T, k)``, T at least 3.
        controls: Inputs ``(N, T-1, m)``, entry k held from pose k to pose k+1.

    Returns:
        A scalar.
    """
    return _position_residual(flow, positions, controls).square().mean()


def _position_residual(flow: PositionOnlyFlow, positions: Tensor, controls: Tensor | None) -> Tensor:
    """Compute the residuals ``(N, T-2, d)`` of windows of poses.

    Args:
        flow: Flow map with a ``position_residual``.
        positions: Windows of poses ``(N, T, k)``, T at least 3.
        controls: Inputs ``(N, T-1, m)``.

    Returns:
        Residuals of each three consecutive poses.

    Raises:
        TypeError: If the flow has no ``position_residual``.
        ValueError: If a window has fewer than three poses or the controls do not fit.
    """
    if not isinstance(flow, PositionOnlyFlow):
        raise TypeError(
            f"flow: expected a flow map with a position_residual method, got {type(flow).__name__}"
        )
    if positions.ndim < 2 or positions.shape[-2] < 3:
        raise ValueError(
            f"positions: expected (..., T, k) with at least 3 poses, got shape {tuple(positions.shape)}"
        )
    if controls is not None and controls.shape[-2] != positions.shape[-2] - 1:
        raise ValueError(
            f"controls: expected one input per step, (..., {positions.shape[-2] - 1}, m), got"
            f" {tuple(controls.shape)}"
        )
    u0, u1 = (None, None) if controls is None else (controls[..., :-1, :], controls[..., 1:, :])
    q0, q1, q2 = positions[..., :-2, :], positions[..., 1:-1, :], positions[..., 2:, :]
    return flow.position_residual(q0, q1, q2, u0, u1)


class VelocityPositionLoss(nn.Module):
    """``velocity_position_loss`` of the predictions unrolled over each window, as ``fit`` calls it."""

    def __init__(
        self, weights: Mapping[str, Weight] | None = None, step_weights: Tensor | None = None
    ) -> None:
        """Fix the weights.

        Args:
            weights: Factor of each part, or of each channel of a vector part.
            step_weights: Weights ``(steps,)`` of the steps of a window.
        """
        super().__init__()
        self.weights = dict(weights or {})
        self.step_weights = step_weights

    def forward(self, model: FlowMap, states: Tensor, controls: Tensor | None = None) -> Tensor:
        """Predict each window from its first state and compare.

        Args:
            model: Flow map whose space is the layout of the states.
            states: Windows ``(N, T, n)``.
            controls: Inputs ``(N, T-1, m)``.

        Returns:
            A scalar.
        """
        predicted, target = self._predict(model, states, controls)
        return velocity_position_loss(predicted, target, model.space, self.weights, self.step_weights)

    def residual(self, model: FlowMap, states: Tensor, controls: Tensor | None = None) -> Tensor:
        """Compute the residuals of each window; the mean over windows of their sums of squares is the loss.

        Args:
            model: Flow map whose space is the layout of the states.
            states: Windows ``(N, T, n)``.
            controls: Inputs ``(N, T-1, m)``.

        Returns:
            Residuals ``(N, k)``.
        """
        predicted, target = self._predict(model, states, controls)
        return velocity_position_residual(predicted, target, model.space, self.weights, self.step_weights)

    @staticmethod
    def _predict(model: FlowMap, states: Tensor, controls: Tensor | None) -> tuple[Tensor, Tensor]:
        target = states.transpose(0, 1)
        inputs = None if controls is None else controls.transpose(0, 1)
        return model.unroll(target[0], inputs, steps=target.shape[0] - 1), target[1:]

    def extra_repr(self) -> str:
        """Show the weights."""
        weights = {name: w.tolist() if isinstance(w, Tensor) else w for name, w in self.weights.items()}
        steps = None if self.step_weights is None else self.step_weights.tolist()
        return f"weights={weights}, step_weights={steps}"


class PositionOnlyLoss(nn.Module):
    """``position_only_loss`` of windows of states, as ``fit`` calls it."""

    def __init__(self, parts: Sequence[str] | None = None) -> None:
        """Say which parts of the states make up the poses.

        Args:
            parts: Names of parts of the model's space in the order of the poses, such as ``("x", "R")``; by
                default the states of the windows are poses.
        """
        super().__init__()
        self.parts = None if parts is None else tuple(parts)

    def forward(self, model: FlowMap, states: Tensor, controls: Tensor | None = None) -> Tensor:
        """Compute the mean square residual.

        Args:
            model: Flow map with a ``position_residual``.
            states: Windows ``(N, T, n)``.
            controls: Inputs ``(N, T-1, m)``.

        Returns:
            A scalar.
        """
        return self._poses(model, states, controls).square().mean()

    def residual(self, model: FlowMap, states: Tensor, controls: Tensor | None = None) -> Tensor:
        """Compute the residuals of each window; the mean over windows of their sums of squares is the loss.

        Args:
            model: Flow map with a ``position_residual``.
            states: Windows ``(N, T, n)``.
            controls: Inputs ``(N, T-1, m)``.

        Returns:
            Residuals ``(N, k)``.
        """
        residual = self._poses(model, states, controls).flatten(1)
        return residual / math.sqrt(residual.shape[1])

    def _poses(self, model: FlowMap, states: Tensor, controls: Tensor | None) -> Tensor:
        if self.parts is not None:
            states = torch.cat([states[..., model.space.slices[name]] for name in self.parts], dim=-1)
        return _position_residual(model, states, controls)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """Show the parts."""
        return f"parts={self.parts}"


def _as_channels(factor: Weight, error: Tensor, name: str) -> Tensor:
    weight = torch.as_tensor(factor, dtype=error.dtype, device=error.device)
    if weight.ndim > 1 or (weight.ndim == 1 and weight.shape[0] != error.shape[-1]):
        raise ValueError(
            f"weights[{name!r}]: expected a number or {error.shape[-1]} of them, got shape"
            f" {tuple(weight.shape)}"
        )
    return weight


def _mean(error: Tensor, step_weights: Tensor | None) -> Tensor:
    if step_weights is None:
        return error.mean()
    return _shares(step_weights, error) @ error.flatten(1).mean(1)


def _shares(step_weights: Tensor, error: Tensor) -> Tensor:
    if step_weights.shape != error.shape[:1]:
        raise ValueError(f"step_weights: expected shape ({error.shape[0]},), got {tuple(step_weights.shape)}")
    weight = step_weights.to(error)
    return weight / weight.sum()
