"""On all SPD matrices the method is the Riemannian heavy ball; elsewhere its closed forms."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

import lie
from geomlearn.optim import ManifoldParameter, SPDMomentum, SPDRule, spd_matrix, spd_start, spd_step

from ._cases import log_det, manifold, start

ALPHA, BETA, STEPS = 0.9, 0.05, 200


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Q of condition 100 and a start of condition 10, 8 rows."""
    rng = np.random.default_rng(0)
    q, p = (np.linalg.qr(rng.standard_normal((8, 8)))[0] for _ in range(2))
    return q @ np.diag(np.logspace(-1, 1, 8)) @ q.T, p @ np.diag(np.logspace(-0.5, 0.5, 8)) @ p.T


def heavy_ball(Q: np.ndarray, tau: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Points and velocities with exact geodesics and exact parallel transport, from their definitions."""
    Z = np.zeros_like(tau)
    for _ in range(STEPS):
        V = ALPHA * Z + BETA * tau @ (Q - np.linalg.inv(tau)) @ tau
        values, vectors = np.linalg.eigh(tau)
        root, inverse = ((vectors * values**s) @ vectors.T for s in (0.5, -0.5))
        lengths, axes = np.linalg.eigh(-inverse @ V @ inverse)
        half = (axes * np.exp(lengths / 2)) @ axes.T
        E = root @ half @ inverse
        tau, Z = root @ half @ half @ root, E @ V @ E.T
        tau = 0.5 * (tau + tau.T)
        yield tau, Z


@pytest.mark.parametrize("inverse", [False, True])
def test_the_optimizer_is_riemannian_heavy_ball(inverse: bool) -> None:
    Q, tau = problem()
    x = ManifoldParameter(lie.SPD(8), torch.from_numpy(tau))
    optimizer = SPDMomentum([x], lr=BETA, momentum=ALPHA, h="exp", step_bound=None, inverse=inverse)
    worst = 0.0
    for expected, _ in heavy_ball(Q, tau):
        x.grad = torch.from_numpy(Q) - torch.linalg.inv(x.detach())
        optimizer.step()
        worst = max(worst, float(np.abs(x.detach().numpy() - expected).max() / np.abs(expected).max()))
    assert worst < 1e-9
    assert float(torch.linalg.matrix_norm(x.detach() @ torch.from_numpy(Q) - torch.eye(8))) < 0.05


def test_the_states_are_those_of_riemannian_heavy_ball() -> None:
    """Velocities too, with the gradient in the frame, which takes no inverse."""
    Q, tau = problem()
    rule = SPDRule(lie.SPD(8), lr=BETA, momentum=ALPHA, h="exp", step_bound=None)
    state = spd_start(rule, torch.from_numpy(tau))
    first = None
    for expected, velocity in heavy_ball(Q, tau):
        A = state.factor
        state = spd_step(rule, state, A.mT @ torch.from_numpy(Q) @ A - torch.eye(8), by="frame")
        moved = (state.factor @ state.momentum @ state.factor.mT).numpy()
        first = np.abs(velocity).max() if first is None else first
        np.testing.assert_allclose(
            spd_matrix(rule, state).numpy(), expected, rtol=0, atol=1e-9 * np.abs(expected).max()
        )
        np.testing.assert_allclose(moved, velocity, rtol=0, atol=1e-9 * first)


def test_momentum_is_carried_by_parallel_transport() -> None:
    """Any tangent along any step: with no gradient and alpha = 1/2 the step is half of z."""
    rule = SPDRule(lie.SPD(6), lr=0.0, momentum=0.5, h="exp", step_bound=None)
    tau = start(lie.SPD(6), 20)
    M = start(lie.SPD(6), 20, seed=2) - start(lie.SPD(6), 20, seed=3)
    state = spd_start(rule, tau)._replace(momentum=M)
    before = 0.5 * state.factor @ M @ state.factor.mT
    after = spd_step(rule, state, torch.zeros_like(tau))
    for k in range(20):
        there = spd_matrix(rule, after)[k].numpy()
        E = scipy.linalg.sqrtm(np.linalg.solve(tau[k].numpy(), there).T).real  # of tau_1 tau_0^-1
        carried = E @ before[k].numpy() @ E.T
        moved = (after.factor @ after.momentum @ after.factor.mT)[k].numpy()
        np.testing.assert_allclose(moved, carried, rtol=0, atol=1e-12 * np.abs(carried).max())


def test_on_diagonal_matrices_the_logarithms_make_the_steps() -> None:
    """There the space is flat: heavy ball on log tau_i, whose gradient is tau_i times that by tau_i."""
    q = torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)
    rule = SPDRule(lie.SPD(3, structure="diagonal"), lr=0.1, momentum=0.8, h="exp", step_bound=None)
    state = spd_start(rule, torch.eye(3, dtype=torch.float64))
    x, v = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for _ in range(60):
        tau = spd_matrix(rule, state)
        state = spd_step(rule, state, q.diag() - torch.linalg.inv(tau))
        v = 0.8 * v + 0.1 * (q * x.exp() - 1)
        x = x - v
    torch.testing.assert_close(spd_matrix(rule, state), x.exp().diag(), rtol=1e-12, atol=1e-14)


def iterates(M: lie.SPDManifold | lie.StructuredSPD, Q: Tensor, tau: Tensor, **options: object) -> Tensor:
    rule = SPDRule(M, lr=0.1, momentum=0.8, step_bound=None, **options)  # type: ignore[arg-type]
    state = spd_start(rule, tau)
    taus = []
    for _ in range(12):
        state = spd_step(rule, state, torch.func.grad(log_det(Q))(spd_matrix(rule, state)))
        taus.append(spd_matrix(rule, state))
    return torch.stack(taus)


@pytest.mark.parametrize("kind", ["all", "diagonal", "block_diagonal", "circulant"])
def test_the_factor_of_the_inverse_makes_the_same_exact_steps(kind: str) -> None:
    M = manifold(kind)
    Q, tau = start(M, seed=4), start(M, seed=5)
    plain, other = (iterates(M, Q, tau, h="exp", inverse=inverse) for inverse in (False, True))
    torch.testing.assert_close(other, plain, rtol=1e-10, atol=1e-10)


def test_truncated_steps_of_factors_and_inverses_part_at_their_order() -> None:
    """h2(N) h2(-N) = I + N^4/4, h1(N) h1(-N) = I - N^2."""
    M = lie.SPD(4)
    tau, g = start(M), start(M, seed=2) - 3 * start(M, seed=3)
    for h, order in (("h1", 2), ("h2", 4)):
        gaps = []
        for lr in (0.005, 0.0025):
            ends = []
            for inverse in (False, True):
                rule = SPDRule(M, lr=lr, h=h, step_bound=0.9, inverse=inverse)
                ends.append(spd_matrix(rule, spd_step(rule, spd_start(rule, tau), g)))
            gaps.append(float((ends[0] - ends[1]).norm()))
        assert abs(np.log2(gaps[0] / gaps[1]) - order) < 0.15


@pytest.mark.parametrize("kind", ["all", "lower", "hierarchical"])
def test_truncated_steps_have_their_order(kind: str) -> None:
    M = manifold(kind)
    tau = start(M)
    g = start(lie.SPD(5), seed=2) - 2 * start(lie.SPD(5), seed=3)
    for h, order in (("h1", 2), ("h2", 3), ("cayley", 3)):
        errors = []
        for lr in (0.02, 0.01, 0.005):
            ends = []
            for kind_of_h in (h, "exp"):
                rule = SPDRule(M, lr=lr, h=kind_of_h, step_bound=0.9)
                ends.append(spd_matrix(rule, spd_step(rule, spd_start(rule, tau), g)))
            errors.append(float((ends[0] - ends[1]).norm()))
        assert abs(np.log2(errors[1] / errors[2]) - order) < 0.1
