import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from geomlearn.data import Recording, estimate_velocities, from_arrays, resample, windows
from integrators import StateSpace, configuration_space, rigid_body_space, vector
from lie import SE3, SO3

SPACE = rigid_body_space(SE3)


def held(data):
    assert data.controls is not None
    return data.controls


def stamps(length=40, h=0.05, jitter=0.3, seed=0):
    t = h * np.arange(length)
    t[1:-1] += jitter * h * np.random.default_rng(seed).uniform(-1, 1, length - 2)
    return t


def motion(t):
    """Rotation about a fixed axis by 0.7 t² and a helix, with their exact velocities."""
    axis = np.array([2.0, -1.0, 2.0]) / 3
    turn = Rotation.from_rotvec(0.7 * t[:, None] ** 2 * axis)
    x = np.stack([np.cos(t), np.sin(t), 0.3 * t], -1)
    v = np.stack([-np.sin(t), np.cos(t), 0 * t + 0.3], -1)
    return turn, x, v, 1.4 * t[:, None] * axis


def recording(t, controls=None):
    turn, x, v, omega = motion(t)
    return from_arrays(
        t, turn.as_matrix(), x, v, omega, controls, velocity_frame="world", angular_velocity_frame="body"
    )


def test_agrees_with_slerp_and_linear_interpolation():
    t = stamps()
    got = resample(recording(t), 0.03)
    new = 0.03 * np.arange(len(got))
    np.testing.assert_allclose(got.times.numpy(), new, rtol=0, atol=1e-14)
    assert new[-1] <= t[-1] < new[-1] + 0.03
    parts = got.space.view(got.states)
    turn, _, v, omega = motion(t)
    np.testing.assert_allclose(parts["R"].numpy(), Slerp(t, turn)(new).as_matrix(), rtol=0, atol=1e-13)
    for name, values in (("v", v), ("omega", omega)):
        linear = np.stack([np.interp(new, t, values[:, k]) for k in range(3)], -1)
        np.testing.assert_allclose(parts[name].numpy(), linear, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("name", "order"), [("R", 2), ("v", 2), ("x", 4)])
def test_order_of_the_interpolation(name, order):
    errors = []
    for length in (41, 81):
        t = 2.0 * np.arange(length) / (length - 1)
        got = resample(recording(t), 0.0137)
        exact = recording(got.times.numpy())
        errors.append((got.space.view(got.states)[name] - exact.space.view(exact.states)[name]).abs().max())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


def test_poses_alone_keep_fourth_order_positions():
    errors = []
    for length in (41, 81):
        t = 2.0 * np.arange(length) / (length - 1)
        turn, x, _, _ = motion(t)
        got = resample(from_arrays(t, turn.as_matrix(), x), 0.0137)
        errors.append(np.abs(got.space.view(got.states)["x"].numpy() - motion(got.times.numpy())[1]).max())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.5)


def test_large_time_stamps_lose_nothing():
    t = stamps()
    # A whole number of 2^-22 s, so that adding a large number of seconds is exact.
    t = np.round(t * 2**20) / 2**20
    near, far = resample(recording(t), 2**-5), recording(t)
    far = resample(Recording(far.times + 2.0**30, far.states, None, far.space), 2**-5)
    torch.testing.assert_close(far.states, near.states, rtol=0, atol=1e-13)


def test_the_same_step_changes_nothing_and_keeps_the_controls():
    t = 0.05 * np.arange(40)
    u = np.random.default_rng(0).normal(size=(39, 2))
    given = recording(t, u)
    got = resample(given, 0.05)
    assert len(got) == 40
    torch.testing.assert_close(got.states, given.states, rtol=0, atol=1e-13)
    torch.testing.assert_close(got.controls, given.controls, rtol=0, atol=1e-12)


def test_controls_are_the_mean_of_what_was_held():
    t = np.array([0.0, 1.0, 1.5, 4.0])
    space = StateSpace(vector("q", 1))
    given = Recording(
        torch.from_numpy(t), torch.zeros(4, 1).double(), torch.tensor([[2.0], [4.0], [1.0]]).double(), space
    )
    assert held(resample(given, 0.5))[:, 0].tolist() == pytest.approx([2, 2, 4, 1, 1, 1, 1, 1], abs=1e-14)
    assert held(resample(given, 2.0))[:, 0].tolist() == pytest.approx([(2 + 2 + 0.5) / 2, 1], abs=1e-14)
    assert held(resample(given, 0.8))[:, 0].tolist() == pytest.approx(
        [2, (0.2 * 2 + 0.5 * 4 + 0.1) / 0.8, 1, 1, 1], abs=1e-14
    )


def test_makes_recordings_that_can_be_cut():
    given = recording(stamps())
    with pytest.raises(ValueError, match=r"resample\(recording, 0\.0"):
        windows(given, 5)
    assert windows(resample(given, 0.05), 5).h == 0.05


def test_float32_stays_float32():
    turn, x, _, _ = motion(stamps())
    got = resample(from_arrays(stamps(), turn.as_matrix(), x, dtype=torch.float32), 0.04)
    assert got.states.dtype == torch.float32


@pytest.mark.parametrize("h", [0.0, -1.0, float("nan"), 10.0])
def test_refuses_impossible_steps(h):
    with pytest.raises(ValueError, match=r"h: expected a positive step of at most 1.95 s"):
        resample(recording(stamps(jitter=0)), h)


def test_velocities_of_poses_converge_at_second_order():
    errors = []
    for length in (41, 81, 161):
        # Smoothly graded stamps: the weights of unequal steps matter.
        s = np.arange(length) / (length - 1)
        t = 1.5 * (s + 0.2 * s**2)
        turn, x, v, omega = motion(t)
        got = estimate_velocities(from_arrays(t, turn.as_matrix(), x))
        assert got.space == SPACE
        assert len(got) == length - 2
        parts = got.space.view(got.states)
        errors.append(
            [np.abs(parts[k].numpy() - exact[1:-1]).max() for k, exact in (("v", v), ("omega", omega))]
        )
        assert torch.equal(parts["x"], torch.from_numpy(x[1:-1]))
    v_orders = np.log2(np.array(errors[:-1])[:, 0] / np.array(errors[1:])[:, 0])
    np.testing.assert_allclose(v_orders, 2, atol=0.1)
    # About a fixed axis the rotation is 0.7 t², which parabolas meet exactly.
    assert max(e[1] for e in errors) < 1e-11


def test_angular_velocity_is_in_the_body_frame():
    h = 1e-3
    t = h * np.arange(200)
    turn = Rotation.from_euler("ZYX", np.stack([2 * t, np.sin(3 * t), t**2], -1))
    got = estimate_velocities(from_arrays(t, turn.as_matrix(), controls=np.arange(199.0)[:, None]))
    R = turn.as_matrix()
    slope = (R[2:] - R[:-2]) / (2 * h)
    hat = np.swapaxes(R[1:-1], 1, 2) @ slope
    omega = np.stack([hat[:, 2, 1], hat[:, 0, 2], hat[:, 1, 0]], -1)
    np.testing.assert_allclose(got.states[:, 9:].numpy(), omega, rtol=0, atol=2e-5)
    assert held(got)[:, 0].tolist() == list(range(1, 198))
    assert got.name == "recording (velocities estimated)"


def test_refuses_what_cannot_be_estimated():
    t = stamps()
    with pytest.raises(ValueError, match="recording: expected poses"):
        estimate_velocities(recording(t))
    turn = motion(t)[0]
    with pytest.raises(ValueError, match="at least 4 rows, got 3"):
        estimate_velocities(from_arrays(t[:3], turn.as_matrix()[:3]))
    fast = Rotation.from_rotvec(np.outer([0, 0.1, 0.2, 2.2, 2.3], [0, 0, 1]))
    with pytest.raises(ValueError, match="between row 2 and row 3 the body turns by 2 rad"):
        estimate_velocities(from_arrays(np.arange(5.0), fast.as_matrix()))


def test_poses_make_windows_without_velocities():
    turn, x, _, _ = motion(0.05 * np.arange(10))
    w = windows(from_arrays(0.05 * np.arange(10), turn.as_matrix(), x), 3)
    assert w.space == configuration_space(SE3)
    assert w.states.shape == (8, 3, 12)
    assert windows(from_arrays(0.05 * np.arange(10), turn.as_matrix()), 3).space == configuration_space(SO3)
