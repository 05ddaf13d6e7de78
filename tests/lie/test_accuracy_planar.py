"""What is particular to SO(2) and SE(2): half turns, the Cayley transform, angles, uniform samples."""

from __future__ import annotations

import math

import pytest
import torch

from lie import SE2, SO2

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


@dtypes
def test_half_turns_have_a_log_up_to_sign_with_finite_derivatives(dtype: torch.dtype) -> None:
    g = SE2.from_parts(-torch.eye(2, dtype=dtype), torch.tensor([2.0, 0.0], dtype=dtype))
    xi = SE2.log(g)
    assert abs(float(xi[2].abs()) - math.pi) <= 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(SE2.exp(xi), g, rtol=0, atol=4 * torch.finfo(dtype).eps)
    for order in (torch.func.jacrev, torch.func.hessian):
        derivative = order(lambda h: SE2.log(h, check=False))(g)
        assert bool(torch.isfinite(derivative).all())


@dtypes
def test_inverse_cayley_keeps_its_digits_up_to_half_turns(dtype: torch.dtype) -> None:
    u = torch.tensor([0.0, 1e-6, 0.3, 1.9, 2.1, 30.0, 1e3, -1e3], dtype=dtype)[:, None]
    got = SO2.cayley_inverse(SO2.cayley(u))
    torch.testing.assert_close(got, u, rtol=8 * torch.finfo(dtype).eps, atol=0)
    with pytest.raises(ValueError, match=r"g has the eigenvalue -1"):
        SO2.cayley_inverse(-torch.eye(2, dtype=dtype))


def test_projection_is_the_nearest_rotation() -> None:
    x = torch.randn(50, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grid = SO2.from_angle(torch.linspace(-math.pi, math.pi, 2001, dtype=torch.float64))
    best = (x[:, None] - grid).square().sum((-2, -1)).amin(-1)
    nearest = SO2.project(x)
    assert float(SO2.residual(nearest).max()) <= 1e-15
    assert bool(((x - nearest).square().sum((-2, -1)) <= best + 1e-14).all())


def test_angles_and_the_distance_between_them() -> None:
    angle = torch.tensor([-3.0, -0.5, 0.0, 2.0], dtype=torch.float64)
    rotation = SO2.from_angle(angle)
    torch.testing.assert_close(SO2.angle(rotation), angle, rtol=1e-15, atol=0)
    expected = torch.tensor([2 * math.pi - 5.0, 2.5, 2.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(SO2.distance(rotation, rotation[3]), expected, rtol=1e-15, atol=0)
    g = SE2.from_angle(angle, torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(SE2.angle(g), angle, rtol=1e-15, atol=0)
    assert torch.equal(SE2.translation(g), torch.ones(4, 2, dtype=torch.float64))
    with pytest.raises(TypeError, match="angle must be float32 or float64"):
        SO2.from_angle(torch.tensor(1))


def test_random_rotations_are_uniform() -> None:
    angle = SO2.angle(SO2.random(20000, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    count = torch.histc(angle, bins=20, min=-math.pi, max=math.pi)
    chi_squared = float(((count - 1000) ** 2 / 1000).sum())
    assert chi_squared < 43.8  # exceeded once in a thousand seeds


def test_motion_along_a_quarter_of_the_unit_circle() -> None:
    quarter = torch.tensor([math.pi / 2, 0.0, math.pi / 2], dtype=torch.float64)  # arc length = angle
    g = SE2.exp(quarter)
    torch.testing.assert_close(SE2.translation(g), torch.ones(2, dtype=torch.float64), rtol=1e-15, atol=0)
    corner = torch.tensor([1.0, 0.0], dtype=torch.float64)
    expected = torch.tensor([1.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(SE2.act(g, corner), expected, rtol=1e-15, atol=0)
