import re
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from geomlearn.data import from_arrays
from integrators import configuration_space, rigid_body_space
from lie import SE3, SO3

T = 12
TIMES = 0.1 * np.arange(T)
TURN = Rotation.random(T, rng=np.random.default_rng(0))
RNG = np.random.default_rng(1)
X, V, W = RNG.normal(size=(3, T, 3))
MOVING: dict[str, Any] = {"velocity_frame": "world", "angular_velocity_frame": "body"}


def held(data):
    assert data.controls is not None
    return data.controls


def test_quaternions_of_either_order_are_the_rotations_of_scipy():
    q = TURN.as_quat()
    xyzw = from_arrays(TIMES, q, quaternion="xyzw")
    wxyz = from_arrays(TIMES, np.roll(q, 1, axis=1), quaternion="wxyz")
    truth = torch.from_numpy(TURN.as_matrix())
    for recording in (xyzw, wxyz):
        assert recording.space == configuration_space(SO3)
        torch.testing.assert_close(recording.space.view(recording.states)["R"], truth, rtol=0, atol=1e-15)


@pytest.mark.parametrize("shape", [(T, 3, 3), (T, 9)])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, list])
def test_matrices_are_taken_as_they_are(shape, kind):
    R = TURN.as_matrix().reshape(shape)
    recording = from_arrays(kind(TIMES), kind(R))
    assert torch.equal(recording.states, torch.from_numpy(TURN.as_matrix().reshape(T, 9)))


def test_frames_are_converted_as_scipy_turns_vectors():
    recording = from_arrays(
        TIMES, TURN.as_matrix(), X, V, W, velocity_frame="body", angular_velocity_frame="world"
    )
    parts = recording.space.view(recording.states)
    assert recording.space == rigid_body_space(SE3)
    torch.testing.assert_close(parts["v"], torch.from_numpy(TURN.apply(V)), rtol=0, atol=1e-14)
    torch.testing.assert_close(parts["omega"], torch.from_numpy(TURN.inv().apply(W)), rtol=0, atol=1e-14)
    same = from_arrays(TIMES, TURN.as_matrix(), X, V, W, **MOVING)
    parts = same.space.view(same.states)
    assert torch.equal(parts["x"], torch.from_numpy(X))
    assert torch.equal(parts["v"], torch.from_numpy(V))
    assert torch.equal(parts["omega"], torch.from_numpy(W))


def test_what_is_given_decides_the_space():
    R = TURN.as_matrix()
    assert from_arrays(TIMES, R, X).space == configuration_space(SE3)
    assert from_arrays(TIMES, R, angular_velocity=W, angular_velocity_frame="body").space == rigid_body_space(
        SO3
    )
    assert held(from_arrays(TIMES, R, controls=np.zeros((T - 1, 4)))).shape == (T - 1, 4)
    single = from_arrays(TIMES, R, controls=np.zeros((T, 4)), dtype=torch.float32)
    assert single.states.dtype == held(single).dtype == torch.float32
    assert single.times.dtype == torch.float64


def test_the_callers_arrays_are_not_shared():
    R = TURN.as_matrix().copy()
    recording = from_arrays(TIMES, R)
    R[0] = 0
    assert torch.equal(recording.states[0], torch.from_numpy(TURN.as_matrix()[0].ravel()))


def test_no_convention_is_guessed():
    q, R = TURN.as_quat(), TURN.as_matrix()
    with pytest.raises(ValueError, match="quaternion: say the order"):
        from_arrays(TIMES, q)
    with pytest.raises(ValueError, match="quaternion: expected 'xyzw' or 'wxyz', got 'wzyx'"):
        from_arrays(TIMES, q, quaternion="wzyx")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"orientation: expected quaternions of shape \(12, 4\), got \(12, 3, 3\)"
    ):
        from_arrays(TIMES, R, quaternion="xyzw")
    with pytest.raises(ValueError, match="angular_velocity_frame: expected 'body' or 'world'"):
        from_arrays(TIMES, R, angular_velocity=W)
    with pytest.raises(ValueError, match="velocity_frame: expected 'body' or 'world'"):
        from_arrays(TIMES, R, X, V, W, angular_velocity_frame="body")
    with pytest.raises(ValueError, match="velocity_frame: expected None without velocity"):
        from_arrays(TIMES, R, X, velocity_frame="body")
    with pytest.raises(ValueError, match="velocity: expected a position"):
        from_arrays(TIMES, R, velocity=V, velocity_frame="body")
    with pytest.raises(ValueError, match="angular_velocity is missing"):
        from_arrays(TIMES, R, X, V, velocity_frame="body")
    with pytest.raises(ValueError, match="; velocity is missing"):
        from_arrays(TIMES, R, X, angular_velocity=W, angular_velocity_frame="body")


def test_names_the_row_and_length_of_a_quaternion_off_unit():
    q = TURN.as_quat()
    q[7] *= 1.02
    with pytest.raises(ValueError, match=r"the worst is at row 7 with length 1.02; .*project=True"):
        from_arrays(TIMES, q, quaternion="xyzw")
    for keywords in ({"project": True}, {"tol": 0.05}):
        recording = from_arrays(TIMES, q, quaternion="xyzw", **keywords)
        torch.testing.assert_close(
            recording.states, torch.from_numpy(TURN.as_matrix().reshape(T, 9)), rtol=0, atol=1e-15
        )
    q[5] = 0
    with pytest.raises(ValueError, match="the quaternion at row 5 is nearly zero"):
        from_arrays(TIMES, q, quaternion="xyzw", project=True)


def test_names_the_row_and_defect_of_a_matrix_that_is_no_rotation():
    R = TURN.as_matrix().copy()
    R[9] += 1e-3 * RNG.normal(size=(3, 3))
    with pytest.raises(ValueError, match=r"the worst is at row 9, off the group by 0\.00"):
        from_arrays(TIMES, R)
    u, _, vt = np.linalg.svd(R[9])
    projected = from_arrays(TIMES, R, project=True).states.reshape(T, 3, 3)
    np.testing.assert_allclose(projected[9].numpy(), u @ vt, rtol=0, atol=1e-14)
    np.testing.assert_allclose(projected[:9].numpy(), R[:9], rtol=0, atol=1e-14)
    loose = from_arrays(TIMES, R, tol=0.02)
    assert torch.equal(loose.states[9], torch.from_numpy(R[9].ravel()))


def test_a_reflection_is_not_projected_away():
    R = TURN.as_matrix().copy()
    R[4, :, 0] *= -1
    with pytest.raises(ValueError, match=r"row 4.*reflection: an axis is flipped"):
        from_arrays(TIMES, R)
    with pytest.raises(ValueError, match="the orientation at row 4 has determinant -1"):
        from_arrays(TIMES, R, project=True)


@pytest.mark.parametrize(
    ("what", "column"),
    [
        ("position", "position[2]"),
        ("velocity", "velocity[2]"),
        ("angular_velocity", "angular_velocity[2]"),
        ("controls", "controls[2]"),
        ("orientation", "orientation[2,2]"),
    ],
)
def test_names_the_row_and_column_of_a_missing_number(what, column):
    given: dict[str, Any] = {
        "orientation": TURN.as_matrix(), "position": X, "velocity": V, "angular_velocity": W,
        "controls": np.zeros((T, 3)),
    }  # fmt: skip
    given[what] = given[what].copy()
    given[what][(8, *([2] * (given[what].ndim - 1)))] = np.nan
    message = re.escape(f"flight: expected finite numbers, got nan at row 8, column {column}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        from_arrays(TIMES, **given, **MOVING, name="flight")


def test_refuses_wrong_shapes_and_types():
    R = TURN.as_matrix()
    with pytest.raises(ValueError, match=r"expected position of shape \(12, 3\), got \(11, 3\)"):
        from_arrays(TIMES, R, X[1:])
    with pytest.raises(ValueError, match=r"expected orientation of shape \(12, 3, 3\), got \(11, 3, 3\)"):
        from_arrays(TIMES, R[1:])
    with pytest.raises(ValueError, match=r"expected orientation of shape \(12, 9\), got \(12, 3\)"):
        from_arrays(TIMES, X)
    with pytest.raises(ValueError, match=r"expected times of shape \(T\), got \(12, 1\)"):
        from_arrays(TIMES[:, None], R)
    with pytest.raises(ValueError, match=r"expected controls of shape \(T, m\), got \(12,\)"):
        from_arrays(TIMES, R, controls=np.zeros(T))
    with pytest.raises(ValueError, match="at least 2 rows"):
        from_arrays(TIMES[:1], R[:1])
    with pytest.raises(ValueError, match=r"row 1 at 0.0 s does not come after row 0"):
        from_arrays(0 * TIMES, R)
    with pytest.raises(TypeError, match="position: expected an array of real numbers, got list"):
        from_arrays(TIMES, R, [["a", "b", "c"]] * T)
    with pytest.raises(TypeError, match="position: expected an array of real numbers, got ndarray"):
        from_arrays(TIMES, R, X + 1j)
    with pytest.raises(TypeError, match="dtype: expected"):
        from_arrays(TIMES, R, dtype=torch.float16)
