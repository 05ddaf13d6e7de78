"""The discretized flows: order, symplecticity, certificates, invariances, stability."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from geomlearn.optim import (
    BrAVO,
    BregmanRule,
    BregmanSLC,
    BregmanState,
    PhasePoint,
    bregman_hamiltonian,
    bregman_leapfrog,
    bregman_rest,
    bregman_start,
    bregman_step,
    bregman_sweep,
)

RULES = {
    "exponential": BregmanRule(4.0, 1.0),
    "polynomial": BregmanRule(0.01, 0.1, "polynomial", 6.0),
}
LAMBDA = torch.logspace(0, 2, 10, dtype=torch.float64)
ARC = torch.tensor([0.7, -1.1, 0.4], dtype=torch.float64)
S = torch.tensor([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 0.5]], dtype=torch.float64)


def wavy(q: Tensor) -> Tensor:
    """A quadratic and a cosine."""
    return 0.5 * q @ S @ q + torch.cos(q.sum())


def bowl(q: Tensor) -> Tensor:
    return 0.5 * (LAMBDA.to(q.dtype) * q * q).sum()


def run(
    rule: BregmanRule, function: Callable[[Tensor], Tensor], start: Tensor, steps: int
) -> tuple[list[Tensor], BregmanState]:
    state = bregman_start(start)
    positions = [start]
    slope = torch.func.grad_and_value(function)
    for _ in range(steps):
        state = bregman_step(rule, state, *slope(state.position))
        positions.append(state.position)
    return positions, state


def coefficients(rule: BregmanRule, t: Any) -> tuple[Any, Any]:
    """a and b of the Hamiltonian ½ a ‖r‖² + b f."""
    w, C = rule.order, rule.C
    if rule.family == "exponential":
        return w * np.exp(-w * t), C * w * np.exp(2 * w * t)
    return w * t ** (-w - 1), C * w * t ** (2 * w - 1)


@pytest.mark.parametrize(("scheme", "order"), [("slc", 2), ("bravo", 1), ("htvi", 1)])
@pytest.mark.parametrize(
    ("family", "w"), [("exponential", 0.5), ("polynomial", 2.0), ("polynomial", 3.0)], ids=str
)
def test_order_of_convergence_to_the_flow(family: Any, w: float, scheme: Any, order: int) -> None:
    free = BregmanRule(1.0, 0.5, family, w, restart=None, temporal_looping=False, scheme=scheme)

    def field(t: float, z: Any) -> Any:
        a, b = coefficients(free, t)
        return np.r_[a * z[3:], -b * torch.func.grad(wavy)(torch.from_numpy(z[:3].copy())).numpy()]

    exact = solve_ivp(field, (1, 2), np.r_[ARC, 0, 0, 0], method="DOP853", rtol=1e-12, atol=1e-13).y[:3, -1]
    errors = []
    for n in (64, 128):
        positions, _ = run(replace(free, h=1 / n), wavy, ARC, n)
        errors.append(float(np.linalg.norm(positions[-1].numpy() - exact)))
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.05)


@pytest.mark.parametrize("scheme", ["slc", "bravo", "htvi"])
@pytest.mark.parametrize("family", RULES)
def test_a_step_without_tests_is_symplectic_in_momenta(family: str, scheme: Any) -> None:
    rule = replace(RULES[family], h=0.2, restart=None, temporal_looping=False, scheme=scheme)
    _, state = run(rule, wavy, ARC, 3)

    def step(z: Tensor) -> Tensor:
        before, _ = coefficients(rule, float(state.clock.drifted))
        new = bregman_step(
            rule, state._replace(position=z[:3], velocity=before * z[3:]), torch.func.grad(wavy)(z[:3])
        )
        after, _ = coefficients(rule, float(new.clock.drifted))
        return torch.cat([new.position, new.velocity / after])

    before, _ = coefficients(rule, float(state.clock.drifted))
    J = torch.func.jacrev(step)(torch.cat([state.position, state.velocity / before]))
    eye, zero = torch.eye(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    omega = torch.cat([torch.cat([zero, eye], 1), torch.cat([-eye, zero], 1)])
    assert (J.T @ omega @ J - omega).norm() <= 1e-13 * J.norm() ** 2


EXTENDED = {
    "exponential": BregmanRule(0.1, 0.5, "exponential", 0.5),
    "polynomial-3": BregmanRule(0.1, 0.5, "polynomial", 3.0),
    "polynomial-6": BregmanRule(0.1, 0.05, "polynomial", 6.0),
}


def extended_run(rule: BregmanRule, time: float, steps: int) -> list[PhasePoint]:
    """Points of the leapfrog map over a time, from rest."""
    stepped = replace(rule, h=time / steps)
    points = [bregman_rest(stepped, wavy, ARC)]
    for _ in range(steps):
        points.append(bregman_leapfrog(stepped, wavy, points[-1]))
    return points


@pytest.mark.parametrize("rule", EXTENDED.values(), ids=EXTENDED)
def test_the_extended_map_is_symplectic_and_reversible(rule: BregmanRule) -> None:
    point = extended_run(rule, 0.5, 5)[-1]

    def flat(z: Tensor) -> Tensor:
        start = PhasePoint(z[:3], z[3], z[4:7], z[7])
        q, t, r, rt = bregman_leapfrog(rule, wavy, start)
        return torch.cat([q, t[None], r, rt[None]])

    z = torch.cat([point.position, point.time[None], point.momentum, point.time_momentum[None]])
    J = torch.func.jacfwd(flat)(z)
    eye, zero = torch.eye(4, dtype=torch.float64), torch.zeros(4, 4, dtype=torch.float64)
    omega = torch.cat([torch.cat([zero, eye], 1), torch.cat([-eye, zero], 1)])
    assert (J.T @ omega @ J - omega).norm() <= 1e-14 * J.norm() ** 2
    back = bregman_leapfrog(replace(rule, h=-rule.h), wavy, bregman_leapfrog(rule, wavy, point))
    for mine, start in zip(back, point):
        torch.testing.assert_close(mine, start, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("rule", EXTENDED.values(), ids=EXTENDED)
def test_errors_of_the_extended_map_fall_with_the_square_of_the_step(rule: BregmanRule) -> None:
    runs = [extended_run(rule, 1.0, n) for n in (32, 64, 128)]
    coarse, middle, fine = (points[-1] for points in runs)
    for part in (0, 2, 3):  # the clock is exact
        ratio = float((coarse[part] - middle[part]).norm() / (middle[part] - fine[part]).norm())
        assert ratio == pytest.approx(4.0, rel=0.05)
    drifts = [max(float(bregman_hamiltonian(rule, wavy, point).abs()) for point in points) for points in runs]
    assert drifts[1] / drifts[2] == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("family", RULES)
def test_the_optimizer_iterates_the_extended_map(family: str) -> None:
    rule = replace(RULES[family], restart=None, temporal_looping=False)
    positions, _ = run(rule, wavy, ARC, 12)
    point = bregman_rest(rule, wavy, ARC)
    for position in positions[1:]:
        point = bregman_leapfrog(rule, wavy, point)
        torch.testing.assert_close(point.position, position, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("family", RULES)
def test_a_restarted_step_is_one_of_gradient_descent(family: str) -> None:
    rule, slope = RULES[family], torch.func.grad_and_value(bowl)
    state = bregman_start(torch.full((10,), 3.0, dtype=torch.float64))
    seen = 0
    for _ in range(200):
        gradient, value = slope(state.position)
        new = bregman_step(rule, state, gradient, value)
        if int(new.clock.steps) == 1 or int(new.clock.restarts) > int(state.clock.restarts):
            half = 0.5 if int(new.clock.steps) == 1 else 1.0
            size = half * float(rule.h) * float(rule.kick(float(new.clock.time)))
            torch.testing.assert_close(new.position, state.position - size * gradient, rtol=1e-14, atol=0)
            seen += 1
        state = new
    assert seen > 5


def test_constant_momentum_is_heavy_ball() -> None:
    """With C e^{−ηt} for C the step stays, and the method is torch's SGD with momentum e^{−ηh}."""
    x, y = (torch.linspace(-1, 1, 10, dtype=torch.float64).requires_grad_() for _ in range(2))
    ours = BregmanSLC([x], lr=10.0, C=1.0, restart=None, temporal_looping=False)
    group = ours.param_groups[0]
    step = 100 * 0.01**2 * np.exp(0.01 * (1 - 5))
    theirs = torch.optim.SGD([y], lr=step, momentum=np.exp(-0.1))
    for k in range(30):
        x.grad, y.grad = LAMBDA * x.detach(), LAMBDA * y.detach() * (0.5 if k == 0 else 1)
        group["C"] = float(np.exp(-0.01 * 10 * k))
        ours.step()
        theirs.step()
        torch.testing.assert_close(x, y, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("p", [2.0, 4.0])
def test_certificate_of_the_polynomial_family(p: float) -> None:
    h, C = 2e-3, 0.1
    rule = BregmanRule(h, C, "polynomial", p, restart=None, temporal_looping=False)
    values, q = [], torch.full((10,), 0.3, dtype=torch.float64)
    state = bregman_start(q)
    for _ in range(500):
        old = state
        state = bregman_step(rule, state, LAMBDA * state.position)
        middle = 0.5 * (old.position + state.position)
        t = float(state.clock.drifted)
        values.append(float(0.5 * (middle + t / p * state.velocity).square().sum() + C * t**p * bowl(middle)))
        assert float(t**p * bowl(middle)) <= (0.5 * float(q.square().sum()) + C * float(bowl(q))) / C * 1.001
    assert (np.diff(values[1:]) < 0).all()


@pytest.mark.parametrize("family", RULES)
def test_displacements_follow_the_equations_in_momenta(family: str) -> None:
    """Restarts, loops and momenta as published, in NumPy."""
    rule = RULES[family]
    h, beta, n = float(rule.h), float(rule.beta), 250
    lam, q, t = LAMBDA.numpy(), np.full(10, 3.0), 1.0
    r = -0.5 * h * coefficients(rule, t)[1] * lam * q
    path, restarts, loops = [q], 0, 0
    for _ in range(n):
        delta = h * coefficients(rule, t + h / 2)[0] * r
        q = q + delta
        path.append(q)
        G = lam * q
        if G @ delta > 0:
            r, restarts = 0 * r, restarts + 1
        w = rule.order
        side = (
            h**2 * w**2 * np.exp(w * (t - h)) * np.linalg.norm(G) > np.linalg.norm(delta)
            if family == "exponential"
            else 0.1 * h**2 * w**2 * (t + h) ** (w + 1) * np.linalg.norm(G) > t * np.linalg.norm(delta)
        )
        if side:
            t, loops = max(1e-3, beta * t), loops + 1
        t += h
        r = r - h * coefficients(rule, t)[1] * G
    positions, state = run(rule, bowl, torch.full((10,), 3.0, dtype=torch.float64), n + 1)
    for mine, theirs in zip(positions, path):
        np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-12)
    assert (int(state.clock.restarts), int(state.clock.loops)) == (restarts, loops)
    assert restarts > 3
    assert loops > 3


@pytest.mark.parametrize("family", RULES)
@pytest.mark.parametrize("scheme", ["slc", "bravo"])
def test_invariances(family: str, scheme: Any) -> None:
    rule = replace(RULES[family], scheme=scheme)
    start = torch.linspace(1, 3, 10, dtype=torch.float64)
    reference = run(rule, bowl, start, 60)[0][-1]

    def end(changed: BregmanRule, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return run(changed, function, x, 60)[0][-1]

    close: Any = {"rtol": 1e-8, "atol": 1e-10}
    Q = torch.linalg.qr(torch.sin(torch.arange(100.0, dtype=torch.float64)).reshape(10, 10)).Q
    turned = end(rule, lambda x: bowl(Q.T @ (x - 1)), Q @ start + 1)
    torch.testing.assert_close(turned, Q @ reference + 1, **close)
    torch.testing.assert_close(end(rule, lambda x: bowl(x) + 7, start), reference, rtol=0, atol=0)
    scaled = end(replace(rule, C=rule.C / 8), lambda x: 8 * bowl(x), start)
    torch.testing.assert_close(scaled, reference, **close)
    stretched = end(replace(rule, C=rule.C / 4), lambda x: bowl(2 * x), start / 2)
    torch.testing.assert_close(stretched, reference / 2, **close)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(
    ("family", "C", "h"),
    [
        ("exponential", 1.0, 4.0),
        ("exponential", 0.1, 10.0),
        ("polynomial", 0.1, 0.01),
        ("polynomial", 0.1, 0.02),
    ],
)
def test_looping_prevents_the_blow_up(family: Any, C: float, h: float, dtype: torch.dtype) -> None:
    def descend(looping: bool, steps: int) -> tuple[float, BregmanSLC]:
        x = torch.full((10,), 3.0, dtype=dtype, requires_grad=True)
        optimizer = BregmanSLC([x], lr=h, C=C, family=family, temporal_looping=looping)
        eigenvalues = LAMBDA.to(dtype)
        try:
            for _ in range(steps):
                x.grad = eigenvalues * x.detach()
                optimizer.step()
        except RuntimeError as error:
            assert "infinite or NaN" in str(error)  # noqa: PT017
            return float("inf"), optimizer
        return float(bowl(x.detach())), optimizer

    assert descend(True, 5000)[0] <= (1e-150 if dtype == torch.float64 else 1e-41)
    end, stopped = descend(False, 5000)
    assert end == float("inf")
    assert 59 <= stopped.param_groups[0]["steps"] <= 404


def test_a_sweep_differentiates_and_counts() -> None:
    values = bregman_sweep(
        bowl, torch.ones(10, dtype=torch.float64), RULES["exponential"], 5, h=torch.ones(2, 3)
    )
    assert values.shape == (6, 2, 3)

    def last(C: Tensor) -> Tensor:
        rule = replace(RULES["exponential"], C=C)
        return bowl(run(rule, bowl, torch.ones(10, dtype=torch.float64), 20)[0][-1])

    C, step = torch.tensor(1.0, dtype=torch.float64), 1e-6
    slope = torch.func.grad(last)(C)
    torch.testing.assert_close(slope, (last(C + step) - last(C - step)) / (2 * step), rtol=1e-6, atol=0)
    torch.testing.assert_close(torch.func.jacfwd(last)(C), slope)


@pytest.mark.parametrize("family", RULES)
@pytest.mark.parametrize("make", [BregmanSLC, BrAVO])
def test_step_and_momentum_are_those_of_the_first_steps(family: Any, make: type[BregmanSLC]) -> None:
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = make.from_step_and_momentum(
        [x], 0.02, 0.9, family=family, restart=None, temporal_looping=False
    )
    x.grad = torch.ones_like(x)
    optimizer.step()
    first = x.item()
    assert first == pytest.approx(-0.02 if make is BrAVO else -0.01, rel=1e-12)
    x.grad = torch.zeros_like(x)
    optimizer.step()
    assert (x.item() - first) / first == pytest.approx(0.9, rel=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 1.0, 1e-5])
def test_momentum_out_of_range_is_refused(momentum: float) -> None:
    with pytest.raises(ValueError, match="momentum: expected"):
        BregmanRule.from_step_and_momentum(0.1, momentum, family="polynomial")
