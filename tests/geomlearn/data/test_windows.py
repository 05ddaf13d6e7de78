from typing import Any

import pytest
import torch

from geomlearn.data import Windows
from integrators import StateSpace, configuration_space, rigid_body_space, vector
from lie import SE3, SO3

SPACE = rigid_body_space(SO3)


def held(data):
    assert data.controls is not None
    return data.controls


def states(count=6, samples=4, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    R = SO3.random(count, samples, generator=generator, dtype=torch.float64)
    omega = torch.randn(count, samples, 3, generator=generator, dtype=torch.float64)
    return SPACE.pack(R=R, omega=omega).to(dtype)


def controls(count=6, samples=4, size=2, dtype=torch.float64):
    return torch.arange(count * (samples - 1) * size, dtype=dtype).reshape(count, samples - 1, size)


def test_keeps_what_it_is_given():
    x, u = states(), controls()
    w = Windows(x, u, 0.02, SPACE)
    assert len(w) == 6
    assert torch.equal(w.states, x)
    assert torch.equal(held(w), u)
    assert w.recording.tolist() == [0, 1, 2, 3, 4, 5]
    assert w.control_space == StateSpace(vector("u", 2))
    assert "6 of 4 samples, h=0.02 s" in repr(w)


@pytest.mark.parametrize("space", [configuration_space(SO3), configuration_space(SE3), rigid_body_space(SE3)])
def test_takes_poses_and_moving_bodies(space):
    parts = {part.name: torch.zeros(2, 3, *part.shape, dtype=torch.float64) for part in space.parts}
    parts["R"] = SO3.random(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert len(Windows(space.pack(**parts), None, 0.1, space)) == 2


def test_is_frozen():
    with pytest.raises(AttributeError):
        Windows(states(), None, 0.02, SPACE).h = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_names_window_sample_and_column_of_a_bad_number(value):
    x = states()
    x[3, 2, 11] = value
    with pytest.raises(ValueError, match=rf"states: .*got {value} at window 3, sample 2, column omega\[2\]"):
        Windows(x, None, 0.02, SPACE)
    u = controls()
    u[4, 1, 1] = value
    with pytest.raises(ValueError, match=rf"controls: .*got {value} at window 4, sample 1, column u\[1\]"):
        Windows(states(), u, 0.02, SPACE)


def test_names_window_sample_and_columns_of_a_bad_rotation():
    x = states()
    x[5, 1, 0] += 1e-3
    with pytest.raises(
        ValueError, match=r"columns R\[0,0\] ... R\[2,2\], the worst is at window 5, sample 1, off"
    ):
        Windows(x, None, 0.02, SPACE)
    assert len(Windows(x, None, 0.02, SPACE, tol=1e-2)) == 6


def test_says_that_a_reflection_is_one():
    x = states()
    x[2, 3, :3] *= -1
    with pytest.raises(ValueError, match=r"window 2, sample 3, off the group by 1.7 .*reflection"):
        Windows(x, None, 0.02, SPACE)


def test_refuses_wrong_types_and_shapes():
    x = states()
    with pytest.raises(TypeError, match=r"states: expected a torch.Tensor, got ndarray"):
        Windows(x.numpy(), None, 0.02, SPACE)
    with pytest.raises(TypeError, match=r"states: expected float64 or float32, got torch.int64"):
        Windows(x.long(), None, 0.02, SPACE)
    with pytest.raises(ValueError, match=r"states: expected shape \(N, T, 12\)"):
        Windows(x[0], None, 0.02, SPACE)
    with pytest.raises(ValueError, match=r"states: expected shape \(N, T, 12\)"):
        Windows(x[:, :1], None, 0.02, SPACE)
    with pytest.raises(ValueError, match="states: expected 12 columns"):
        Windows(x[..., :9], None, 0.02, SPACE)
    with pytest.raises(ValueError, match=r"controls: expected shape \(6, 3, m\)"):
        Windows(x, controls(samples=5), 0.02, SPACE)
    with pytest.raises(
        TypeError, match=r"controls: expected the dtype of the states, torch.float64, got torch.float32"
    ):
        Windows(x, controls(dtype=torch.float32), 0.02, SPACE)
    with pytest.raises(ValueError, match="controls: expected 3 columns"):
        Windows(x, controls(), 0.02, SPACE, control_space=StateSpace(vector("u", 3)))
    with pytest.raises(ValueError, match="control_space: expected None without controls"):
        Windows(x, None, 0.02, SPACE, control_space=StateSpace(vector("u", 3)))
    label: Any
    for label in (torch.zeros(5, dtype=torch.int64), torch.zeros(6), [0] * 6):
        with pytest.raises(ValueError, match=r"recording: expected an int64 tensor of shape \(6,\)"):
            Windows(x, None, 0.02, SPACE, recording=label)
    h: Any
    for h in (0.0, -1.0, float("nan"), "0.02"):
        with pytest.raises(ValueError, match="h: expected a positive number"):
            Windows(x, None, h, SPACE)
    with pytest.raises(ValueError, match="have no controls"):
        _ = Windows(x, None, 0.02, SPACE).layout_of_controls


def test_indexing_keeps_states_controls_and_labels_together():
    w = Windows(states(), controls(), 0.02, SPACE, recording=torch.tensor([5, 5, 7, 7, 9, 9]))
    chosen = {
        "integer": (w[-1], [5]),
        "slice": (w[1:5:2], [1, 3]),
        "list": (w[[4, 0]], [4, 0]),
        "tensor": (w[torch.tensor([2, 2])], [2, 2]),
        "mask": (w[torch.tensor([True, False, False, True, False, False])], [0, 3]),
    }
    for part, places in chosen.values():
        assert torch.equal(part.states, w.states[places])
        assert torch.equal(held(part), held(w)[places])
        assert part.recording.tolist() == [[5, 5, 7, 7, 9, 9][k] for k in places]
    index: Any
    for index in (6, -7, [], slice(0, 0)):
        with pytest.raises(IndexError):
            w[index]


def test_split_never_shares_a_recording():
    label = torch.arange(10).repeat_interleave(3)
    w = Windows(states(30), controls(30), 0.02, SPACE, recording=label)
    for seed in range(20):
        first, second = w.split(0.7, torch.Generator().manual_seed(seed))
        assert set(first.recording.tolist()).isdisjoint(second.recording.tolist())
        assert len(first) == 21
        assert len(second) == 9
        together = torch.cat([first.states, second.states]).flatten(1)
        assert torch.equal(together.sort(0).values, w.states.flatten(1).sort(0).values)
    draws = {
        tuple(w.split(0.7, torch.Generator().manual_seed(s))[1].recording.unique().tolist())
        for s in range(20)
    }
    assert len(draws) > 5
    first, second = w.split(0.5)
    assert first.recording.unique().tolist() == [0, 1, 2, 3, 4]
    first, second = w.split(0.999)
    assert len(second) == 3


def test_split_refuses_one_recording_and_bad_fractions():
    w = Windows(states(), None, 0.02, SPACE, recording=torch.zeros(6, dtype=torch.int64))
    with pytest.raises(ValueError, match="split: all windows come from one recording"):
        w.split(0.5)
    for fraction in (0.0, 1.0, 1.5):
        with pytest.raises(ValueError, match="fraction: expected a number between 0 and 1"):
            w.split(fraction)


def test_batches_visit_every_window_once():
    w = Windows(states(7), controls(7), 0.02, SPACE)
    plain = list(w.batches(3))
    assert [len(b) for b in plain] == [3, 3, 1]
    assert torch.equal(torch.cat([b.states for b in plain]), w.states)
    shuffled = list(w.batches(3, torch.Generator().manual_seed(1)))
    order = torch.cat([b.recording for b in shuffled])
    assert sorted(order.tolist()) == list(range(7))
    assert order.tolist() != list(range(7))
    assert torch.equal(torch.cat([held(b) for b in shuffled]), held(w)[order])
    again = torch.cat([b.recording for b in w.batches(3, torch.Generator().manual_seed(1))])
    assert torch.equal(order, again)
    assert [len(b) for b in w.batches(3, drop_last=True)] == [3, 3]
    with pytest.raises(ValueError, match="size: expected at least 1"):
        next(w.batches(0))


def test_to_converts_states_and_controls():
    w = Windows(states(), controls(), 0.02, SPACE)
    single = w.to(torch.float32)
    assert single.states.dtype == held(single).dtype == torch.float32
    assert torch.equal(single.states, w.states.float())
    assert len(Windows(single.states, single.controls, 0.02, SPACE)) == 6
    assert w.to(device="cpu").states.dtype == torch.float64
    assert held(w.to(device="meta")).device.type == "meta"
    with pytest.raises(TypeError, match="dtype: expected"):
        w.to(torch.float16)


def test_concatenate_numbers_recordings_anew_or_keeps_them():
    a = Windows(states(4), controls(4), 0.02, SPACE, recording=torch.tensor([3, 3, 8, 8]))
    b = Windows(states(2, seed=1), controls(2), 0.02, SPACE, recording=torch.tensor([8, 8]))
    anew = Windows.concatenate([a, b], same_recordings=False)
    assert anew.recording.tolist() == [0, 0, 1, 1, 2, 2]
    assert Windows.concatenate([a, b], same_recordings=True).recording.tolist() == [3, 3, 8, 8, 8, 8]
    assert torch.equal(anew.states, torch.cat([a.states, b.states]))
    assert torch.equal(held(anew), torch.cat([held(a), held(b)]))


def test_concatenate_refuses_sets_that_differ():
    a = Windows(states(), controls(), 0.02, SPACE)
    others = {
        "h": Windows(states(), controls(), 0.03, SPACE),
        "samples per window": Windows(states(samples=5), controls(samples=5), 0.02, SPACE),
        "control_space": Windows(states(), None, 0.02, SPACE),
        "dtype": a.to(torch.float32),
        "space": Windows(states()[..., :9], controls(), 0.02, configuration_space(SO3)),
    }
    for what, other in others.items():
        with pytest.raises(ValueError, match=rf"sets\[1\]: expected {what} as in sets\[0\]"):
            Windows.concatenate([a, other], same_recordings=False)
    with pytest.raises(ValueError, match="expected at least one set"):
        Windows.concatenate([], same_recordings=False)
