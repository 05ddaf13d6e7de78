"""Layouts of flat states."""

from __future__ import annotations

import pytest
import torch

from integrators import Part, StateSpace, rigid_body_space, vector
from lie import SE3, SO3

SPACE = StateSpace(
    vector("x", 2, unit="m", frame="world"), Part("R", SO3), Part("time"), Part("A", None, (2, 3))
)


def sample(*batch: int) -> torch.Tensor:
    x = torch.arange(18.0, dtype=torch.float64).expand(*batch, 18).clone()
    x[..., 2:11] = torch.eye(3, dtype=torch.float64).flatten()
    return x


def test_sizes_names_and_slices():
    assert SPACE.size == 18
    assert SPACE.names == ("x", "R", "time", "A")
    assert SPACE.slices["R"] == slice(2, 11)
    assert repr(SPACE) == "StateSpace(x: 2, R: 3x3, time: scalar, A: 2x3)"
    assert rigid_body_space(SE3).names == ("x", "R", "v", "omega")
    assert rigid_body_space(SO3).size == 12


def test_views_share_memory_and_shape():
    x = sample(4, 5)
    parts = SPACE.view(x)
    assert {name: tuple(part.shape) for name, part in parts.items()} == {
        "x": (4, 5, 2),
        "R": (4, 5, 3, 3),
        "time": (4, 5),
        "A": (4, 5, 2, 3),
    }
    parts["A"][0, 0, 1, 2] = -1.0
    assert x[0, 0, 17] == -1.0
    assert parts["A"][1, 1, 1, 0] == x[1, 1, 15]


def test_pack_undoes_view_and_broadcasts():
    x = sample(4)
    assert torch.equal(SPACE.pack(**SPACE.view(x)), x)
    parts = SPACE.view(x[0])
    mixed = SPACE.pack(**{**parts, "time": torch.arange(4.0, dtype=torch.float64)})
    assert mixed.shape == (4, 18)
    assert torch.equal(mixed[:, 11], torch.arange(4.0, dtype=torch.float64))


def test_labels_name_every_entry():
    labels = SPACE.labels()
    assert len(labels) == 18
    assert labels[0] == "x[0]"
    assert labels[3] == "R[0,1]"
    assert labels[11] == "time"
    assert labels[17] == "A[1,2]"


def test_spaces_are_values():
    assert rigid_body_space(SO3) == rigid_body_space(SO3)
    assert len({rigid_body_space(SO3), rigid_body_space(SO3), rigid_body_space(SE3)}) == 2
    assert rigid_body_space(SO3) != "R"


def test_layouts_that_are_refused():
    with pytest.raises(ValueError, match="distinct names"):
        StateSpace(vector("x", 2), vector("x", 3))
    with pytest.raises(ValueError, match="one or more parts"):
        StateSpace()


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"x: expected shape \(\.\.\., 18\)"):
        SPACE.view(torch.zeros(17))
    with pytest.raises(ValueError, match="pack: expected the parts"):
        SPACE.pack(x=torch.zeros(2))
    parts = SPACE.view(sample())
    with pytest.raises(ValueError, match=r"A: expected shape \(\.\.\., 2, 3\), got \(3, 2\)"):
        SPACE.pack(**{**parts, "A": torch.zeros(3, 2)})


def test_check_accepts_states():
    SPACE.check(sample(3))
    SPACE.check(sample(3).float())


def test_check_names_what_is_wrong():
    with pytest.raises(
        TypeError, match=r"start: expected a float32 or float64 tensor, got a tensor of torch\.int64"
    ):
        SPACE.check(torch.zeros(18, dtype=torch.int64), name="start")
    with pytest.raises(TypeError, match="got list"):
        SPACE.check([0.0] * 18)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"x: expected shape \(\.\.\., 18\)"):
        SPACE.check(torch.zeros(3, 12))
    x = sample(3)
    x[1, 13] = float("nan")
    with pytest.raises(ValueError, match=r"got nan in A\[0,1\] at batch index \(1,\)"):
        SPACE.check(x)
    x = sample(3)
    x[2, 2] = 1.1
    with pytest.raises(ValueError, match=r"x\.R\[2\] is not in SO3"):
        SPACE.check(x)
    SPACE.check(x, tol=0.5)


def test_units_and_frames_count_where_both_are_stated() -> None:
    plain = StateSpace(vector("q", 2), vector("p", 2))
    stated = StateSpace(vector("q", 2, unit="rad"), vector("p", 2, frame="body"))
    other = StateSpace(vector("q", 2, unit="m"), vector("p", 2, frame="world"))
    assert plain != stated
    assert plain.fits(stated)
    assert stated.fits(plain)
    assert stated.fits(stated)
    assert not stated.fits(other)
    assert not stated.fits(StateSpace(vector("q", 2, unit="m"), vector("p", 2)))
    assert not stated.fits(StateSpace(vector("q", 2), vector("p", 2, frame="world")))
    assert not plain.fits(StateSpace(vector("q", 2), vector("p", 3)))
    assert not plain.fits(StateSpace(vector("p", 2), vector("q", 2)))
    assert not plain.fits(StateSpace(vector("q", 2)))
