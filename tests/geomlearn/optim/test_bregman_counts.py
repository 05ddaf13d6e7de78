"""Iterations that the Bregman methods need, beside an independent implementation in momenta and NumPy.

A count is the first k with f(q_k) − f* ≤ 1e-8 there and at the next nine. Starts moved by 1e-10 change none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from geomlearn.optim import BrAVO, BregmanHTVI, BregmanRule, BregmanSLC, bregman_sweep, iterations_to

from ._problems import Problem, problem

EXPONENTIAL = BregmanRule(h=4.0, C=1.0)
POLYNOMIAL = BregmanRule(h=0.01, C=0.1, family="polynomial", order=6.0)


def sweep(case: Problem, rule: BregmanRule, steps: int, C: Any, h: Any) -> Tensor:
    C, h = (torch.as_tensor(x, dtype=torch.float64) for x in (C, h))
    return iterations_to(bregman_sweep(case.function, case.start, rule, steps, C=C, h=h), case.least)


def iterate(
    case: Problem, steps: int, make: Any = BregmanSLC, **options: Any
) -> tuple[Tensor, torch.optim.Optimizer]:
    """Values along a run of the optimizer."""
    x = case.start.clone().requires_grad_()
    optimizer = make([x], **options)
    values = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = case.function(x)
        value.backward()
        return value

    for _ in range(steps):
        values.append(optimizer.step(closure).detach())
    return torch.stack(values), optimizer


@pytest.mark.parametrize(
    ("name", "wide", "narrow"),
    [("P1", 92, 67), ("P2", 73, 63), ("P4", 250, 341), ("P5", 170, 102), ("P8", 19, 16)],
)
def test_counts_of_the_exponential_family(name: str, wide: int, narrow: int) -> None:
    counts = sweep(problem(name), EXPONENTIAL, max(wide, narrow) + 12, C=[1.0, 0.1], h=[4.0, 10.0])
    assert abs(int(counts[0]) - wide) <= 1
    assert abs(int(counts[1]) - narrow) <= 1


@pytest.mark.parametrize(
    ("name", "count"),
    [("P1", 241), ("P2", 147), ("P4", 724), ("P5", 532), ("P6", 705), ("P7", 1197), ("P8", 42)],
)
def test_counts_of_the_polynomial_family(name: str, count: int) -> None:
    case = problem(name)
    values, _ = iterate(case, count + 12, family="polynomial")
    assert abs(int(iterations_to(values, case.least)) - count) <= 1


@pytest.mark.parametrize(
    ("name", "family", "C", "h", "count"),
    [
        ("P3", "exponential", 1e-3, 25.0, 62),
        ("P3", "exponential", 3e-4, 40.0, 45),
        ("P7", "exponential", 3000.0, 0.05, 286),
        ("P4", "exponential", 3.0, 5.0, 213),
        ("P6", "polynomial", 10.0, 0.0026, 192),
        ("P4", "polynomial", 30.0, 0.012, 230),
        ("P5", "polynomial", 100.0, 0.036, 33),
    ],
)
def test_counts_at_further_settings(name: str, family: str, C: float, h: float, count: int) -> None:
    case = problem(name)
    values, _ = iterate(case, count + 12, family=family, C=C, lr=h)
    assert abs(int(iterations_to(values, case.least)) - count) <= 1


def test_counts_without_looping() -> None:
    case = problem("P4")
    values, optimizer = iterate(case, 610, family="polynomial", C=10.0, lr=0.002, temporal_looping=False)
    assert abs(int(iterations_to(values, case.least)) - 596) <= 1
    assert optimizer.param_groups[0]["loops"] == 0


H = {"exponential": (-2.0, 2.4), "polynomial": (-3.4, 0.2)}
"""Decades between which h is searched; C is searched between 1e-4 and 1e4."""


def grid(family: str, coarse: bool) -> tuple[Tensor, Tensor]:
    """765 pairs (C, h), or 207."""
    return (
        torch.logspace(-4, 4, 9 if coarse else 17, dtype=torch.float64),
        torch.logspace(*H[family], 23 if coarse else 45, dtype=torch.float64),
    )


BEST: list[tuple[str, dict[str, Any], dict[str, tuple[int, int, int]]]] = [
    (
        "exponential",
        {},
        {
            "P1": (20, 16, 17),
            "P2": (12, 12, 27),
            "P3": (42, 1, 36),
            "P4": (203, 9, 27),
            "P5": (45, 4, 17),
            "P6": (270, 6, 7),
            "P7": (261, 15, 7),
        },
    ),
    (
        "exponential",
        {"temporal_looping": False},
        {
            "P1": (20, 16, 17),
            "P2": (12, 12, 27),
            "P3": (56, 0, 35),
            "P4": (212, 16, 14),
            "P5": (54, 7, 12),
            "P6": (238, 8, 2),
            "P7": (262, 15, 7),
        },
    ),
    ("exponential", {"restart": None, "temporal_looping": False}, {"P1": (6, 15, 23), "P3": (68, 1, 34)}),
    (
        "polynomial",
        {},
        {
            "P1": (7, 8, 32),
            "P2": (12, 0, 41),
            "P3": (507, 2, 25),
            "P4": (177, 11, 18),
            "P5": (30, 6, 12),
            "P6": (115, 5, 5),
            "P7": (256, 10, 8),
        },
    ),
    (
        "polynomial",
        {"temporal_looping": False},
        {
            "P1": (17, 16, 4),
            "P2": (16, 14, 9),
            "P3": (110, 0, 32),
            "P4": (208, 16, 1),
            "P5": (30, 8, 5),
            "P6": (234, 5, 3),
            "P7": (341, 10, 5),
        },
    ),
    (
        "exponential",
        {"restart": "function", "temporal_looping": False},
        {
            "P1": (55, 15, 18),
            "P2": (53, 11, 23),
            "P3": (56, 0, 35),
            "P4": (434, 12, 18),
            "P5": (98, 7, 11),
            "P7": (430, 13, 10),
        },
    ),
    (
        "exponential",
        {"restart": "speed", "temporal_looping": False},
        {
            "P1": (5, 16, 21),
            "P2": (47, 9, 26),
            "P3": (68, 1, 34),
            "P4": (643, 13, 17),
            "P5": (128, 8, 9),
            "P7": (748, 16, 1),
        },
    ),
    ("polynomial", {"make": BregmanHTVI, "restart": None}, {"P1": (4, 15, 11), "P3": (233, 0, 28)}),
    (
        "exponential",
        {"temporal_looping": "continuous"},
        {"P4": (208, 4, 14), "P7": (287, 6, 7), "P6": (270, 6, 7), "P2": (15, 8, 8)},
    ),
    (
        "polynomial",
        {"temporal_looping": "continuous"},
        {"P4": (188, 6, 8), "P7": (283, 6, 3), "P6": (115, 5, 5), "P2": (15, 4, 16)},
    ),
    (
        "exponential",
        {"restart": None, "temporal_looping": "continuous"},
        {"P4": (165, 4, 16), "P7": (545, 3, 14), "P6": (473, 4, 13)},
    ),
    (
        "polynomial",
        {"restart": None, "temporal_looping": "continuous"},
        {"P4": (176, 6, 10), "P7": (484, 5, 7), "P6": (401, 1, 11), "P2": (21, 4, 16)},
    ),
    (
        "exponential",
        {"make": BrAVO},
        {"P4": (475, 4, 14), "P6": (588, 5, 8), "P7": (552, 7, 3), "P2": (91, 0, 20)},
    ),
    (
        "polynomial",
        {"make": BrAVO},
        {"P4": (357, 6, 9), "P6": (414, 6, 2), "P7": (597, 2, 8), "P2": (55, 3, 14)},
    ),
]
"""Least counts over a grid, and the indices of C and h where they are reached."""


def _is_coarse(name: str, options: dict[str, Any]) -> bool:
    continuous = options.get("temporal_looping") == "continuous"
    return name in ("P5", "P6") or continuous or options.get("make") is BrAVO


def reached(name: str, family: str, options: dict[str, Any], count: int, i: int, j: int) -> int:
    """Count at one pair of a grid."""
    C, h = grid(family, _is_coarse(name, options))
    case = problem(name)
    values, _ = iterate(case, count + 12, family=family, C=float(C[i]), lr=float(h[j]), **options)
    return int(iterations_to(values, case.least))


@pytest.mark.parametrize(
    ("name", "family", "options", "best"),
    [
        pytest.param(name, family, options, best, id=f"{name}-{family}-{row}")
        for row, (family, options, counts) in enumerate(BEST)
        for name, best in counts.items()
    ],
)
def test_best_counts_are_reached(
    name: str, family: str, options: dict[str, Any], best: tuple[int, int, int]
) -> None:
    assert abs(reached(name, family, options, *best) - best[0]) <= 1


def least_count(name: str, family: str, steps: int, coarse: bool = False, **options: Any) -> int:
    """Least count over a grid of pairs (C, h); a large number where no pair converges."""
    order = 0.01 if family == "exponential" else 6.0
    rule = BregmanRule(1.0, 1.0, family=family, order=order, **options)  # type: ignore[arg-type]
    C, h = grid(family, coarse)
    counts = sweep(problem(name), rule, steps, C[:, None], h)
    return int(torch.where(counts < 0, 10**9, counts).min())


@pytest.mark.parametrize(
    ("name", "family", "options", "count"),
    [
        ("P1", "polynomial", {}, 7),
        ("P2", "exponential", {}, 12),
        ("P3", "exponential", {}, 42),
        ("P4", "polynomial", {}, 177),
        ("P2", "exponential", {"temporal_looping": False, "restart": "speed"}, 47),
    ],
)
def test_no_pair_of_the_grid_needs_fewer(name: str, family: str, options: dict[str, Any], count: int) -> None:
    assert abs(least_count(name, family, count + 12, **options) - count) <= 1


def test_published_looping_without_restarts_converges_nowhere() -> None:
    for family in H:
        assert least_count("P4", family, 600, coarse=True, restart=None) == 10**9


@pytest.mark.slow
def test_these_settings_do_not_converge_in_four_thousand_iterations() -> None:
    for name in ("P6", "P7"):
        counts = sweep(problem(name), EXPONENTIAL, 4000, C=[1.0, 0.1], h=[4.0, 10.0])
        assert counts.tolist() == [-1, -1]


def nesterov(case: Problem, steps: int) -> int:
    """Least count of Nesterov's method with gradient restarts over its step (O'Donoghue, Candès 2012)."""
    s = torch.logspace(-9, 1, 161, dtype=torch.float64)[:, None]
    slope = torch.func.vmap(torch.func.grad(case.function))
    y = x = case.start.expand(len(s), -1)
    k, values = torch.zeros_like(s), [torch.func.vmap(case.function)(x)]
    for _ in range(steps):
        g = slope(y)
        moved = y - s * g
        uphill = (g * (moved - x)).sum(-1, keepdim=True) > 0
        k = torch.where(uphill, 0, k + 1)
        x, y = moved, moved + k / (k + 3) * (moved - x)
        values.append(torch.func.vmap(case.function)(x))
    counts = iterations_to(torch.stack(values), case.least)
    return int(torch.where(counts < 0, 10**9, counts).min())


@pytest.mark.parametrize(("name", "count"), [("P4", 258), ("P5", 33), ("P6", 271), ("P7", 349)])
def test_restarted_nesterov_needs_more_iterations(name: str, count: int) -> None:
    theirs = nesterov(problem(name), count + 30)
    assert theirs == pytest.approx(count, rel=0.05)  # variants of the momentum differ by as much
    best = min(counts[name][0] for family, options, counts in BEST if not options)
    assert best < theirs


def test_the_stopping_rule_of_the_published_scripts() -> None:
    # P2 polynomial (0.1, 0.25) and P1 exponential (1, 10) with β = 0.6, in MATLAB and Julia, at 1e-10
    for name, count, options in (
        ("P2", 29, {"family": "polynomial", "C": 0.1, "lr": 0.25}),
        ("P1", 66, {"C": 1.0, "lr": 10.0, "beta": 0.6}),
    ):
        case = problem(name)
        x = case.start.clone().requires_grad_()
        optimizer = BregmanSLC([x], **options)
        last = float("inf")
        steps = 0
        while True:
            optimizer.zero_grad()
            value = case.function(x)
            value.backward()
            assert x.grad is not None
            stops = abs(float(value.detach()) - last) <= 1e-10 and float(x.grad.norm()) <= 1e-10
            last = float(value.detach())
            if stops or steps > count:
                break
            optimizer.step()
            steps += 1
        assert steps == count


@pytest.mark.parametrize(
    ("family", "C", "h", "count"), [("exponential", 1.0, 25.0, 47), ("polynomial", 0.1, 0.3, 61)]
)
def test_the_settings_of_the_python_script_need_its_half_kicks(
    family: str, C: float, h: float, count: int
) -> None:
    def script(kick: float, most: int) -> tuple[int, np.ndarray]:
        """Iterations of the script on P1 in momenta, with its tolerances."""
        w = 0.01 if family == "exponential" else 6.0

        def b(t: float) -> float:
            return C * w * (np.exp(2 * w * t) if family == "exponential" else t ** (2 * w - 1))

        def slope(x: np.ndarray) -> np.ndarray:
            return np.array([1 - 1 / x[0], 2 * x[1] - 1 / x[1]])

        def value(x: np.ndarray) -> float:
            return float(x[0] + x[1] ** 2 - np.log(abs(x[0] * x[1])))

        x, t = np.array([5.0, 5.0]), 1.0
        r, last = -0.5 * h * b(t) * slope(x), value(x)
        for k in range(1, most + 1):
            m = t + h / 2
            delta = h * w * (np.exp(-w * m) if family == "exponential" else m ** (-w - 1)) * r
            x = x + delta
            g, now = slope(x), value(x)
            if g @ delta > 0:
                r = 0 * r
            gg, dd = np.linalg.norm(g), np.linalg.norm(delta)
            if family == "exponential":
                loops = C * h**2 * w**2 * np.exp(w * (t - h)) * gg > dd
            else:
                loops = C * h**2 * w**2 * (t + h) ** (w + 1) * gg > t * dd
            t = (max(1e-3, 0.8 * t) if loops else t) + h
            r = r - kick * h * b(t) * g
            if abs(now - last) <= 1e-8 and gg <= 1e-8:
                return k, x
            last = now
        return -1, x

    iterations, end = script(0.5, 200)
    assert abs(iterations - count) <= 1
    np.testing.assert_allclose(np.abs(end), [1, 0.5**0.5], atol=1e-7)
    assert script(1.0, 20_000)[0] == -1


@pytest.mark.parametrize(
    ("name", "restart", "C", "h", "count"),
    [
        ("P1", None, 4.0, -5.5, 6),
        ("P3", None, -4.0, -4.1, 63),
        ("P1", "gradient", 2.0, -4.73, 7),
        ("P2", "gradient", 3.0, -5.3, 11),
        ("P3", "gradient", -3.5, -4.05, 56),
        ("P4", "gradient", 3.5, -6.0, 293),
        ("P5", "gradient", 4.0, -5.4, 34),
        ("P6", "gradient", 1.5, -5.95, 326),
        ("P7", "gradient", 1.5, -6.0, 342),
    ],
)
def test_adaptive_taylor_integrators(name: str, restart: str | None, C: float, h: float, count: int) -> None:
    case = problem(name)
    options = {"family": "polynomial", "adaptive": 0.01, "restart": restart, "C": 10**C, "lr": 10**h}
    values, _ = iterate(case, count + 12, BregmanHTVI, **options)
    assert 0 < int(iterations_to(values, case.least)) <= count
