"""The nearly-periodic problems: states of an independent integration, and their adiabatic invariants."""

from __future__ import annotations

import math

import pytest
import torch

from geomlearn.data import solved_windows
from integrators import KahanLi8, RungeKutta4, rollout, zoo

# DOP853 at a relative tolerance of 1e-13, of the equations written out by hand.
STATES = [
    (0.0, 0.05, (1.4981253906, -0.0000000266, -0.0749687539, -0.0001067231)),
    (0.0, 10.0, (-1.2585623524, -0.0025382257, 0.8161082758, -0.0501135392)),
    (0.0, 200.0, (0.9542082990, -0.5190733723, 1.1594654825, -0.0227470052)),
    (1.0, 10.0, (-1.2227102565, 1.0007645959, 0.8459814368, 0.0139782307)),
    (1.55, 10.0, (-1.1851212351, 1.5445098111, 0.9280303998, -0.0721573890)),
    (0.0, 2000.0, (-1.2055942590, -0.0648064427, 0.8926142258, 0.2497321464)),
    (1.0, 2000.0, (-1.2533910457, 1.3372267167, 0.8049255501, -0.0710892758)),
    (1.55, 2000.0, (1.3522456447, 0.0113226655, 0.6547152469, -0.9060635025)),
]


def expected(t: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Published starts and the states at a time."""
    rows = [(q2, values) for q2, time, values in STATES if time == t]
    starts = torch.tensor([[1.5, q2, 0.0, 0.0] for q2, _ in rows], dtype=torch.float64)
    return starts, torch.tensor([values for _, values in rows], dtype=torch.float64)


@pytest.mark.parametrize("t", [0.05, 10.0])
def test_windows_of_the_coupled_oscillators(t: float) -> None:
    starts, end = expected(t)
    windows = solved_windows(zoo.coupled_oscillators().system, starts, t)
    torch.testing.assert_close(windows.states[:, 1], end, rtol=0, atol=1e-10)


def test_long_runs_of_the_coupled_oscillators() -> None:
    starts, end = expected(2000.0)
    flow = KahanLi8(zoo.coupled_oscillators().system, 0.1)
    run = rollout(flow, starts, 20_000, 2000, backend="numba")
    torch.testing.assert_close(run.final, end, rtol=0, atol=1e-9)
    torch.testing.assert_close(run.states[1, :1], expected(200.0)[1], rtol=0, atol=1e-9)


def test_the_field_of_the_coupled_oscillators_is_that_of_the_paper() -> None:
    eps, (q1, q2, p1, p2) = 0.03, (0.3, -0.4, 0.5, 0.6)
    s = 2 * q1 + 2 * q2
    wave = 2 * q1 * q2 * math.cos(s)
    expected = (
        p1,
        eps * p2,
        -q1 - eps * (q2 * math.sin(s) + wave),
        -eps * q2 - eps * (q1 * math.sin(s) + wave),
    )
    field = zoo.coupled_oscillators(eps).system.field(torch.tensor((q1, q2, p1, p2), dtype=torch.float64))
    torch.testing.assert_close(field, torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=0)


def test_reduced_hamiltonians_are_means_over_a_turn() -> None:
    angle = torch.arange(64, dtype=torch.float64) * (2 * math.pi / 64)
    for problem in (zoo.coupled_oscillators(0.2), zoo.gyrating_particle(0.2)):
        slow = torch.tensor([0.7, -0.4], dtype=torch.float64).expand(64, 2)
        turn = torch.stack((1.3 * angle.cos(), slow[:, 0], -1.3 * angle.sin(), slow[:, 1]), -1)
        mean = ((problem.system.energy(turn) - problem.moment(turn)) / problem.epsilon).mean()
        torch.testing.assert_close(problem.reduced(turn), mean.expand(64), rtol=0, atol=1e-13)
        torch.testing.assert_close(
            problem.reduced(0 * turn + turn[0], problem.moment(turn[5])), mean.expand(64), rtol=0, atol=1e-13
        )


@pytest.mark.parametrize(
    ("epsilon", "moment", "reduced"),
    [
        (0.05, (3.3e-2, 8.1e-2, 4.0e-2), (2.6e-2, 1.2e-1, 8.6e-2)),
        (0.02, (1.4e-2, 3.2e-2, 1.7e-2), (1.1e-2, 4.9e-2, 3.5e-2)),
        (0.01, (7.1e-3, 1.6e-2, 8.6e-3), (5.6e-3, 2.5e-2, 1.8e-2)),
        (0.005, (3.6e-3, 8.0e-3, 4.3e-3), (2.8e-3, 1.2e-2, 9.0e-3)),
    ],
)
def test_variation_of_the_magnetic_moment(
    epsilon: float, moment: tuple[float, ...], reduced: tuple[float, ...]
) -> None:
    """Over ``40 / epsilon`` from three starts, by DOP853; the reduced energy at the moment of the start."""
    problem = zoo.gyrating_particle(epsilon)
    starts = [[1.0, 0.3, 0.0, 0.2], [1.0, 1.5, 0.0, 1.0], [0.5, 0.8, 0.5, 2.5]]
    x = torch.tensor(starts, dtype=torch.float64)
    run = rollout(RungeKutta4(problem.system, 0.025), x, round(1600 / epsilon), 4, backend="numba")
    mu = problem.moment(run.states)
    frozen = problem.reduced(run.states, mu[0])
    got = torch.stack(((mu - mu[0]).abs().amax(0), frozen.amax(0) - frozen.amin(0)))
    torch.testing.assert_close(got, torch.tensor((moment, reduced), dtype=torch.float64), rtol=0.05, atol=0)
    energy = problem.system.energy(run.states)
    assert float((energy - energy[0]).abs().max()) < 1e-3 * float(torch.tensor(moment).min())
