import pytest
import torch

from geomlearn.data import Recording, windows
from integrators import StateSpace, rigid_body_space, vector
from lie import SO3

SPACE = rigid_body_space(SO3)


def held(data):
    assert data.controls is not None
    return data.controls


def series(length=20, seed=0, h=0.05):
    generator = torch.Generator().manual_seed(seed)
    R = SO3.random(length, generator=generator, dtype=torch.float64)
    x = SPACE.pack(R=R, omega=torch.randn(length, 3, generator=generator, dtype=torch.float64))
    u = torch.arange(2.0 * (length - 1), dtype=torch.float64).reshape(length - 1, 2)
    return h * torch.arange(length, dtype=torch.float64), x, u


def recording(length, seed):
    t, x, u = series(length, seed)
    return Recording(t, x, u, SPACE)


def test_windows_pair_each_control_with_its_step():
    t, x, u = series()
    w = windows(Recording(t, x, u, SPACE), length=5, stride=3)
    assert w.h == 0.05
    assert len(w) == 6
    for k in range(6):
        assert torch.equal(w.states[k], x[3 * k : 3 * k + 5])
        assert torch.equal(held(w)[k], u[3 * k : 3 * k + 4])


@pytest.mark.parametrize("length", [2, 7, 19, 20])
@pytest.mark.parametrize("stride", [1, 4, 20])
def test_number_of_windows(length, stride):
    t, x, u = series()
    starts = range(0, 20 - length + 1, stride)
    assert len(windows(Recording(t, x, u, SPACE), length, stride)) == len(starts)


def test_windows_are_labelled_by_recording():
    a, b = (recording(length, seed) for length, seed in ((20, 0), (12, 1)))
    w = windows([a, b], length=10)
    assert w.recording.tolist() == [0] * 11 + [1] * 3
    assert torch.equal(w.states[11], b.states[:10])


def test_a_last_control_after_the_end_is_dropped():
    t, x, u = series()
    longer = torch.cat([u, u[-1:] + 1])
    assert torch.equal(held(Recording(t, x, longer, SPACE)), u)
    with pytest.raises(ValueError, match=r"expected controls of shape \(19, m\)"):
        Recording(t, x, u[:-1], SPACE)


def test_stretches_and_pieces_keep_their_controls():
    t, x, u = series()
    whole = Recording(t, x, u, SPACE)
    part = whole[4:9]
    assert torch.equal(part.states, x[4:9])
    assert torch.equal(held(part), u[4:8])
    assert torch.equal(whole[-3:].times, t[-3:])
    pieces = whole.pieces(3)
    assert [len(p) for p in pieces] == [6, 7, 7]
    assert torch.equal(torch.cat([p.states for p in pieces]), x)
    assert torch.equal(held(pieces[1]), u[6:12])
    with pytest.raises(ValueError, match="step 1"):
        whole[::2]
    with pytest.raises(TypeError, match="slice"):
        whole[3]  # type: ignore[index]
    with pytest.raises(ValueError, match=r"count: expected 1 ... 10 pieces"):
        whole.pieces(11)


def test_names_the_row_and_column_of_a_bad_number():
    t, x, u = series()
    bad = x.clone()
    bad[17, 11] = float("nan")
    with pytest.raises(ValueError, match=r"got nan at row 17, column omega\[2\]"):
        Recording(t, bad, u, SPACE)
    worse = u.clone()
    worse[3, 1] = float("inf")
    named = StateSpace(vector("force", 1, unit="N"), vector("torque", 1, unit="N m"))
    with pytest.raises(ValueError, match=r"controls: .* got inf at row 3, column torque\[0\]"):
        Recording(t, x, worse, SPACE, named)


def test_names_the_row_and_defect_of_a_bad_rotation():
    t, x, u = series()
    bad = x.clone()
    bad[13, :9] *= 1.01
    with pytest.raises(ValueError, match=r"the worst is at row 13, off the group by 0.0201; .*project=True"):
        Recording(t, bad, u, SPACE)


def test_names_the_rows_of_stamps_that_do_not_increase():
    t, x, u = series()
    bad = t.clone()
    bad[8] = bad[7]
    with pytest.raises(ValueError, match=r"row 8 at 0.35\d* s does not come after row 7 at 0.35\d* s"):
        Recording(bad, x, u, SPACE)
    bad[8] = float("nan")
    with pytest.raises(ValueError, match=r"finite time stamps, got nan at row 8"):
        Recording(bad, x, u, SPACE)


def test_names_the_row_and_stamps_of_an_unequal_step():
    t, x, u = series()
    t[11:] += 0.02
    recording = Recording(t, x, u, SPACE, name="flight 3")
    with pytest.raises(
        ValueError, match=r"flight 3: .*row 11 at 0.57\d* s comes 0.07 s after row 10 at 0.5 s.*resample"
    ):
        windows(recording, 5)
    assert len(windows(recording, 5, time_tolerance=0.5)) == 16


def test_jitter_within_the_tolerance_is_accepted():
    t, x, u = series()
    t[5] += 2e-5
    assert windows(Recording(t, x, u, SPACE), 5).h == 0.05


@pytest.mark.parametrize("start", [0.0, -3.7, 1.7e9])
@pytest.mark.parametrize("h", [0.02, 1e-3, 2.0])
def test_the_step_has_the_digits_that_the_stamps_have(start, h):
    _, x, _ = series(2000)
    t = start + h * torch.arange(2000, dtype=torch.float64)
    assert windows(Recording(t, x, None, SPACE), 5).h == h
    third = start + torch.arange(2000, dtype=torch.float64) / 3
    assert windows(Recording(third, x, None, SPACE), 5).h == pytest.approx(
        1 / 3, rel=1e-9 if start > 1 else 1e-12
    )


def test_refuses_wrong_types_and_shapes():
    t, x, u = series()
    with pytest.raises(TypeError, match=r"times: expected a float64 tensor, got torch.float32"):
        Recording(t.float(), x, u, SPACE)
    with pytest.raises(ValueError, match=r"expected times of shape \(20,\), got \(19,\)"):
        Recording(t[1:], x, u, SPACE)
    with pytest.raises(ValueError, match=r"expected states of shape \(T, 12\)"):
        Recording(t[:1], x[:1], None, SPACE)
    with pytest.raises(TypeError, match=r"states: expected a torch.Tensor"):
        Recording(t, x.tolist(), u, SPACE)
    with pytest.raises(TypeError, match="controls: expected the dtype of the states"):
        Recording(t, x, u.float(), SPACE)
    with pytest.raises(ValueError, match="control_space: expected None"):
        Recording(t, x, None, SPACE, StateSpace(vector("u", 2)))


def test_windows_refuse_recordings_that_do_not_fit_together():
    t, x, u = series()
    a = Recording(t, x, u, SPACE)
    with pytest.raises(ValueError, match=r"recordings\[1\]: expected control_space as in recordings\[0\]"):
        windows([a, Recording(t, x, None, SPACE)], 5)
    with pytest.raises(ValueError, match=r"recordings\[1\]: expected dtype as in"):
        windows([a, Recording(t, x.float(), u.float(), SPACE)], 5)
    with pytest.raises(
        ValueError, match=r"recordings\[1\]: expected the step of recordings\[0\], 0.05 s, got 0.1 s"
    ):
        windows([a, Recording(2 * t, x, u, SPACE)], 5)
    with pytest.raises(ValueError, match=r"recordings\[1\]: expected at least 15 samples, got 10"):
        windows([a, a[:10]], 15)
    with pytest.raises(ValueError, match="at least one recording"):
        windows([], 5)
    for length, stride in ((1, 1), (5, 0)):
        with pytest.raises(ValueError, match="length >= 2 and stride >= 1"):
            windows(a, length, stride)
