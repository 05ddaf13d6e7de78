"""What is particular to SE_2(3) and Sim(3): large scales, half turns, parts, projections."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lie import SE3, SE23, SO3, Sim3

from . import reference, series
from .acceptance import Acceptance, acceptance, spread

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def far() -> torch.Tensor:
    """Tangents of Sim(3) on both sides of the radius where quadrature ends, and well beyond it."""
    pairs = (
        (2.99, 0.0), (3.01, 0.0), (-2.99, 1e-3), (-3.01, 1e-3), (0.0, 2.99), (0.0, 3.01), (1e-9, 3.01),
        (1e-9, 4.0), (2.1, 2.1), (2.2, 2.1), (5.0, 1.0), (-5.0, 2.0), (0.3, 6.0), (-7.0, 0.0), (7.0, 3.0),
    )  # fmt: skip
    sigma, angle = (torch.tensor(column, dtype=torch.float64)[:, None] for column in zip(*pairs))
    count = len(pairs)
    return torch.cat(
        (spread(count, 3, 3, torch.float64), angle * spread(count, 3, 4, torch.float64), sigma), 1
    )


def test_similarities_of_large_scale_and_angle() -> None:
    every = Acceptance(Sim3, far(), slice(3, 6))
    assert every.exp() <= 4
    assert every.jacobian() <= 2
    assert every.jacobian_inverse() <= 2
    gradient, hessian = every.derivatives_of_exp()
    assert gradient <= 16
    assert hessian <= 32


def test_derivatives_of_the_jacobian_of_similarities_agree_with_its_series() -> None:
    """The left Jacobian is differentiated by integrators; its own derivative is that of the series."""
    xi = torch.cat((acceptance("Sim3", torch.float64).xi[::9], far()))
    xi = xi[torch.linalg.vector_norm(xi[:, 3:6], dim=-1) < 3.2]
    v = spread(len(xi), 7, 5, torch.float64)
    step = 2.0**-40
    ahead, behind = (series.phi1(Sim3.ad(xi + s * v)) for s in (step, -step))
    # the steps are rounded: divide by what was taken, in the direction that was taken
    taken = ((xi + step * v) - (xi - step * v)) / (2 * step)
    truth = (ahead - behind) / (2 * step)
    got = torch.func.jvp(Sim3.left_jacobian, (xi,), (taken,))[1]
    size = np.abs(truth).astype(float).max((1, 2))
    assert float((reference.error(got, truth) / size).max()) <= 64 * 2.0**-52 + step**2


@dtypes
def test_half_turns_have_a_log_up_to_sign_with_finite_derivatives(dtype: torch.dtype) -> None:
    axes = torch.tensor(reference.axes(), dtype=dtype)
    flipped = 2 * axes[:, :, None] * axes[:, None, :] - torch.eye(3, dtype=dtype)
    ones = torch.ones_like(axes)
    for group, g, turn in (
        (SE23, SE23.from_parts(flipped, ones, -ones), slice(6, 9)),
        (Sim3, Sim3.from_parts(flipped, ones, torch.full((len(axes),), 2.0, dtype=dtype)), slice(3, 6)),
    ):
        xi = group.log(g)
        angle = torch.linalg.vector_norm(xi[:, turn], dim=-1)
        assert float((angle - math.pi).abs().max()) <= 8 * torch.finfo(dtype).eps
        torch.testing.assert_close(group.exp(xi), g, rtol=0, atol=32 * torch.finfo(dtype).eps)
        for order in (torch.func.jacrev, torch.func.hessian):
            assert bool(torch.isfinite(torch.vmap(order(group.log))(g)).all())


def test_extended_poses_hold_rigid_motions() -> None:
    generator = torch.Generator().manual_seed(0)
    g, h = (SE23.random(5, generator=generator, dtype=torch.float64) for _ in range(2))
    poses = [SE3.from_parts(SE23.rotation(x), SE23.position(x)) for x in (g, h, SE23.compose(g, h))]
    torch.testing.assert_close(SE3.compose(poses[0], poses[1]), poses[2])
    points = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(SE23.act(g, points), SE3.act(poses[0], points))
    velocity = SO3.act(SE23.rotation(g), SE23.velocity(h)) + SE23.velocity(g)
    torch.testing.assert_close(SE23.velocity(SE23.compose(g, h)), velocity)
    parts = SE23.from_parts(SE23.rotation(g)[:, None].float(), SE23.position(h), SE23.velocity(g)[:1])
    assert parts.shape == (5, 5, 5, 5)
    assert parts.dtype == torch.float64
    with pytest.raises(ValueError, match=r"velocity must have shape \(\.\.\., 3\)"):
        SE23.from_parts(torch.eye(3), torch.zeros(3), torch.zeros(4))


def test_parts_of_a_similarity() -> None:
    generator = torch.Generator().manual_seed(0)
    rotation = SO3.random(5, generator=generator, dtype=torch.float64)
    t = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    scale = torch.tensor([1e-6, 0.5, 1.0, 3.0, 1e6], dtype=torch.float64)
    g = Sim3.from_parts(rotation, t, scale)
    Sim3.check(g)
    torch.testing.assert_close(Sim3.rotation(g), rotation, rtol=0, atol=1e-15)
    torch.testing.assert_close(Sim3.scale(g), scale, rtol=1e-15, atol=0)
    assert torch.equal(Sim3.translation(g), t)
    points = torch.ones(3, dtype=torch.float64)
    expected = scale[:, None] * SO3.act(rotation, points) + t
    torch.testing.assert_close(Sim3.act(g, points), expected, rtol=1e-15, atol=1e-15)
    mixed = Sim3.from_parts(rotation[:, None].float(), t, scale)
    assert mixed.shape == (5, 5, 4, 4)
    assert mixed.dtype == torch.float64


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scales_whose_squares_are_beyond_single_precision(scale: float) -> None:
    rotation = SO3.random(5, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    g = Sim3.from_parts(rotation, torch.ones(3), torch.full((5,), scale))
    Sim3.check(g)
    torch.testing.assert_close(Sim3.scale(g), torch.full((5,), scale), rtol=4e-7, atol=0)
    xi = Sim3.log(g)
    torch.testing.assert_close(xi[:, 6], torch.full((5,), math.log(scale)), rtol=4e-7, atol=0)
    torch.testing.assert_close(xi[:, 3:6], SO3.log(rotation), rtol=0, atol=1e-6)
    there_and_back = Sim3.compose(Sim3.inverse(g), g)[:, :3, :3]
    torch.testing.assert_close(there_and_back, torch.eye(3).expand(5, 3, 3), rtol=0, atol=1e-6)


def test_the_cayley_transform_leaves_the_similarities() -> None:
    """It maps sigma + i theta across the axis and sigma along it to factors of different modulus."""
    u = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.5], dtype=torch.float64)
    half = 0.5 * Sim3.hat(u)
    eye = torch.eye(4, dtype=torch.float64)
    transform = torch.linalg.solve(eye - half, eye + half)
    along = transform[2, 2]
    across = torch.linalg.vector_norm(transform[:2, 0])
    assert float(along) == pytest.approx(1.25 / 0.75, rel=1e-15)
    assert float(across) == pytest.approx(abs((1.25 + 0.5j) / (0.75 - 0.5j)), rel=1e-15)
    assert float(Sim3.residual(transform)) > 0.05
    assert not Sim3.cayley_closed


def test_projection_on_similarities_is_the_nearest_one() -> None:
    generator = torch.Generator().manual_seed(3)
    x = Sim3.random(4, generator=generator, dtype=torch.float64)
    noise = torch.randn(4, 3, 4, generator=generator, dtype=torch.float64)
    x = torch.cat((x[:, :3] + 0.3 * noise, x[:, 3:]), 1)
    nearest = Sim3.project(x)
    Sim3.check(nearest)
    best = (x - nearest).square().sum((-2, -1))
    for scale in (1e-3, 1e-2, 0.1):
        xi = scale * torch.randn(200, 1, 7, generator=generator, dtype=torch.float64)
        xi[..., :3] = 0
        other = Sim3.compose(Sim3.exp(xi), nearest)
        other = torch.cat((other[..., :3], nearest[:, :, 3:].expand(200, 4, 4, 1)), -1)
        assert bool(((x - other).square().sum((-2, -1)) >= best).all())
