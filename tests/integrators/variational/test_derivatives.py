"""Derivatives of steps and unrolls in every mode of torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from integrators import FlowMap, GroupVariationalIntegrator, Inertia, PlanarIntegrator, RigidBodyIntegrator
from lie import SE3, SO3

from ._bodies import DOUBLE, FULL_INERTIA, draws, hanging, rotations, states


def energy_of_place(x: Tensor, R: Tensor) -> Tensor:
    return hanging(R) + (x * x).sum(-1) * (1 + R[..., 0, 1])


def damping(size: int) -> Tensor:
    root = 0.3 * draws(size, size, seed=8)
    return root @ root.mT


def on_so3(kinetic: str = "trace") -> RigidBodyIntegrator:
    return RigidBodyIntegrator(
        SO3, 0.1, FULL_INERTIA, hanging, draws(3, 2, seed=5), damping(3), alpha=0.4, kinetic=kinetic
    )


def on_se3(kinetic: str = "trace") -> RigidBodyIntegrator:
    return RigidBodyIntegrator(
        SE3, 0.1, FULL_INERTIA, energy_of_place, draws(6, 2, seed=5), damping(6), 1.3, kinetic=kinetic
    )


def on_group() -> GroupVariationalIntegrator:
    inertia = torch.eye(6, dtype=DOUBLE) + 0.1 * damping(6)
    return GroupVariationalIntegrator(
        SE3,
        0.1,
        inertia,
        lambda g: hanging(g[..., :3, :3]) + g[..., :3, 3].square().sum(-1),
        draws(6, 2),
        damping(6),
    )


def in_plane() -> PlanarIntegrator:
    return PlanarIntegrator(
        0.1,
        0.7,
        lambda x, phi: phi.cos() * (1 + x[..., 0]) + x.square().sum(-1),
        draws(3, 2),
        damping(3),
        1.3,
    )


MAPS: dict[str, Callable[[], FlowMap]] = {
    "SO3-trace": on_so3,
    "SO3-cayley": lambda: on_so3("cayley"),
    "SE3-trace": on_se3,
    "SE3-cayley": lambda: on_se3("cayley"),
    "group": on_group,
    "planar": in_plane,
}
maps = pytest.mark.parametrize("make", MAPS.values(), ids=MAPS.keys())


def inputs(flow: FlowMap, batch: int = 2) -> tuple[Tensor, Tensor]:
    control = draws(batch, flow.control_size, seed=4)
    if isinstance(flow, RigidBodyIntegrator):
        return states(flow, batch), control
    x = draws(batch, flow.space.size, seed=2)
    if isinstance(flow, GroupVariationalIntegrator):
        g = SE3.from_parts(rotations(batch), draws(batch, 3, seed=3))
        x[:, :16] = g.flatten(-2)
    return x, control


def unrolled(flow: FlowMap) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, u: flow.unroll(x, u.expand(3, *u.shape))[-1]


@maps
def test_first_derivatives_of_a_step(make):
    flow = make()
    x, u = inputs(flow, 1)
    assert gradcheck(flow, (x.requires_grad_(), u.requires_grad_()), check_forward_ad=True, atol=1e-7)


@maps
def test_second_derivatives_of_a_step(make):
    flow = make()
    x, u = inputs(flow, 1)
    assert gradgradcheck(flow, (x.requires_grad_(), u.requires_grad_()), fast_mode=True)


@maps
def test_derivatives_of_three_steps(make):
    flow = make()
    x, u = inputs(flow, 1)
    x.requires_grad_()
    u.requires_grad_()
    assert gradcheck(unrolled(flow), (x, u), check_forward_ad=True, atol=1e-7, fast_mode=True)
    assert gradgradcheck(unrolled(flow), (x, u), fast_mode=True)


@maps
def test_reverse_and_forward_jacobians_agree_under_vmap(make):
    flow = make()
    x, u = inputs(flow, 3)
    step = unrolled(flow)
    reverse = torch.func.vmap(torch.func.jacrev(step))(x, u)
    forward = torch.func.vmap(torch.func.jacfwd(step))(x, u)
    assert reverse.shape == (3, flow.space.size, flow.space.size)
    assert (reverse - forward).abs().max() <= 1e-12
    alone = torch.func.jacrev(step)(x[1], u[1])
    assert (reverse[1] - alone).abs().max() <= 1e-12
    assert (torch.func.vmap(flow)(x, u) - flow(x, u)).abs().max() <= 1e-14


@maps
def test_hessian_of_a_scalar(make):
    flow = make()
    x, u = inputs(flow, 1)

    def scalar(v: Tensor) -> Tensor:
        return flow(x[0], v).square().sum()

    hessian = torch.func.hessian(scalar)(u[0])
    step = 1e-4
    for i in range(u.shape[-1]):
        nudge = torch.zeros_like(u[0])
        nudge[i] = step
        slope = (torch.func.grad(scalar)(u[0] + nudge) - torch.func.grad(scalar)(u[0] - nudge)) / (2 * step)
        assert (hessian[i] - slope).abs().max() <= 1e-6


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    torch.compiler.reset()
    return torch.compile(function, fullgraph=True, backend="aot_eager")


@pytest.mark.parametrize("name", ["SO3-trace", "SE3-trace", "group", "planar"])
def test_compiled_step(name):
    flow = MAPS[name]()
    x, u = inputs(flow)
    x.requires_grad_()
    traced, plain = compiled(flow)(x, u), flow(x, u)
    assert (traced - plain).abs().max() <= 1e-13
    weights = draws(*plain.shape, seed=9)
    slopes = [torch.autograd.grad((weights * y).sum(), x)[0] for y in (traced, plain)]
    assert (slopes[0] - slopes[1]).abs().max() <= 1e-12


@pytest.mark.parametrize("name", ["SO3-trace", "SE3-trace"])
def test_compiled_unroll(name):
    flow = MAPS[name]()
    x, u = inputs(flow)
    assert (compiled(unrolled(flow))(x, u) - unrolled(flow)(x, u)).abs().max() <= 1e-13


@pytest.mark.parametrize("name", ["SO3-trace", "planar"])
def test_a_compiled_step_without_solution_is_not_a_number(name):
    flow = MAPS[name]()
    x, _ = inputs(flow, 2)
    x[1, -1] = 80.0
    y = compiled(flow)(x)
    assert torch.isfinite(y[0]).all()
    assert torch.isnan(y[1]).any()


class LearnedInertia(Inertia):
    """``L L^T`` with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.root = nn.Parameter(torch.linalg.cholesky(FULL_INERTIA))

    def forward(self) -> Tensor:
        return self.root @ self.root.mT


class LearnedGain(nn.Module):
    def __init__(self, rows: int) -> None:
        super().__init__()
        self.layer = nn.Linear(9, rows * 2).double()

    def forward(self, *q: Tensor) -> Tensor:
        return self.layer(q[-1].flatten(-2)).unflatten(-1, (-1, 2))


class LearnedPotential(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(9, 6), nn.Tanh(), nn.Linear(6, 1, bias=False)).double()

    def forward(self, *q: Tensor) -> Tensor:
        return self.net(q[-1].flatten(-2)).squeeze(-1) * (1 + sum(p.square().sum(-1) for p in q[:-1]))


@pytest.mark.parametrize("kinetic", ["trace", "cayley"])
@pytest.mark.parametrize("group", [SO3, SE3], ids=["SO3", "SE3"])
def test_gradients_of_learned_slots(group, kinetic):
    """Every parameter's gradient through three steps against finite differences along one direction."""
    rows = group.dim
    mass = None if group is SO3 else 1.3
    flow = RigidBodyIntegrator(
        group, 0.1, LearnedInertia(), LearnedPotential(), LearnedGain(rows), mass=mass, kinetic=kinetic
    )
    x, u = inputs(flow)
    step = unrolled(flow)
    weights = draws(2, flow.space.size, seed=9)
    (weights * step(x, u)).sum().backward()
    for name, parameter in flow.named_parameters():
        assert parameter.grad is not None, name
        direction = draws(*parameter.shape, seed=7)
        along = float((direction * parameter.grad).sum())
        sums = []
        with torch.no_grad():
            for shift in (1e-5, -2e-5):
                parameter.add_(direction, alpha=shift)
                sums.append(float((weights * step(x, u)).sum()))
            parameter.add_(direction, alpha=1e-5)
        assert along == pytest.approx((sums[0] - sums[1]) / 2e-5, rel=1e-6, abs=1e-8), name


def test_forward_mode_without_functorch():
    flow = on_so3()
    x, u = inputs(flow)
    direction = draws(*x.shape, seed=6)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(flow(forward_ad.make_dual(x, direction), u)).tangent
    known = torch.func.jvp(lambda p: flow(p, u), (x,), (direction,))[1]
    assert (tangent - known).abs().max() <= 1e-15
