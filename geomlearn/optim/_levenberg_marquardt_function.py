"""Levenberg and Marquardt's method as a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from ._levenberg_marquardt_core import NonFiniteResidualError, Options, Progress, iterate
from ._levenberg_marquardt_problem import FunctionProblem, flatten, unflatten

Parameters = TypeVar("Parameters", Tensor, Mapping[str, Tensor])


@dataclass(frozen=True)
class LeastSquaresResult(Generic[Parameters]):
    """What ``levenberg_marquardt`` found.

    Attributes:
        parameters: The best parameters, in the form of those given.
        cost: Half the sum of squares there.
        residual: Residuals there, in the shape that the function returns.
        gradient_norm: Norm of the gradient of the cost where it was last computed: at ``parameters``, or one
            step before.
        status: The test that ended the run: ``"gradient"``, ``"step"``, ``"cost"``, ``"damping"`` (no step
            lowers the cost), ``"evaluations"``, or ``"jacobian"`` (it became infinite or NaN).
        evaluations: Number of evaluations of the residuals.
        jacobians: Number of Jacobians.
        damping: Last damping.
    """

    parameters: Parameters
    cost: float
    residual: Tensor
    gradient_norm: float
    status: str
    evaluations: int
    jacobians: int
    damping: float

    @property
    def converged(self) -> bool:
        """Whether a test on gradient, step or cost ended the run."""
        return self.status in ("gradient", "step", "cost")


def levenberg_marquardt(
    residual: Callable[..., Tensor],
    theta0: Parameters,
    *,
    samples: Sequence[Tensor] = (),
    damping: float | None = None,
    relative_damping: float = 1e-3,
    decrease: float = 1 / 3,
    increase: float = 2.0,
    solver: str = "cholesky",
    jacobian: str = "auto",
    memory: int = 2**28,
    gradient_tolerance: float = 1e-12,
    step_tolerance: float = 1e-12,
    cost_tolerance: float = 1e-12,
    max_evaluations: int | None = None,
) -> LeastSquaresResult[Parameters]:
    r"""Minimize :math:`\tfrac12 |r(\theta)|^2` by the method that ``LevenbergMarquardt`` describes.

    Args:
        residual: Function ``(parameters, *samples) -> residuals`` that ``torch.func`` can differentiate. With
            samples it returns (n, ...), the residuals of each, which depend on that sample alone.
        theta0: First parameters: a tensor, or tensors by name as ``torch.func.functional_call`` takes them.
            They are not changed.
        samples: Tensors with one entry for each sample in their first dimension. Their Jacobians are then
            computed in blocks of samples, in as many backward passes as a sample has residuals.
        damping: First lambda; by default a share of the largest diagonal entry of :math:`J^T J`.
        relative_damping: That share.
        decrease: Smallest factor of lambda after a step.
        increase: First factor of lambda after a rejection, and of that factor after each further one.
        solver: ``"cholesky"`` or ``"qr"``.
        jacobian: ``"auto"``, ``"reverse"`` or ``"forward"``.
        memory: Bytes that a block of the Jacobian may take.
        gradient_tolerance: Largest cosine between r and a column of J at a solution.
        step_tolerance: Shortest step, as a share of the parameters, worth taking.
        cost_tolerance: Smallest decrease of the cost, as a share, worth going on for.
        max_evaluations: Largest number of evaluations of the residuals; by default 100 (p + 1).

    Returns:
        The solution and how it was found.

    Raises:
        NonFiniteResidualError: If residuals or Jacobian are not finite at ``theta0``.
        TypeError: If parameters are not float32 or float64, or not alike.
        ValueError: If a setting is out of its range, or the residuals do not have the form described.

    Example:
        >>> import torch
        >>> from geomlearn.optim import levenberg_marquardt
        >>> def rosenbrock(x):
        ...     return torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])
        >>> result = levenberg_marquardt(rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64))
        >>> result.converged, [round(x, 12) for x in result.parameters.tolist()]
        (True, [1.0, 1.0])
    """
    options = Options(
        damping,
        relative_damping,
        decrease,
        increase,
        solver,
        jacobian,
        memory,
        gradient_tolerance,
        step_tolerance,
        cost_tolerance,
    )
    named = {"": theta0} if isinstance(theta0, Tensor) else dict(theta0)
    theta = flatten(list(named.values()))
    budget = 100 * (theta.numel() + 1) if max_evaluations is None else max_evaluations
    if budget < 2:
        raise ValueError(f"max_evaluations: expected at least 2, got {max_evaluations}")

    def shaped(theta: Tensor) -> Parameters:
        parts = unflatten(theta, named)
        return parts[""] if isinstance(theta0, Tensor) else parts

    problem = FunctionProblem(
        lambda theta, *rows: residual(shaped(theta), *rows), tuple(samples), options.jacobian, options.memory
    )
    progress = Progress()
    outcome = iterate(problem, theta, progress, options, budget=budget)
    while not progress.status:
        try:
            outcome = iterate(
                problem, outcome.theta, progress, options, residual=outcome.residual, budget=budget
            )
        except NonFiniteResidualError:
            progress.status = "jacobian"
    return LeastSquaresResult(
        shaped(outcome.theta),
        outcome.new_cost,
        outcome.residual if samples else outcome.residual.flatten(),
        outcome.gradient_norm,
        progress.status,
        progress.evaluations,
        progress.jacobians,
        progress.damping,
    )
