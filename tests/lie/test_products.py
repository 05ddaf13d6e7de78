"""Direct products and powers of groups: the laws of a group, the layout, and what each factor alone gives."""

from __future__ import annotations

import pytest
import torch

from lie import SE3, SL, SO3, Euclidean, Power, Product, UnitQuaternion
from lie.testing import LieGroupSuite

BODY = Product(SO3, Euclidean(3))
LINKS = Power(SE3, 3)
NESTED = Product(UnitQuaternion, Product(SO3, Euclidean(1)) ** 2)
COMPILED = ("log", "Ad", "left_jacobian")


class TestProduct(LieGroupSuite):
    group = BODY
    compiled = COMPILED


class TestPower(LieGroupSuite):
    group = LINKS
    compiled = COMPILED


class TestNested(LieGroupSuite):
    group = NESTED
    compiled = COMPILED


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_elements_are_the_rows_of_the_factors_one_after_the_other():
    r, t = SO3.exp(draw(2, 1, 3)), draw(4, 3, seed=1).float()
    g = BODY.join(r, t)
    assert g.shape == (2, 4, 12)
    assert g.dtype == torch.float64
    assert torch.equal(g[1, 2], torch.cat((r[1, 0].reshape(9), t[2])))
    parts = BODY.split(g)
    assert [part.shape for part in parts] == [(2, 4, 3, 3), (2, 4, 3)]
    assert torch.equal(BODY.join(*parts), g)
    xi = draw(5, 6)
    phi, v = BODY.split_tangent(xi)
    assert torch.equal(phi, xi[:, :3])
    assert torch.equal(BODY.join_tangent(phi, v), xi)
    assert torch.equal(BODY.exp(xi), BODY.join(SO3.exp(phi), v))
    assert torch.equal(BODY.hat(xi), BODY.join(SO3.hat(phi), v))


def test_every_operation_is_that_of_the_factors():
    xi, eta = 0.5 * draw(2, BODY.dim), 0.5 * draw(2, BODY.dim, seed=1)
    g, h = BODY.exp(xi), BODY.exp(eta)
    (r, t), (q, u) = BODY.split(g), BODY.split(h)
    points = draw(2, 6, seed=2)
    moved = torch.cat((SO3.act(r, points[:, :3]), points[:, 3:] + t), -1)
    torch.testing.assert_close(BODY.act(g, points), moved, rtol=0, atol=0)
    squared = SO3.distance(r, q) ** 2 + (t - u).square().sum(-1)
    torch.testing.assert_close(BODY.squared_distance(g, h), squared, rtol=1e-13, atol=0)
    torch.testing.assert_close(BODY.distance(g, h), squared.sqrt(), rtol=1e-13, atol=0)
    turned, shifted = BODY.split(BODY.interpolate(g, h, torch.tensor([0.3, 0.6]).double()))
    s = torch.tensor([0.3, 0.6]).double()
    torch.testing.assert_close(turned, SO3.interpolate(r, q, s), rtol=0, atol=1e-15)
    torch.testing.assert_close(shifted, t + s[:, None] * (u - t), rtol=0, atol=1e-15)
    adjoint = torch.zeros(2, 6, 6, dtype=torch.float64)
    adjoint[:, :3, :3] = r
    adjoint[:, 3:, 3:] = torch.eye(3)
    assert torch.equal(BODY.Ad(g), adjoint)
    mean = BODY.mean(torch.stack((g, h)).movedim(0, 1))
    torch.testing.assert_close(mean, BODY.interpolate(g, h, 0.5), rtol=0, atol=1e-14)


def test_a_power_is_the_group_on_one_more_dimension():
    xi, mu = 0.5 * draw(2, 18), draw(2, 18, seed=3)
    each = LINKS.tangents(xi)
    assert each.shape == (2, 3, 6)
    assert torch.equal(each[1, 2], xi[1, 12:])
    g = LINKS.exp(xi)
    assert torch.equal(g, SE3.exp(each))
    assert torch.equal(LINKS.log(g), SE3.log(g).flatten(-2))
    assert torch.equal(LINKS.coadjoint(g, mu), SE3.coadjoint(g, LINKS.tangents(mu)).flatten(-2))
    jacobian = LINKS.left_jacobian(xi)
    assert torch.equal(jacobian[:, 6:12, 6:12], SE3.left_jacobian(each)[:, 1])
    assert not bool(jacobian[:, 6:12, 12:].any())
    assert torch.equal(LINKS.cayley(xi), SE3.cayley(each))
    points = LINKS.exp(0.3 * draw(2, 5, 18, seed=4))
    weights = torch.linspace(1, 2, 5, dtype=torch.float64)
    mean = LINKS.mean(points, weights)
    torch.testing.assert_close(mean[:, 1], SE3.mean(points[:, :, 1], weights), rtol=0, atol=1e-14)
    length = (LINKS.minus(points[:, 0], g)).norm(dim=-1)
    torch.testing.assert_close(LINKS.distance(g, points[:, 0]), length, rtol=1e-13, atol=0)


def test_a_failure_in_one_copy_stays_there():
    xi = torch.zeros(18)
    xi[7] = torch.nan
    jacobian = LINKS.left_jacobian(xi)
    assert torch.equal(jacobian[:6, :6], torch.eye(6))
    assert bool(jacobian[6:12, 6:12].isnan().any())
    assert not bool(jacobian[:6, 6:].isnan().any())


def test_derivatives_between_factors_vanish_and_second_derivatives_are_right_at_coincidence():
    g = NESTED.random(generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    zero = torch.zeros(NESTED.dim, dtype=torch.float64)
    hessian = torch.func.hessian(lambda e: NESTED.squared_distance(g, NESTED.plus(g, e)))(zero)
    eye = 2 * torch.eye(NESTED.dim, dtype=torch.float64)
    torch.testing.assert_close(hessian, eye, rtol=0, atol=1e-13)
    one = NESTED.identity(dtype=torch.float64)
    slope = torch.func.grad(lambda e: NESTED.distance(one, NESTED.exp(e)))(zero)
    assert torch.equal(slope, zero)


def test_names_and_equality():
    assert repr(BODY) == "lie.Product(SO3, Euclidean(3))"
    assert repr(SE3**4) == "lie.Power(SE3, 4)"
    assert NESTED.name == "Product(UnitQuaternion, Power(Product(SO3, Euclidean(1)), 2))"
    assert Power(SE3, 4) == SE3**4
    assert len({SE3**4, Power(SE3, 4), SE3**3}) == 2
    assert Product(SO3, Euclidean(3)) == BODY
    assert Product(Euclidean(3), SO3) != BODY
    assert (NESTED.dim, NESTED.element_shape, NESTED.point_shape) == (11, (4 + 2 * 10,), (3 + 2 * 4,))


def test_refusals_name_factor_and_place():
    lines = Product(SO3, SL(3))
    g = lines.identity(2, dtype=torch.float64)
    for call, message in (
        (lambda: Product(), "factors must hold at least one Lie group"),
        (lambda: BODY.join(torch.eye(3)), "parts must be the elements of the 2 factors of Product.*got 1"),
        (lambda: BODY.join(torch.eye(3), torch.eye(2)), r"parts\[1\] must be elements of Euclidean\(3\)"),
        (lambda: BODY.join_tangent(torch.zeros(3), torch.zeros(2)), r"parts\[1\] must be tangents of"),
        (lambda: BODY.join(torch.eye(3), torch.zeros(3, device="meta")), r"parts\[0\] is on cpu and parts"),
        (lambda: BODY.split(torch.zeros(11)), r"g must be elements of Product.*\(\.\.\., 12\)"),
        (lambda: BODY.act(BODY.identity(), torch.zeros(5)), r"points must be points that Product"),
        (lambda: LINKS.act(LINKS.identity(), torch.zeros(2, 3)), r"points must be points that Power"),
        (lambda: LINKS.mean(LINKS.identity()), "points must have a dimension of at least one point"),
        (lambda: LINKS.mean(LINKS.identity(4), torch.tensor(1.0)), "weights must have shape"),
        (lambda: lines.cayley(torch.zeros(11)), "Cayley transform does not map the algebra of SL"),
        (lambda: (lines**2).cayley_inverse(lines.identity(2)), "Cayley .* algebra of SL"),
        (lambda: Power(SE3, 0), "count must be a positive integer"),
        (lambda: SE3**-1, "count must be a positive integer"),
        (lambda: lines.log(2 * g), r"factor 0 of g\[0\] is not in SO3: its defect.*lie\.SO3\.project"),
        (lambda: LINKS.check(2 * LINKS.identity(2), "pose"), r"pose\[0, 0\] is not in SE3"),
        (lambda: lines.mean(2 * g), r"factor 0 of points\[0\] is not in SO3"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match=r"factors must be Lie groups.*position 1"):
        Product(SO3, Euclidean)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="group must be a Lie group"):
        Power("SE3", 2)  # type: ignore[arg-type]
    turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    half = lines.join(turn, turn)
    with pytest.raises(ValueError, match=r"g has no real principal logarithm in Product\(SO3, SL\(3\)\)"):
        lines.log(half)
    with pytest.raises(ValueError, match=r"x\^-1 y has no real principal logarithm"):
        lines.distance(lines.identity(), half)
    assert bool(lines.log(half, check=False)[3:].isnan().any())
    with pytest.raises(ValueError, match=r"g has the eigenvalue -1.*use log"):
        BODY.cayley_inverse(BODY.join(turn, torch.zeros(3)))
