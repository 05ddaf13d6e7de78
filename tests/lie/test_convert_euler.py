"""Euler angles of all 24 sequences against scipy, and their derivatives against their inverse."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import torch
from scipy.spatial.transform import Rotation

from lie import SO3
from lie.convert import euler_from_matrix, matrix_from_euler

LETTERS = ["".join(s) for s in itertools.product("xyz", repeat=3) if s[0] != s[1] != s[2]]
SEQUENCES = LETTERS + [s.upper() for s in LETTERS]
EPS = 2.0**-52

sequences = pytest.mark.parametrize("sequence", SEQUENCES)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def middle(sequence: str) -> tuple[float, float]:
    """Range of the second angle."""
    return (0.0, math.pi) if sequence[0] == sequence[2] else (-math.pi / 2, math.pi / 2)


def inside(sequence: str, count: int = 300, margin: float = 0.05) -> torch.Tensor:
    """Angles that come back: the second one within its range by a margin."""
    share = torch.rand(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low, high = middle(sequence)
    low, high = low + margin, high - margin
    scale = torch.tensor([2 * math.pi, high - low, 2 * math.pi], dtype=torch.float64)
    return share * scale + torch.tensor([-math.pi, low, -math.pi], dtype=torch.float64)


def test_there_are_24_sequences():
    assert len(SEQUENCES) == len(set(SEQUENCES)) == 24


@sequences
def test_both_directions_agree_with_scipy(sequence):
    angles = inside(sequence)
    rotation = matrix_from_euler(angles, sequence)
    expected = torch.tensor(Rotation.from_euler(sequence, angles.numpy()).as_matrix())
    torch.testing.assert_close(rotation, expected, rtol=0, atol=8 * EPS)
    random = SO3.random(300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    got = euler_from_matrix(random, sequence)
    expected = torch.tensor(Rotation.from_matrix(random.numpy()).as_euler(sequence))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@sequences
@dtypes
def test_angles_come_back(sequence, dtype):
    angles = inside(sequence).to(dtype)
    got = euler_from_matrix(matrix_from_euler(angles, sequence), sequence)
    # rounding of the matrix moves the outer angles by its size over the distance from gimbal lock
    torch.testing.assert_close(got, angles, rtol=0, atol=16 * torch.finfo(dtype).eps / math.sin(0.05))


@sequences
@dtypes
def test_gimbal_lock_sets_the_third_angle_to_zero_and_keeps_the_rotation(sequence, dtype):
    eps = torch.finfo(dtype).eps
    for end, offset in itertools.product(middle(sequence), (0.0, 1e-12, 1e-9, 1e-6, 1e-4)):
        inward = end + offset if end == middle(sequence)[0] else end - offset
        angles = torch.tensor([[0.7, inward, -0.4], [-2.9, inward, 2.5]], dtype=dtype)
        rotation = matrix_from_euler(angles, sequence)
        got = euler_from_matrix(rotation, sequence)
        again = matrix_from_euler(got, sequence)
        torch.testing.assert_close(again, rotation, rtol=0, atol=16 * eps)
        if offset == 0.0 and dtype == torch.float64:
            assert bool((got[:, 2] == 0).all())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # scipy says that there is gimbal lock
                peer = Rotation.from_matrix(rotation.numpy()).as_euler(sequence)
            torch.testing.assert_close(got, torch.tensor(peer), rtol=0, atol=1e-6)


@sequences
def test_derivatives_are_those_of_the_inverse_function(sequence):
    angles = inside(sequence, count=20, margin=0.2)
    angles = angles[(angles.abs() < 3.1).all(-1)]
    there_and_back = lambda x: euler_from_matrix(matrix_from_euler(x, sequence), sequence)  # noqa: E731
    jacobian = torch.vmap(torch.func.jacrev(there_and_back))(angles)
    torch.testing.assert_close(
        jacobian, torch.eye(3, dtype=torch.float64).expand_as(jacobian), rtol=0, atol=1e-13
    )
    forward = torch.vmap(torch.func.jacfwd(there_and_back))(angles)
    torch.testing.assert_close(forward, jacobian, rtol=0, atol=1e-13)
    hessian = torch.vmap(torch.func.hessian(there_and_back))(angles)
    assert float(hessian.abs().max()) < 1e-11


@sequences
def test_derivatives_at_gimbal_lock_are_finite(sequence):
    for end in middle(sequence):
        rotation = matrix_from_euler(torch.tensor([0.7, end, 0.0], dtype=torch.float64), sequence)
        jacobian = torch.func.jacrev(lambda R: euler_from_matrix(R, sequence))(rotation)
        assert bool(torch.isfinite(jacobian).all())
        assert float(jacobian[1:].abs().max()) == 0.0


def test_yaw_pitch_roll_of_a_vehicle():
    """Yaw of 90 degrees turns the nose from x to y; a positive pitch, about the left wing, lowers it."""
    angles = torch.tensor([math.pi / 2, 0.3, 0.0], dtype=torch.float64)
    nose = SO3.act(matrix_from_euler(angles, "ZYX"), torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    expected = torch.tensor([0.0, math.cos(0.3), -math.sin(0.3)], dtype=torch.float64)
    torch.testing.assert_close(nose, expected, rtol=0, atol=4 * EPS)
    torch.testing.assert_close(
        matrix_from_euler(angles, "ZYX"), matrix_from_euler(angles.flip(-1), "xyz"), rtol=0, atol=0
    )


@pytest.mark.parametrize("sequence", ["xXz", "xxz", "xy", "XYz", "abc", "", None, "xyzx"])
def test_other_sequences_are_refused(sequence):
    with pytest.raises(ValueError, match=r"sequence must be three letters .*, got"):
        matrix_from_euler(torch.zeros(3), sequence)
    with pytest.raises(ValueError, match=r"sequence must be three letters"):
        euler_from_matrix(torch.eye(3), sequence)


def test_batches_compile_and_vmap():
    rotation = SO3.random(2, 1, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    got = euler_from_matrix(rotation, "zxz")
    assert got.shape == (2, 1, 3, 3)
    assert euler_from_matrix(rotation[:0], "zxz").shape == (0, 1, 3, 3)
    assert euler_from_matrix(rotation[0, 0, 0], "zxz").shape == (3,)
    vectorised = torch.vmap(lambda R: euler_from_matrix(R, "zxz"))(rotation)
    assert torch.equal(vectorised, got)
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda R: matrix_from_euler(euler_from_matrix(R, "zxz"), "zxz"), fullgraph=True, backend="aot_eager"
    )
    torch.testing.assert_close(compiled(rotation), rotation, rtol=0, atol=8 * EPS)
