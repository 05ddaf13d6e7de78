"""One iteration of Levenberg and Marquardt's method: linearize, and raise the damping until a step helps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ._levenberg_marquardt_jacobian import MODES
from ._levenberg_marquardt_system import SYSTEMS, NormalEquations, TriangularFactor

_LEAST_RATIO = 1e-4  # share of the promised decrease that makes a step acceptable, as in MINPACK


class NonFiniteResidualError(ArithmeticError):
    """Residuals or their Jacobian are infinite or NaN where a step starts; the parameters are unchanged."""


class Problem(Protocol):
    """Residuals as functions of one flat vector of parameters."""

    def residual(self, theta: Tensor) -> Tensor:
        """Compute the residuals (n, k) without a graph."""

    def blocks(self, theta: Tensor, shape: torch.Size) -> Iterator[tuple[Tensor, Tensor]]:
        """Compute rows of the Jacobian and their residuals, block by block."""


@dataclass(frozen=True)
class Options:
    """Settings of the method; ``LevenbergMarquardt`` explains them."""

    damping: float | None = None
    relative_damping: float = 1e-3
    decrease: float = 1 / 3
    increase: float = 2.0
    solver: str = "cholesky"
    jacobian: str = "auto"
    memory: int = 2**28
    gradient_tolerance: float = 1e-12
    step_tolerance: float = 1e-12
    cost_tolerance: float = 1e-12
    max_tries: int = 30

    def __post_init__(self) -> None:
        """Refuse settings with which the method cannot work.

        Raises:
            ValueError: If a setting is out of its range.
        """
        if self.damping is not None and not 0 < self.damping < math.inf:
            raise ValueError(f"damping: expected a positive number or None, got {self.damping}")
        if not 0 < self.relative_damping < math.inf:
            raise ValueError(f"relative_damping: expected a positive number, got {self.relative_damping}")
        if not 0 < self.decrease < 1:
            raise ValueError(f"decrease: expected a number between 0 and 1, got {self.decrease}")
        if not 1 < self.increase < math.inf:
            raise ValueError(f"increase: expected a number above 1, got {self.increase}")
        if self.solver not in SYSTEMS:
            raise ValueError(f"solver: expected one of {sorted(SYSTEMS)}, got {self.solver!r}")
        if self.jacobian not in MODES:
            raise ValueError(f"jacobian: expected one of {sorted(MODES)}, got {self.jacobian!r}")
        for name in ("gradient_tolerance", "step_tolerance", "cost_tolerance"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {getattr(self, name)}")
        for name in ("memory", "max_tries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a positive number, got {getattr(self, name)}")


@dataclass
class Progress:
    """What one iteration hands to the next, plain numbers all.

    Attributes:
        damping: Lambda of the next step, 0 before the first.
        growth: Factor by which a rejection raises it.
        evaluations: Number of evaluations of the residuals so far.
        jacobians: Number of Jacobians so far.
        rejections: Number of steps tried in vain so far.
        status: Which test says that the last iteration found nothing left to do: ``"gradient"``, ``"step"``,
            ``"cost"``, ``"damping"`` or ``"evaluations"``, and ``""`` where none did.
    """

    damping: float = 0.0
    growth: float = 0.0
    evaluations: int = 0
    jacobians: int = 0
    rejections: int = 0
    status: str = ""


@dataclass
class Iteration:
    """Outcome of an iteration.

    Attributes:
        theta: Parameters after it, those before it where no step was accepted.
        residual: Residuals at ``theta``.
        cost: Half the sum of squares before the iteration.
        new_cost: Half the sum of squares after it.
        gradient_norm: Norm of the gradient of the cost before the iteration.
        shape: Shape of the residuals.
    """

    theta: Tensor
    residual: Tensor
    cost: float
    new_cost: float
    gradient_norm: float
    shape: torch.Size


def iterate(
    problem: Problem,
    theta: Tensor,
    progress: Progress,
    options: Options,
    *,
    rate: float = 1.0,
    residual: Tensor | None = None,
    budget: int | None = None,
) -> Iteration:
    """Take one step that lowers the cost, or find that there is none.

    Args:
        problem: The residuals.
        theta: Parameters (p,).
        progress: What the last iteration left; changed in place.
        options: Settings.
        rate: Share of the step that is taken.
        residual: Residuals at ``theta`` where they are known.
        budget: Number of evaluations that ``progress`` may reach.

    Returns:
        The outcome; its ``theta`` is a new tensor, or the one given.

    Raises:
        NonFiniteResidualError: If residuals or Jacobian at ``theta`` are not finite.
        ValueError: If the residuals do not depend on the parameters, or on other samples than their own.
    """
    progress.status = ""
    if residual is None:
        residual = problem.residual(theta)
        progress.evaluations += 1
    values = residual.double()
    cost = 0.5 * float(values.square().sum())
    if not math.isfinite(cost):
        raise NonFiniteResidualError(_not_finite(residual))
    system = _linearize(problem, theta, residual, options)
    progress.jacobians += 1
    norms = system.squared_norms()
    largest, slope = float(norms.max()), float(torch.linalg.vector_norm(system.gradient))
    if not math.isfinite(largest) or not math.isfinite(slope):
        raise NonFiniteResidualError(
            "residual: its Jacobian is not finite at the present parameters although the residuals are; look"
            " for square roots, norms or quotients at zero"
        )
    if largest == 0 and cost > 0 and progress.jacobians == 1:
        raise ValueError(
            "residual: does not depend on the parameters (its Jacobian is zero); compute it from the"
            " parameters that it is given, or start elsewhere"
        )
    outcome = Iteration(theta, residual, cost, cost, slope, residual.shape)
    epsilon = torch.finfo(theta.dtype).eps
    cosines = system.gradient.abs() / (norms.sqrt() * math.sqrt(2 * cost)).clamp_min(1e-300)
    if float(cosines.max()) <= max(options.gradient_tolerance, epsilon) or cost == 0:
        progress.status = "gradient"
        return outcome
    if progress.damping == 0:
        progress.damping = options.relative_damping * largest if options.damping is None else options.damping
        progress.growth = options.increase
    length = float(torch.linalg.vector_norm(theta.double()))
    small = max(options.step_tolerance, epsilon)
    for _ in range(options.max_tries):
        if budget is not None and progress.evaluations >= budget:
            progress.status = "evaluations"
            return outcome
        damping = max(progress.damping, system.least_damping * largest)
        step = system.solve(damping)
        if step is None or not bool(torch.isfinite(step).all()):
            _reject(progress, damping, options)
            continue
        norm = float(torch.linalg.vector_norm(step))
        descent = -float(system.gradient @ step)
        promised = rate * descent - 0.5 * rate**2 * (descent - damping * norm**2)
        trial = theta + (rate * step).to(theta.dtype)
        after = _try(problem, trial)
        progress.evaluations += 1
        new = None if after is None else after.double()
        gained = -math.inf if new is None else 0.5 * float(((values - new) * (values + new)).sum())
        tiny = rate * norm <= small * (small + length)
        level = max(options.cost_tolerance, epsilon) * cost
        if new is not None and after is not None and promised > 0 and gained > _LEAST_RATIO * promised:
            outcome = Iteration(trial, after, cost, 0.5 * float(new.square().sum()), slope, residual.shape)
            ratio = gained / promised
            progress.damping = damping * max(options.decrease, 1 - (2 * ratio - 1) ** 3)
            progress.growth = options.increase
            change = max(gained, promised)
            if change <= epsilon * cost or (change <= level and _hope(system) <= level):
                progress.status = "cost"
            elif tiny and rate * _hope(system) <= 10 * promised:
                progress.status = "step"
            return outcome
        _reject(progress, damping, options)
        if tiny or promised <= epsilon * cost:
            progress.status = "step" if tiny else "cost"
            return outcome
    progress.status = "damping"
    return outcome


def _hope(system: NormalEquations | TriangularFactor) -> float:
    """What the linear model promises without damping: little damped steps alone do not show a minimum."""
    step = system.solve(system.least_damping * float(system.squared_norms().max()))
    return math.inf if step is None else -0.5 * float(system.gradient @ step)


def _linearize(
    problem: Problem, theta: Tensor, residual: Tensor, options: Options
) -> NormalEquations | TriangularFactor:
    system = SYSTEMS[options.solver](theta.numel(), theta.device)
    flat, start = residual.flatten(), 0
    scale, tolerance = float(flat.abs().max()), torch.finfo(theta.dtype).eps ** 0.5
    for jacobian, values in problem.blocks(theta, residual.shape):
        part = flat[start : start + values.numel()]
        if float((values - part).abs().max()) > tolerance * scale:
            raise ValueError(
                "residual: the residuals of a sample change with the other samples that are given, or from"
                " one call to the next; remove means over samples, batch normalization and random numbers"
            )
        system.add(jacobian, part)
        start += values.numel()
    return system


def _try(problem: Problem, theta: Tensor) -> Tensor | None:
    """Residuals at a point where there may be none."""
    try:
        residual = problem.residual(theta)
    except (ArithmeticError, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        return None
    return residual if math.isfinite(float(residual.double().square().sum())) else None


def _reject(progress: Progress, damping: float, options: Options) -> None:
    progress.damping = damping * progress.growth
    progress.growth *= options.increase
    progress.rejections += 1


def _not_finite(residual: Tensor) -> str:
    bad = int((~torch.isfinite(residual)).sum())
    if not bad:
        return "residual: the sum of squares overflows; scale the residuals"
    return (
        f"residual: {bad} of {residual.numel()} residuals are not finite at the present parameters; start"
        " elsewhere or look at the data"
    )
