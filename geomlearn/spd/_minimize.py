"""Minimising a function of SPD matrices by momentum in normal coordinates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..optim import SPDRule, SPDState, spd_matrix, spd_start, spd_step
from ._arguments import float_tensor, rounding_of, spd_matrices
from ._descend import Limits, Seen, descend
from ._problems import SPDProblem


@dataclass(frozen=True)
class SPDResult:
    """What ``minimize_spd`` found: the matrix with the least value on the way.

    Attributes:
        matrix: tau, shape (n, n).
        factor: A with A A^T = tau, or tau^-1 if the rule says inverse, shape (n, n).
        value: The function there.
        values: The function at the start and after each iteration, float64, shape (iterations + 1,).
        gradient_norm: Affine-invariant norm of the gradient there, within the structure.
        iterations: Number of steps, those taken back included.
        status: ``"gradient"``: the gradient norm is within the tolerance; ``"iterations"``: their number was
            reached; ``"stalled"``: no step, however short, lowers the value, as happens at rounding error;
            ``"diverged"``: a value became infinite or NaN, which backtracking prevents.
    """

    matrix: Tensor
    factor: Tensor
    value: float
    values: Tensor
    gradient_norm: float
    iterations: int
    status: str

    @property
    def converged(self) -> bool:
        """Whether the gradient ended the run."""
        return self.status == "gradient"


def minimize_spd(
    problem: SPDProblem | Callable[[Tensor], Tensor],
    rule: SPDRule,
    start: Tensor | None = None,
    *,
    backtrack: bool = True,
    max_iterations: int = 1000,
    tolerance: float = 1e-8,
) -> SPDResult:
    """Minimise a function of an SPD matrix, within a structure if the rule has one.

    Args:
        problem: A problem with its gradient, or a function of tau (n, n) that ``torch.func`` can
            differentiate.
        rule: The method: set of matrices, rate, momentum, restart.
        start: SPD matrix that the structure can reach, shape (n, n); None means the identity in float64.
        backtrack: Whether a step is taken back, its momentum dropped and the rate halved, if it brings the
            value above all of the last ten; the rate grows back with good steps.
        max_iterations: Largest number of iterations.
        tolerance: Gradient norm that ends the run.

    Returns:
        The matrix and the path of the values.

    Raises:
        ValueError: If the start is not SPD, not of the structure, or the function is not finite there.
        TypeError: If the problem is neither a problem nor a function.

    Example:
        >>> import lie
        >>> from geomlearn.optim import SPDRule
        >>> from geomlearn.spd import LogDeterminant
        >>> problem = LogDeterminant.random(20, condition=10.0)
        >>> minimize_spd(problem, SPDRule(lie.SPD(20), lr=1.0, momentum=0.0)).converged
        True
    """
    if not isinstance(problem, SPDProblem) and not callable(problem):
        raise TypeError(f"problem: expected an SPDProblem or a function, got {type(problem).__name__}")
    n = rule.factor.n
    start = torch.eye(n, dtype=torch.float64) if start is None else float_tensor(start, "start")
    limits = Limits(backtrack, max_iterations, tolerance, rounding_of(start))
    limits.check()
    if start.shape != (n, n):
        raise ValueError(f"start: expected shape ({n}, {n}), got {tuple(start.shape)}")

    def see(state: SPDState) -> Seen[tuple[Tensor, Tensor]]:
        value, gradient = _evaluate(problem, rule, state)
        if value.shape != ():
            raise ValueError(f"problem: expected a number for a matrix, got shape {tuple(value.shape)}")
        slope = 0.5 * rule.factor.project(gradient, state.factor)
        norm = float(rule.factor.inner(slope, slope).sqrt())
        return Seen(float(value), norm, (value, gradient))

    def step(share: float, state: SPDState, seen: tuple[Tensor, Tensor]) -> SPDState:
        return spd_step(rule, state, share * seen[1], seen[0], by="frame")

    first = spd_start(rule, spd_matrices(start, n, "start"))
    if not torch.isfinite(torch.tensor(see(first).value)):
        raise ValueError("start: expected a finite value of the function there, got infinity or NaN")
    run = descend(first, see, step, at_rest, limits)
    return SPDResult(
        matrix=spd_matrix(rule, run.state),
        factor=run.state.factor,
        value=run.value,
        values=run.values,
        gradient_norm=run.norm,
        iterations=run.iterations,
        status=run.status,
    )


def at_rest(state: SPDState) -> SPDState:
    """Drop the momentum."""
    return state._replace(momentum=torch.zeros_like(state.momentum))


def _evaluate(
    problem: SPDProblem | Callable[[Tensor], Tensor], rule: SPDRule, state: SPDState
) -> tuple[Tensor, Tensor]:
    """Value, and the gradient by the factored matrix in the frame of its factor."""
    tau, A = spd_matrix(rule, state), state.factor
    if not isinstance(problem, SPDProblem):
        value = problem(tau)
        gradient = torch.func.grad(lambda x: problem(x).sum())(tau)
    elif rule.inverse:
        value, gradient = problem.value(tau), problem.gradient(tau)
    else:
        return problem.value(tau), problem.frame_gradient(A)
    if not rule.inverse:
        return value.detach(), A.mT @ gradient @ A
    half = torch.linalg.solve_ex(A, gradient)[0]  # by S = tau^-1 the gradient is -S^-1 g S^-1
    return value.detach(), -torch.linalg.solve_ex(A, half.mT)[0]
