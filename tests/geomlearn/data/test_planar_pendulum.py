import math

import mpmath
import numpy as np
import pytest
import torch

from geomlearn.data import planar_pendulum_recordings, planar_pendulum_windows
from integrators import rigid_body_space
from lie import SO3


def held(data):
    assert data.controls is not None
    return data.controls


def angle_and_rate(states):
    R, omega = rigid_body_space(SO3).view(states).values()
    return torch.atan2(R[..., 1, 0], R[..., 0, 0]), omega[..., 2]


def test_the_sets_have_the_sizes_of_the_paper():
    train, test = planar_pendulum_windows(0)
    for part in (train, test):
        assert part.states.shape == (3520, 10, 12)
        assert held(part).shape == (3520, 9, 1)
        assert part.h == 0.02
        assert part.space == rigid_body_space(SO3)
        values, counts = held(part)[:, 0, 0].unique(return_counts=True)
        assert values.tolist() == [-2, -1, 0, 1, 2]
        assert counts.tolist() == [704] * 5
        assert torch.equal(held(part), held(part)[:, :1].expand(3520, 9, 1))
        assert len(part.recording.unique()) == 320


def test_bodies_turn_about_the_third_axis():
    train, _ = planar_pendulum_windows(1, trajectories=3)
    R, omega = train.space.view(train.states).values()
    e3 = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    assert torch.equal(R[..., 2, :], e3.expand_as(R[..., 2, :]))
    assert torch.equal(R[..., :, 2], e3.expand_as(R[..., 2, :]))
    assert (omega[..., :2] == 0).all()


def test_the_energy_changes_by_the_work_of_the_torque():
    train, test = planar_pendulum_windows(2, trajectories=16)
    for part in (train, test):
        phi, rate = angle_and_rate(part.states)
        energy = rate**2 / 6 + 5 * (1 - torch.cos(phi))
        turned = torch.remainder(phi.diff(dim=1) + math.pi, 2 * math.pi) - math.pi
        work = held(part)[..., 0] * turned
        assert (energy.diff(dim=1) - work).abs().max() < 1e-11


def test_matches_elliptic_functions():
    # sin(phi/2) = k sn(w t + K(k²), k²), started at rest at the turning point with k = sin(phi0/2), w² = 15.
    start = torch.tensor([0.3, 2.0, -1.0, 3.1], dtype=torch.float64)
    samples, h = 60, 0.05
    series = planar_pendulum_recordings(start, torch.zeros_like(start), samples=samples, h=h, controls=(0.0,))
    for phi0, recording in zip(start.tolist(), series, strict=True):
        phi, rate = angle_and_rate(recording.states)
        with mpmath.workdps(30):
            w, k = mpmath.sqrt(15), mpmath.sin(mpmath.mpf(phi0) / 2)
            for j in range(0, samples, 7):
                u = w * mpmath.mpf(float(recording.times[j])) + mpmath.ellipk(k**2)
                sn, cn = (mpmath.ellipfun(name, u, m=k**2) for name in ("sn", "cn"))
                assert float(phi[j]) == pytest.approx(float(2 * mpmath.asin(k * sn)), abs=2e-11)
                assert float(rate[j]) == pytest.approx(float(2 * k * w * cn), abs=2e-11)


def test_driven_trajectories_match_a_taylor_series():
    start, rate, u = 1.2, -0.7, 2.0
    starts = torch.tensor([[start], [rate]], dtype=torch.float64)
    recording = planar_pendulum_recordings(*starts, controls=(u,))[0]
    phi, speed = angle_and_rate(recording.states)
    with mpmath.workdps(25):
        first = [mpmath.mpf(start), mpmath.mpf(rate)]
        solution = mpmath.odefun(lambda _, y: [y[1], 3 * u - 15 * mpmath.sin(y[0])], 0, first)
        exact = [solution(mpmath.mpf("0.02") * (k + 1)) for k in (0, 9, 19)]
    for k, (a, b) in zip((0, 9, 19), exact, strict=True):
        assert float(phi[k]) == pytest.approx(float(a), abs=1e-13)
        assert float(speed[k]) == pytest.approx(float(b), abs=1e-12)


def test_every_start_meets_every_torque_one_step_after_the_start():
    phi, rate = torch.tensor([0.1, 2.0, -3.0]).double(), torch.tensor([0.5, -1.0, 0.0]).double()
    series = planar_pendulum_recordings(phi, rate, h=1e-3, controls=(0.0, 1.0))
    assert len(series) == 6
    for k, recording in enumerate(series):
        a, b = angle_and_rate(recording.states)
        assert float(recording.times[0]) == 1e-3
        push = 3.0 * (k // 3) - 15 * math.sin(phi[k % 3])
        assert float(a[0]) == pytest.approx(float(phi[k % 3] + 1e-3 * rate[k % 3]) + 5e-7 * push, abs=1e-8)
        assert float(b[0]) == pytest.approx(float(rate[k % 3]) + 1e-3 * push, abs=2e-5)
        assert held(recording).unique().tolist() == [k // 3]


def test_starts_are_uniform_and_differ_between_the_sets():
    train, test = planar_pendulum_windows(3, trajectories=500, samples=2, length=2, h=1e-6, controls=(0.0,))
    for part in (train, test):
        phi, rate = angle_and_rate(part.states[:, 0])
        for values, limit in ((phi, math.pi), (rate, 1.0)):
            assert values.abs().max() <= limit * (1 + 1e-4)
            ranks = (np.arange(500) + 0.5) / 500
            distance = np.abs(np.sort((values.numpy() / limit + 1) / 2) - ranks).max()
            assert distance < 1.95 / math.sqrt(500)
    assert not torch.isin(train.states[:, 0, 0], test.states[:, 0, 0]).any()


def test_the_seed_decides():
    a, b, c = (planar_pendulum_windows(seed, trajectories=2)[0].states for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_refuses_wrong_arguments():
    one = torch.zeros(1, dtype=torch.float64)
    with pytest.raises(ValueError, match="phi, rate, controls"):
        planar_pendulum_recordings(one, torch.zeros(2))
    with pytest.raises(ValueError, match="phi, rate, controls"):
        planar_pendulum_recordings(one, one, controls=())
    with pytest.raises(ValueError, match="samples, h"):
        planar_pendulum_recordings(one, one, samples=1)
    with pytest.raises(ValueError, match="samples, h"):
        planar_pendulum_recordings(one, one, h=0.0)
