"""Numbers worked out to 17 digits elsewhere, and the orders of accuracy that the formulas promise."""

from __future__ import annotations

import math

import pytest
import torch

from lie import SE3, SO3, MatrixLieGroup, quaternion

PHI = [0.3, -0.5, 0.7]
XI = [1.0, 2.0, 3.0, *PHI]


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def same(got, expected, atol=4e-16):
    torch.testing.assert_close(got, tensor(expected), rtol=0, atol=atol)


def test_so3():
    phi = tensor(PHI)
    q = (0.14486605517938711, -0.24144342529897851, 0.33802079541856992, 0.8980316477169704)
    same(quaternion.exp(phi), q)
    same(SO3.to_quaternion(SO3.exp(phi)), q)
    same(SO3.exp(phi)[0], (0.65489402848898776, -0.67706065688880265, -0.33571219570156807))
    same(SO3.left_jacobian(phi)[0], (0.88168500924451312, -0.35043436306896162, -0.19960383472547821))
    same(SO3.left_jacobian_inverse(phi)[0], (0.93746306248250063, 0.33732359374645283, 0.26774696875496604))


def test_se3():
    xi = tensor(XI)
    g = SE3.exp(xi)
    same(SE3.translation(g), (-0.41799522106984474, 1.5293992263714171, 3.2715688278666598), 2e-15)
    same(SE3.left_jacobian(xi)[0, 3:], (-0.33515136492490149, -1.3024786991679809, 1.2390018299476067), 1e-15)
    same(
        SE3.left_jacobian_inverse(xi)[0, 3:],
        (-0.18891578535068769, 1.5078438104147981, -0.8639350220395701),
        1e-15,
    )


def test_translation_of_se3_at_a_small_angle_is_not_the_rotated_one():
    g = SE3.exp(tensor([1.0, 2.0, 3.0, 1e-4, -2e-4, 2e-4]))
    same(SE3.translation(g), (0.99949999000375004, 1.9999499600003752, 3.0001999649985002), 1e-15)


def test_cayley():
    g = SO3.cayley(tensor([0.2, 0.3, -0.4]))
    same(g[0], (0.88344988344988345, 0.40093240093240093, 0.24242424242424242))
    same(SO3.distance(SO3.identity(dtype=torch.float64), g), 0.52604069192205226)


def test_baker_campbell_hausdorff():
    product = SO3.exp(tensor([0.03, -0.02, 0.05])) @ SO3.exp(tensor([-0.01, 0.04, 0.02]))
    same(SO3.log(product), (0.018797759603570005, 0.019440670201273056, 0.070484326970350305))


@pytest.mark.parametrize("group", [SO3, SE3], ids=["SO3", "SE3"])
def test_baker_campbell_hausdorff_remainder_is_of_fourth_order(group):
    x = torch.linspace(-0.7, 0.9, group.dim, dtype=torch.float64)
    y = torch.linspace(0.8, -0.3, group.dim, dtype=torch.float64) ** 2
    bracket = lambda a, b: group.ad(a) @ b  # noqa: E731

    def remainder(h):
        xy = bracket(x, y)
        series = h * (x + y) + h**2 / 2 * xy + h**3 / 12 * (bracket(x, xy) - bracket(y, xy))
        return float((group.log(group.exp(h * x) @ group.exp(h * y)) - series).norm())

    order = math.log2(remainder(0.02) / remainder(0.01))
    assert 3.9 < order < 4.1


@pytest.mark.parametrize("group", [SO3, SE3], ids=["SO3", "SE3"])
def test_cayley_is_the_exponential_to_third_order(group):
    u = torch.linspace(-0.7, 0.9, group.dim, dtype=torch.float64)
    distance = lambda h: float((group.cayley(h * u) - group.exp(h * u)).norm())  # noqa: E731
    assert 2.9 < math.log2(distance(0.02) / distance(0.01)) < 3.1


def test_coadjoint_motion_in_components():
    p, momentum, v, omega = (
        torch.randn(3, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in range(4)
    )
    cross = torch.linalg.cross
    mu, xi = torch.cat((p, momentum)), torch.cat((v, omega))
    g = SE3.exp(tensor(XI))
    rotation, t = SE3.rotation(g), SE3.translation(g)
    same(SO3.coadjoint_algebra(omega, momentum), cross(momentum, omega).tolist())
    same(
        SE3.coadjoint_algebra(xi, mu),
        torch.cat((cross(p, omega), cross(momentum, omega) + cross(p, v))).tolist(),
    )
    back = torch.cat((rotation.mT @ p, rotation.mT @ (momentum - cross(t, p))))
    same(SE3.coadjoint(g, mu), back.tolist(), 4e-15)
    forth = torch.cat((rotation @ p, rotation @ momentum + cross(t, rotation @ p)))
    same(SE3.coadjoint(SE3.inverse(g), mu), forth.tolist(), 4e-15)


def test_determinant_of_the_left_jacobian_is_the_haar_density():
    phi = torch.linspace(-2, 2, 30, dtype=torch.float64).reshape(10, 3)
    angle = phi.norm(dim=-1)
    density = 2 * (1 - angle.cos()) / angle**2
    torch.testing.assert_close(torch.linalg.det(SO3.left_jacobian(phi)), density, rtol=1e-14, atol=0)


def test_generic_logarithm_reaches_large_angles_and_says_nan_where_there_is_none():
    phi = tensor([[0.0, 0.0, 3.0], [1.8, -1.8, 1.7], [0.0, 0.0, math.pi]])
    got = MatrixLieGroup.log(SO3, SO3.exp(phi), check=False)
    torch.testing.assert_close(got[:2], phi[:2], rtol=0, atol=1e-12)
    assert not bool(torch.isfinite(got[2]).any())
    with pytest.raises(ValueError, match=r"g\[2\] has no real principal logarithm"):
        MatrixLieGroup.log(SO3, SO3.exp(phi))
