"""Derivatives where they are hard: at the identity, at half turns, in every mode, compiled."""

from __future__ import annotations

import math

import pytest
import torch

from lie import SE3, SO3, quaternion

from . import reference

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
groups = pytest.mark.parametrize("group", [SO3, SE3], ids=["SO3", "SE3"])


def tangents(group, dtype=torch.float64):
    """A spread of the accuracy points, as tangents of the group."""
    return reference.points(dtype)[::7, 6 - group.dim :]


@dtypes
def test_first_and_second_derivative_of_exp_at_the_identity_are_the_closed_forms(dtype):
    w = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    zero = torch.zeros(3, dtype=dtype)
    function = lambda phi: (w * SO3.exp(phi)).sum()  # noqa: E731
    skew = torch.stack((w[2, 1] - w[1, 2], w[0, 2] - w[2, 0], w[1, 0] - w[0, 1]))
    hessian = 0.5 * (w + w.mT) - w.trace() * torch.eye(3, dtype=dtype)
    atol = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(torch.func.grad(function)(zero), skew, rtol=0, atol=atol)
    torch.testing.assert_close(torch.func.hessian(function)(zero), hessian, rtol=0, atol=atol)


def test_derivative_of_the_translation_at_zero_angle_is_minus_half_the_cross_product():
    rho = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    translation = lambda phi: SE3.translation(SE3.exp(torch.cat((rho, phi))))  # noqa: E731
    slope = torch.func.jacrev(translation)(torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(slope, -0.5 * SO3.hat(rho), rtol=0, atol=1e-15)


@groups
@dtypes
def test_forward_and_reverse_mode_agree(group, dtype):
    xi = tangents(group, dtype)
    below = torch.linalg.vector_norm(xi[:, -3:], dim=-1) < math.pi - 1e-5
    for function, x in ((group.exp, xi), (lambda v: group.log(group.exp(v)), xi[below])):
        forward = torch.vmap(torch.func.jacfwd(function))(x)
        reverse = torch.vmap(torch.func.jacrev(function))(x)
        assert float((forward - reverse).abs().max()) <= 16 * torch.finfo(dtype).eps * float(
            reverse.abs().max()
        )


@groups
@dtypes
def test_log_at_half_turns_is_right_up_to_sign_with_finite_derivatives(group, dtype):
    axes = torch.tensor(reference.axes(), dtype=dtype)
    flipped = 2 * axes[:, :, None] * axes[:, None, :] - torch.eye(3, dtype=dtype)
    g = flipped if group is SO3 else SE3.from_parts(flipped, torch.ones_like(axes))
    phi = group.log(g)[:, -3:]
    angle = torch.linalg.vector_norm(phi, dim=-1)
    eps = torch.finfo(dtype).eps
    assert float((angle - math.pi).abs().max()) <= 8 * eps
    assert float(((phi / angle[:, None] * axes).sum(-1).abs() - 1).abs().max()) <= 8 * eps
    for order in (torch.func.jacrev, torch.func.hessian):
        assert bool(torch.isfinite(torch.vmap(order(group.log))(g)).all())


@groups
def test_compiled_functions_with_their_gradients_equal_eager_ones_at_hard_places(group):
    torch._dynamo.reset()
    angles = torch.tensor([math.pi, math.pi - 1e-8, math.pi - 1e-3, 0.0], dtype=torch.float64)
    phi = (angles[:, None, None] * torch.eye(3, dtype=torch.float64)).reshape(-1, 3)
    xi = torch.cat((torch.ones_like(phi), phi), -1)[:, 6 - group.dim :]
    function = lambda v: group.exp(v).sin().sum() + group.log(group.exp(v)).square().sum()  # noqa: E731
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    x, y = xi.clone().requires_grad_(), xi.clone().requires_grad_()
    value, expected = compiled(x), function(y)
    (gradient,), (truth,) = torch.autograd.grad(value, x), torch.autograd.grad(expected, y)
    torch.testing.assert_close(value, expected, rtol=1e-14, atol=0)
    torch.testing.assert_close(gradient, truth, rtol=1e-14, atol=1e-14)
    assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 0.05, 0.1, 0.2, 1.0, 3.0, math.pi - 1e-6])
@dtypes
def test_squared_distance_is_the_squared_angle(angle, dtype):
    r = SO3.random(32, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    axes = torch.tensor(reference.axes(), dtype=torch.float64)
    other = (r @ SO3.exp(angle * axes)).to(dtype)
    r = r.to(dtype)
    eps = torch.finfo(dtype).eps
    # Rounding of the matrices moves the angle by some eps, so its square by 2 * angle times that.
    torch.testing.assert_close(
        SO3.squared_distance(r, other),
        torch.full((32,), angle**2, dtype=dtype),
        rtol=0,
        atol=16 * eps * (angle + eps),
    )
    torch.testing.assert_close(
        SO3.distance(r, other), torch.full((32,), angle, dtype=dtype), rtol=0, atol=8 * eps
    )


@dtypes
def test_squared_distance_is_twice_differentiable_where_the_rotations_agree(dtype):
    r = SO3.random(generator=torch.Generator().manual_seed(4), dtype=dtype)
    function = lambda phi: SO3.squared_distance(r, r @ SO3.exp(phi))  # noqa: E731
    zero = torch.zeros(3, dtype=dtype)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(torch.func.grad(function)(zero), zero, rtol=0, atol=8 * eps)
    hessian = torch.func.hessian(function)(zero)
    torch.testing.assert_close(hessian, 2 * torch.eye(3, dtype=dtype), rtol=0, atol=32 * eps)
    entries = torch.func.grad(lambda q: SO3.squared_distance(r, q))(r)
    assert bool(torch.isfinite(entries).all())


@pytest.mark.parametrize("angle", [0.05, 0.0999, 0.1001, 0.1003, 1.0, 2.0, 3.1, math.pi - 1e-6])
def test_slope_of_the_squared_distance_is_twice_the_rotation_vector(angle):
    axes = torch.tensor(reference.axes(), dtype=torch.float64)
    phi = (angle * axes).requires_grad_()
    one = SO3.identity(dtype=torch.float64)
    (gradient,) = torch.autograd.grad(SO3.squared_distance(one, SO3.exp(phi)).sum(), phi)
    torch.testing.assert_close(gradient, 2 * phi.detach(), rtol=1e-9, atol=1e-15)


def test_slope_of_the_squared_distance_stays_finite_at_half_turns():
    for dtype in (torch.float32, torch.float64):
        half = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=dtype))
        for order in (torch.func.grad, torch.func.hessian):
            derivative = order(lambda q: SO3.squared_distance(torch.eye(3, dtype=q.dtype), q))(half)
            assert bool(torch.isfinite(derivative).all())


def test_projection_is_differentiable_at_rotations_where_the_decomposition_is_not():
    r = SO3.random(2, generator=torch.Generator().manual_seed(5), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(SO3.project, (r,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(SO3.project, (r,))
    direction = r.detach() @ SO3.hat(torch.ones(3, dtype=torch.float64))
    derivative = torch.func.jvp(SO3.project, (r.detach(),), (direction,))[1]
    torch.testing.assert_close(derivative, direction, rtol=0, atol=1e-14)


def test_quaternion_functions_differentiate_at_the_identity():
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    there_and_back = lambda phi: quaternion.log(quaternion.exp(phi))  # noqa: E731
    assert torch.autograd.gradcheck(there_and_back, (zero,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(there_and_back, (zero,))
    q = torch.tensor([[0.3, -0.1, 0.2, 2.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: SO3.to_quaternion(SO3.from_quaternion(x)), (q,))


def test_rotation_of_a_quaternion_does_not_depend_on_its_length():
    q = torch.tensor([0.3, -0.1, 0.2, 2.0], dtype=torch.float64)
    slope = torch.func.jvp(SO3.from_quaternion, (q,), (q,))[1]
    torch.testing.assert_close(slope, torch.zeros(3, 3, dtype=torch.float64), rtol=0, atol=1e-15)
    torch.testing.assert_close(SO3.from_quaternion(5 * q), SO3.from_quaternion(q), rtol=0, atol=1e-15)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_inductor_agrees_with_eager():
    torch._dynamo.reset()
    xi = tangents(SE3).requires_grad_()
    function = lambda v: SE3.exp(v)  # noqa: E731
    compiled = torch.compile(function, fullgraph=True)
    torch.testing.assert_close(compiled(xi), function(xi), rtol=0, atol=1e-15)
    (gradient,) = torch.autograd.grad(compiled(xi).sin().sum(), xi)
    (truth,) = torch.autograd.grad(function(xi).sin().sum(), xi)
    torch.testing.assert_close(gradient, truth, rtol=0, atol=1e-14)
