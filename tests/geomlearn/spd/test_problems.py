"""Metric nearness and log-determinants: iterations of the method, rates that converge, structures."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import lie
from geomlearn.optim import SPDRule
from geomlearn.spd import LogDeterminant, MetricNearness, SPDProblem, minimize_spd

RATES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
METHODS: dict[str, dict[str, Any]] = {
    "exp": {"h": "exp"},
    "h2": {"h": "h2"},
    "h1": {"h": "h1"},
    "lower": {"structure": "lower"},
    "still": {"momentum": 0.0},
}


def iterations(problem: SPDProblem, lr: float, limit: int = 300, **options) -> int | None:
    """Iterations to a millionth of the first gap."""
    structure, h = options.pop("structure", "full"), options.pop("h", "h2")
    bound = options.pop("step_bound", None)
    settings: dict[str, Any] = {"momentum": 0.9, "step_bound": 0.99 if h == "h1" else bound, **options}
    rule = SPDRule(lie.SPD(problem.n, structure=structure), lr=lr, h=h, **settings)
    run = minimize_spd(problem, rule, backtrack=False, max_iterations=limit, tolerance=0)
    gap = run.values - problem.minimum
    near = (gap <= 1e-6 * gap[0]).nonzero()
    return int(near[0]) if len(near) else None


def drawn(kind: type[MetricNearness] | type[LogDeterminant], n: int, condition: float) -> SPDProblem:
    return kind.random(n, condition, torch.Generator().manual_seed(0))


def best(problem: SPDProblem, **options) -> int:
    counts = [iterations(problem, lr, **dict(options)) for lr in RATES]
    return min(count for count in counts if count is not None)


@pytest.mark.parametrize(
    ("n", "method", "expected"),
    [
        (20, "exp", 142),
        (20, "h2", 142),
        (20, "h1", 142),
        (20, "lower", 141),
        (20, "still", 34),
        (60, "exp", 138),
        (60, "h2", 138),
        (60, "h1", 138),
        (60, "lower", 140),
        (60, "still", 38),
    ],
)
def test_iterations_for_nearness(n: int, method: str, expected: int) -> None:
    assert best(drawn(MetricNearness, n, 10), **METHODS[method]) == expected


@pytest.mark.parametrize(
    ("n", "condition", "method", "expected"),
    [
        (20, 10, "exp", 93),
        (20, 10, "h2", 93),
        (20, 10, "h1", 97),
        (20, 10, "lower", 112),
        (20, 10, "still", 4),
        (60, 10, "h2", 93),
        (60, 10, "exp", 93),
        (60, 10, "lower", 112),
        (60, 10, "still", 4),
        (60, 1000, "exp", 132),
        (60, 1000, "h2", 133),
        (60, 1000, "lower", 145),
        (60, 1000, "still", 78),
    ],
)
def test_iterations_for_log_determinants(n: int, condition: int, method: str, expected: int) -> None:
    assert best(drawn(LogDeterminant, n, condition), **METHODS[method]) == expected


def test_nearness_of_condition_1000_is_hard_for_first_order_steps() -> None:
    problem = drawn(MetricNearness, 20, 1000)
    assert all(iterations(problem, lr, limit=1000) is None for lr in (0.01, 0.003))


def test_with_the_bound_every_rate_converges() -> None:
    problem = drawn(LogDeterminant, 60, 1000)
    counts = [iterations(problem, lr, step_bound=0.5) for lr in RATES]
    assert all(count is not None and 120 <= count <= 216 for count in counts)
    assert iterations(problem, 0.3) is None  # without


def test_restarts_need_a_third_of_the_iterations() -> None:
    problem = drawn(LogDeterminant, 60, 1000)
    plain = best(problem, step_bound=0.5)
    assert best(problem, step_bound=0.5, restart="gradient") < plain / 3
    assert best(problem, step_bound=0.5, restart="function") < plain / 3


@pytest.mark.parametrize("kind", [MetricNearness, LogDeterminant])
def test_gradients_are_those_of_autograd(kind: type[MetricNearness] | type[LogDeterminant]) -> None:
    problem = drawn(kind, 5, 10)
    A = lie.structured_factor("full", 5).random(3, generator=torch.Generator().manual_seed(1)).double()
    tau = A @ A.mT
    gradient = torch.func.grad(lambda x: problem.value(x).sum())(tau)
    torch.testing.assert_close(problem.gradient(tau), 0.5 * (gradient + gradient.mT))
    torch.testing.assert_close(problem.frame_gradient(A), A.mT @ problem.gradient(tau) @ A)
    assert problem.value(problem.minimiser).item() == pytest.approx(problem.minimum, abs=1e-12)
    assert problem.gradient(problem.minimiser).abs().max() < 1e-12


@pytest.mark.parametrize("inverse", [False, True], ids=["matrix", "inverse"])
def test_functions_are_differentiated_and_give_the_same_path(inverse: bool) -> None:
    problem = drawn(LogDeterminant, 6, 10)
    rule = SPDRule(lie.SPD(6), lr=0.5, momentum=0.5, inverse=inverse)
    known, traced = (minimize_spd(f, rule) for f in (problem, lambda tau: problem.value(tau)))
    assert known.status == traced.status == "gradient"
    torch.testing.assert_close(known.values, traced.values)
    torch.testing.assert_close(known.matrix, problem.minimiser)


def test_backtracking_saves_a_rate_that_diverges() -> None:
    problem = drawn(LogDeterminant, 20, 1000)
    rule = SPDRule(lie.SPD(20), lr=30.0, momentum=0.9, step_bound=None)
    assert minimize_spd(problem, rule, backtrack=False).status == "diverged"
    assert minimize_spd(problem, rule).converged


def test_a_function_that_cannot_fall_stalls() -> None:
    rule = SPDRule(lie.SPD(2), lr=1.0)
    ended = minimize_spd(lambda tau: torch.where(tau[0, 0] == 1, tau[0, 0], 2 + tau[0, 0]), rule)
    assert ended.status == "stalled"
    torch.testing.assert_close(ended.matrix, torch.eye(2).double())


def test_bad_input_is_named() -> None:
    rule = SPDRule(lie.SPD(2), lr=1.0)
    problem = LogDeterminant(torch.eye(2).double())
    indefinite = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="start: expected positive definite"):
        minimize_spd(problem, rule, indefinite)
    with pytest.raises(ValueError, match=r"start: expected finite numbers, got nan at \[0, 1\]"):
        minimize_spd(problem, rule, torch.tensor([[1.0, torch.nan], [0.0, 1.0]]))
    with pytest.raises(ValueError, match=r"start: expected shape \(2, 2\)"):
        minimize_spd(problem, rule, torch.eye(3))
    with pytest.raises(ValueError, match="start: expected symmetric"):
        minimize_spd(problem, rule, torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="start: expected a finite value"):
        minimize_spd(lambda tau: tau[0, 0] * torch.inf, rule)
    with pytest.raises(ValueError, match="problem: expected a number"):
        minimize_spd(lambda tau: tau, rule)
    with pytest.raises(TypeError, match="problem: expected an SPDProblem or a function"):
        minimize_spd(3, rule)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_iterations"):
        minimize_spd(problem, rule, max_iterations=-1)
    with pytest.raises(ValueError, match="tolerance"):
        minimize_spd(problem, rule, tolerance=float("nan"))
    with pytest.raises(ValueError, match="Q: expected positive definite"):
        LogDeterminant(indefinite)
    with pytest.raises(ValueError, match="samples: expected shape"):
        MetricNearness(torch.eye(2), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="condition"):
        LogDeterminant.random(3, 0.5)
