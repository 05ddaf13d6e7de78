"""Steps as functions of states and of the optimizer: structures, bounds, gradients, transforms, refusals."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

import lie
from geomlearn.optim import (
    ManifoldParameter,
    SPDMomentum,
    SPDRule,
    SPDState,
    spd_matrix,
    spd_start,
    spd_step,
)

from ._cases import (
    STRUCTURES,
    follow,
    follow_states,
    log_det,
    manifold,
    spectrum,
    start,
)

EVERYTHING = [*STRUCTURES, "band"]
GROUPS = [kind for kind in EVERYTHING if kind != "band"]


@pytest.mark.parametrize("kind", EVERYTHING)
def test_the_optimizer_makes_the_steps_of_the_functions(kind: str) -> None:
    M = manifold(kind)
    Q, tau = spectrum(5, 30), start(M, 2)
    options: list[dict[str, Any]] = [
        {"lr": 0.2, "restart": True},
        {"lr": 1.5, "momentum": 0.5, "step_bound": 0.3},
        {"lr": 0.05, "step_bound": None, "restart": "function"},
    ]
    if kind != "band":
        options += [{"lr": 0.1, "h": "h1"}, {"lr": 0.1, "h": "exp"}, {"lr": 0.1, "inverse": True}]
    for given in options:
        states = follow_states(SPDRule(M, **given), tau[0], log_det(Q), 12)
        x, _ = follow(M, tau[0], log_det(Q), 12, **given)
        torch.testing.assert_close(
            x.detach(), spd_matrix(SPDRule(M, **given), states[-1]), rtol=1e-11, atol=1e-11
        )


@pytest.mark.parametrize("kind", EVERYTHING)
def test_every_structure_descends_to_its_stationary_point_and_keeps_its_pattern(kind: str) -> None:
    """Stationary: the slope along every tangent of the set vanishes, and the pattern's zeros are exact."""
    M = manifold(kind)
    x, optimizer = follow(M, start(M, 3), log_det(spectrum(5, 30)), 250, lr=0.3, restart=True)
    A = optimizer.state[x]["factor"]
    factor = lie.structured_factor("full", 5) if kind == "all" else M.factor
    assert torch.equal(factor.nearest(A), A)
    torch.testing.assert_close(A @ A.mT, x.detach(), rtol=0, atol=1e-14)
    g = torch.func.grad(log_det(spectrum(5, 30)))(x.detach())
    assert float(factor.gradient_of_matrix(A, g).abs().max()) < 1e-8
    torch.testing.assert_close(x[0].detach(), x[1].detach(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("h", ["h1", "h2", "exp"])
@pytest.mark.parametrize("kind", ["all", "lower", "hierarchical", "lower_toeplitz"])
def test_no_step_is_longer_than_the_bound_and_all_stay_positive(kind: str, h: str) -> None:
    """Gradients of any size, both signs: N is what the factor was multiplied by."""
    M = manifold(kind)
    rule = SPDRule(M, lr=1.0, h=h, step_bound=0.5)
    states = [spd_start(rule, start(M, 40))]
    for k in range(4):
        g = 10.0 ** (2 * k - 3) * (start(lie.SPD(5), 40, seed=7 + k) - start(lie.SPD(5), 40, seed=17 + k))
        states.append(spd_step(rule, states[-1], g))
        change = torch.linalg.solve(states[-2].factor, states[-1].factor)
        if h == "h1":
            size = torch.linalg.matrix_norm(change - torch.eye(5))
            assert float(size.max()) <= 0.5 + 1e-12
            assert k < 2 or float((size - 0.5).abs().min()) < 1e-12
        assert bool((torch.linalg.eigvalsh(spd_matrix(rule, states[-1])) > 0).all())


@pytest.mark.parametrize("kind", ["all", "lower", "block_upper_first"])
def test_h2_stays_positive_without_a_bound(kind: str) -> None:
    M = manifold(kind)
    rule = SPDRule(M, lr=1.0, step_bound=None)
    for size in (0.1, 3.0, 100.0):
        g = size * (start(lie.SPD(5), 200, seed=2) - start(lie.SPD(5), 200, seed=3))
        state = spd_start(rule, start(M, 200))
        sign, change = torch.linalg.slogdet(torch.linalg.solve(state.factor, spd_step(rule, state, g).factor))
        assert bool((sign > 0).all())
        assert float(change.min()) >= 5 * torch.tensor(0.5).log() - 1e-8  # all five eigenvalues >= 1/2


def test_a_rate_of_one_without_momentum_is_newtons_step() -> None:
    """For tr(Q tau) - log det tau the error is squared in each step."""
    Q = spectrum(4, 3)
    states = follow_states(SPDRule(lie.SPD(4), lr=1.0, momentum=0.0), torch.eye(4).double(), log_det(Q), 7)
    errors = [float(torch.linalg.matrix_norm(s.factor.mT @ Q @ s.factor - torch.eye(4), 2)) for s in states]
    assert all(b <= 0.75 * a**2 + 1e-14 for a, b in itertools.pairwise(errors[2:]))
    assert errors[-1] < 1e-13


@pytest.mark.parametrize("kind", EVERYTHING)
def test_gradients_by_the_matrix_its_inverse_and_in_the_frame_are_one(kind: str) -> None:
    M = manifold(kind)
    Q, tau = spectrum(5, 10), start(M)
    P = torch.linalg.inv(tau)
    by_matrix = torch.func.grad(log_det(Q))(tau)
    by_inverse = torch.func.grad(lambda P: log_det(Q)(torch.linalg.inv(P)))(P)
    for inverse in (False, True):
        if inverse and kind == "band":
            continue
        rule = SPDRule(M, lr=0.3, inverse=inverse)
        state = spd_start(rule, tau)
        A = state.factor
        expected = spd_step(rule, state, by_matrix).factor
        in_frame = A.mT @ (by_inverse if inverse else by_matrix) @ A
        for given, by in ((by_inverse, "inverse"), (in_frame, "frame"), (2 * by_matrix.triu(1), "matrix")):
            if by == "matrix":
                given = given + torch.diag(by_matrix.diagonal())  # only the symmetric part counts
            got = spd_step(rule, state, given, by=by)  # type: ignore[arg-type]
            torch.testing.assert_close(got.factor, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["all", "lower", "hierarchical", "band"])
def test_batches_vmap_dtypes_and_empty_batches(kind: str) -> None:
    M = manifold(kind)
    tau = start(M, 2, 3)
    g = start(lie.SPD(5), 2, 3, seed=5) - 2 * start(lie.SPD(5), 2, 3, seed=6)
    rule = SPDRule(M, lr=0.4, restart="gradient")

    def two(tau: Tensor, g: Tensor) -> SPDState:
        state = spd_start(rule, tau, check=False)
        return spd_step(rule, spd_step(rule, state, g), -0.5 * g)

    whole = two(tau, g)
    mapped = torch.vmap(torch.vmap(two))(tau, g)
    for got, expected in zip(mapped, whole, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    assert bool((whole.restarts == 1).all())  # the second gradient points back
    single = two(tau.float(), g.float())
    assert single.factor.dtype == single.momentum.dtype == torch.float32
    torch.testing.assert_close(single.factor.double(), whole.factor, rtol=0, atol=2e-4)
    assert [part.shape for part in two(tau[:0], g[:0])] == [(0, 3, 5, 5), (0, 3, 5, 5), (0, 3), (0, 3)]


def test_rates_and_momenta_sweep_under_vmap_and_differentiate() -> None:
    Q, tau = spectrum(4, 20), torch.eye(4).double()
    M = lie.SPD(4, structure="lower")

    def end(lr: Tensor, momentum: Tensor) -> Tensor:
        rule = SPDRule(M, lr=lr, momentum=momentum)
        state = spd_start(rule, tau, check=False)
        for _ in range(6):
            state = spd_step(rule, state, torch.func.grad(log_det(Q))(spd_matrix(rule, state)))
        return log_det(Q)(spd_matrix(rule, state))

    rates = torch.tensor([0.05, 0.1, 0.3], dtype=torch.float64)
    momenta = torch.tensor([0.0, 0.5, 0.9], dtype=torch.float64)
    swept = torch.vmap(end)(rates, momenta)
    alone = [
        log_det(Q)(spd_matrix(rule, follow_states(rule, tau, log_det(Q), 6)[-1]))
        for rule in (SPDRule(M, lr=float(a), momentum=float(b)) for a, b in zip(rates, momenta))
    ]
    torch.testing.assert_close(swept, torch.stack(alone), rtol=1e-12, atol=1e-12)
    slope = torch.func.grad(end, argnums=(0, 1))(rates[1], momenta[1])
    for k in (0, 1):
        shift = [torch.tensor(1e-6 * (k == i), dtype=torch.float64) for i in (0, 1)]
        up, down = (end(rates[1] + s * shift[0], momenta[1] + s * shift[1]) for s in (1, -1))
        torch.testing.assert_close(slope[k], (up - down) / 2e-6, rtol=1e-6, atol=1e-8)


def test_a_step_differentiates_by_its_gradient_and_state() -> None:
    M = lie.SPD(3, structure="upper")
    rule = SPDRule(M, lr=0.2, step_bound=0.4)
    state = spd_start(rule, start(M))

    def factor(A: Tensor, z: Tensor, g: Tensor) -> Tensor:
        return spd_step(rule, state._replace(factor=A, momentum=z), g).factor

    g = start(lie.SPD(3), seed=8) * 4
    inputs = [x.clone().requires_grad_() for x in (state.factor, M.random(dtype=torch.float64), g)]
    assert torch.autograd.gradcheck(factor, inputs)


def test_loading_a_batch_is_as_good_as_a_loop() -> None:
    M = lie.SPD(5)
    tau, Q = start(M, 6), start(M, 6, seed=9)
    x, optimizer = follow(M, tau, log_det(Q), 20, lr=0.5, restart=True)
    total = 0
    for k in range(6):
        y, other = follow(M, tau[k], log_det(Q[k]), 20, lr=0.5, restart=True)
        torch.testing.assert_close(x[k].detach(), y.detach(), rtol=1e-11, atol=1e-11)
        total += other.param_groups[0]["restarts"]
    assert optimizer.param_groups[0]["restarts"] == total > 0


def test_decay_and_maximize() -> None:
    M = lie.SPD(3, structure="lower")
    tau, Q = start(M), spectrum(3, 10)
    given: dict[str, Any] = {"lr": 0.2, "momentum": 0.5}
    x, _ = follow(M, tau, log_det(Q), 10, weight_decay=0.3, **given)
    y, _ = follow(M, tau, lambda t: log_det(Q)(t) + 0.15 * t.square().sum(), 10, **given)
    z, _ = follow(M, tau, lambda t: -log_det(Q)(t) - 0.15 * t.square().sum(), 10, maximize=True, **given)
    torch.testing.assert_close(x.detach(), y.detach(), rtol=1e-12, atol=1e-12)
    assert torch.equal(y, z)


def test_the_approximation_of_a_manifold_is_taken_unless_another_is_asked_for() -> None:
    Q, tau = spectrum(4, 10), torch.eye(4).double()
    own = lie.SPD(4, structure="lower", h="exp")
    plain = lie.SPD(4, structure="lower")
    ends = [
        follow(M, tau, log_det(Q), 5, lr=0.3, h=h)[0].detach()
        for M, h in ((own, None), (plain, "exp"), (own, "h2"), (plain, None))
    ]
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[2], ends[3])
    assert not torch.equal(ends[0], ends[2])


# Refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "lr: expected a number >= 0, got -1.0"),
        ({"momentum": 1.0}, r"momentum: expected a number in \[0, 1\), got 1.0"),
        ({"h": "h3"}, "h: expected one of 'h1', 'h2', 'exp', 'cayley' or None, got 'h3'"),
        ({"step_bound": 0.0}, "step_bound: expected a number > 0, or None, got 0.0"),
        ({"h": "h1", "step_bound": None}, "step_bound: expected a number < 1 with h='h1', got None.*h2"),
        ({"h": "h1", "step_bound": 1.0}, "step_bound: expected a number < 1 with h='h1', got 1.0"),
        ({"h": "cayley", "step_bound": 2.0}, "step_bound: expected a number < 2 with h='cayley', got 2.0"),
        ({"restart": "often"}, "restart: expected 'gradient', 'function', True, False or None, got 'often'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    M = lie.SPD(3)
    with pytest.raises(ValueError, match=message):
        SPDRule(M, **{"lr": 0.1, **options})
    x = ManifoldParameter(M, torch.eye(3))
    with pytest.raises(ValueError, match=message):
        SPDMomentum([x], **options)
    optimizer = SPDMomentum([ManifoldParameter(M, torch.eye(3))])
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": [x], **options})
    assert len(optimizer.param_groups) == 1


def test_the_h1_of_a_manifold_needs_a_bound_too() -> None:
    M = lie.SPD(3, structure="lower", h="h1")
    with pytest.raises(ValueError, match="a number < 1 with h='h1'"):
        SPDRule(M, lr=0.1, step_bound=None)
    with pytest.raises(ValueError, match="a number < 1 with h='h1'"):
        SPDMomentum([ManifoldParameter(M, torch.eye(3))], step_bound=2.0)
    with pytest.raises(ValueError, match="a number < 1 with h='h1'"):
        dataclasses.replace(SPDRule(M, lr=0.1), step_bound=None)


def test_bands_refuse_what_groups_have() -> None:
    M = manifold("band")
    refused: list[tuple[dict[str, Any], str]] = [
        ({"h": "h2"}, "h: expected None, got 'h2'.*not a group"),
        ({"inverse": True}, "inverse: expected False, got True.*without a pattern"),
    ]
    for options, message in refused:
        with pytest.raises(ValueError, match=message):
            SPDRule(M, lr=0.1, **options)
        with pytest.raises(ValueError, match=message):
            SPDMomentum([ManifoldParameter(M, torch.eye(5))], **options)


def test_wrong_arguments_of_the_functions_are_named() -> None:
    with pytest.raises(TypeError, match=r"manifold: expected lie.SPD\(n\).*got Sphere"):
        SPDRule(lie.Sphere(3), lr=0.1)  # type: ignore[arg-type]
    rule = SPDRule(lie.SPD(3), lr=0.1, restart="function")
    with pytest.raises(ValueError, match=r"tau\[1\] is not symmetric positive definite"):
        spd_start(rule, torch.stack((torch.eye(3), torch.diag(torch.tensor([1.0, -1.0, 1.0])))))
    state = spd_start(rule, torch.eye(3))
    with pytest.raises(ValueError, match=r"gradient: expected matrices of shape \(3, 3\), got \(2, 2\)"):
        spd_step(rule, state, torch.eye(2))
    with pytest.raises(ValueError, match="value: the function restart"):
        spd_step(rule, state, torch.eye(3))
    with pytest.raises(ValueError, match="by: expected one of 'matrix', 'inverse', 'frame', got 'tau'"):
        spd_step(rule, state, torch.eye(3), torch.tensor(0.0), by="tau")  # type: ignore[arg-type]
