"""The position-only form against the position-velocity form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from integrators import PositionForm, RigidBodyIntegrator, StepError
from lie import SE3, SO3

from ._bodies import DOUBLE, FULL_INERTIA, draws, hanging, states


def build(group, **options) -> RigidBodyIntegrator:
    turns = group is SO3
    settings = {
        "potential": hanging
        if turns
        else lambda x, R: hanging(R) + (x * x).sum(-1) + x[..., 0] * R[..., 1, 2],
        "input_gain": draws(group.dim, 3, seed=5),
        "mass": None if turns else 1.3,
        **options,
    }
    return RigidBodyIntegrator(group, 0.05, FULL_INERTIA, **settings)


def trajectory(flow: RigidBodyIntegrator, steps: int = 50) -> tuple[Tensor, Tensor, Tensor]:
    """States, poses and inputs."""
    x, u = states(flow, 4), draws(steps, 4, flow.control_size, seed=3)
    path = torch.cat((x[None], flow.unroll(x, u)))
    return path, path[..., : flow.configuration_space.size], u


def defect(flow: RigidBodyIntegrator, q: Tensor, u: Tensor) -> Tensor:
    return flow.position_residual(q[:-2], q[1:-1], q[2:], u[:-1], u[1:])


cases = pytest.mark.parametrize(
    "options",
    [
        {},
        {"alpha": 0.0, "force_split": 1.0},
        {"alpha": 0.3, "force_split": 0.2},
        {"kinetic": "cayley"},
        {"dissipation": True},
        {"dissipation": True, "alpha": 0.3, "force_split": 0.2, "kinetic": "cayley"},
    ],
    ids=["symmetric", "end", "mixed", "cayley", "damped", "damped-cayley"],
)
groups = pytest.mark.parametrize("group", [SO3, SE3], ids=["SO3", "SE3"])


def with_damping(group, options: dict) -> dict:
    if options.get("dissipation"):
        root = 0.4 * draws(group.dim, group.dim, seed=8)
        return {**options, "dissipation": root @ root.mT}
    return options


@groups
@cases
def test_residual_vanishes_along_trajectories(group, options):
    flow = build(group, **with_damping(group, options))
    _, q, u = trajectory(flow)
    assert defect(flow, q, u).abs().max() <= 2e-14
    disturbed = q.clone()
    disturbed[1] = trajectory(flow.with_step(0.06))[1][1]
    assert defect(flow, disturbed, u)[0].abs().max() >= 1e-3


@groups
@cases
def test_rollouts_of_both_forms_agree(group, options):
    flow = build(group, **with_damping(group, options))
    _, q, u = trajectory(flow)
    form = PositionForm(flow)
    pairs = form.unroll(torch.cat((q[0], q[1]), dim=-1), torch.cat((u[:-1], u[1:]), dim=-1))
    size = flow.configuration_space.size
    assert (pairs[..., size:] - q[2:]).abs().max() <= 1e-13
    assert (pairs[..., :size] - q[1:-1]).abs().max() <= 1e-13


@groups
@cases
def test_velocities_are_those_of_the_trajectory(group, options):
    flow = build(group, **with_damping(group, options))
    path, q, u = trajectory(flow)
    velocity = flow.velocities_from_poses(q[:-1], q[1:], u)
    assert (velocity - path[1:, ..., flow.configuration_space.size :]).abs().max() <= 2e-14
    assert torch.equal(torch.cat((q[1:], velocity), dim=-1)[..., : q.shape[-1]], q[1:])


@groups
def test_alpha_drops_out_of_poses_and_so_does_the_split_of_constant_inputs(group):
    flow = build(group)
    _, q, u = trajectory(flow)
    steady = u[:1].expand_as(u)
    for alpha in (0.0, 1.0):
        assert (defect(build(group, alpha=alpha), q, u) - defect(flow, q, u)).abs().max() <= 2e-14
    for split in (0.0, 1.0):
        other = build(group, force_split=split)
        assert (defect(other, q, steady) - defect(flow, q, steady)).abs().max() <= 2e-14
        assert (defect(other, q, u) - defect(flow, q, u)).abs().max() >= 1e-3


@groups
def test_alpha_decides_how_velocities_are_read_off(group):
    _, q, u = trajectory(build(group))
    read = [build(group, alpha=alpha).velocities_from_poses(q[:-1], q[1:], u) for alpha in (0.0, 1.0)]
    assert (read[0] - read[1]).abs().max() >= 1e-2


@groups
def test_units_of_the_residual_are_those_of_velocity(group):
    """A jump of the velocity at the middle pose is what the residual reports."""
    flow = build(group, input_gain=None)
    path, q, _ = trajectory_without_inputs(flow)
    jump = 1e-3 * draws(4, flow.rows, seed=6)
    struck = path[1] + torch.cat((torch.zeros_like(q[1]), jump), dim=-1)
    after = flow(struck)[..., : q.shape[-1]]
    assert (flow.position_residual(q[0], q[1], after) - jump).abs().max() <= 1e-13


def trajectory_without_inputs(flow: RigidBodyIntegrator) -> tuple[Tensor, Tensor, None]:
    x = states(flow, 4)
    path = torch.cat((x[None], flow.unroll(x, steps=3)))
    return path, path[..., : flow.configuration_space.size], None


@groups
def test_inverse_undoes_a_step(group):
    flow = build(group, alpha=0.3)
    _, q, u = trajectory(flow, 2)
    form = PositionForm(flow)
    pair, control = torch.cat((q[0], q[1]), dim=-1), torch.cat((u[0], u[1]), dim=-1)
    assert (form.inverse(form(pair, control), control) - pair).abs().max() <= 1e-14


def test_layout():
    form = PositionForm(build(SE3))
    assert form.space.names == ("x_prev", "R_prev", "x", "R")
    assert form.control_size == 6
    assert form.order == 2
    assert form.with_step(0.01).h == form.with_step(0.01).flow.h == 0.01
    assert PositionForm(build(SO3)).space.names == ("R_prev", "R")


def test_residual_differentiates():
    flow = build(SE3)
    _, q, u = trajectory(flow, 2)
    q = q.clone().requires_grad_()
    flow.position_residual(q[0], q[1], q[2], u[0], u[1]).square().mean().backward()
    assert q.grad is not None
    assert torch.isfinite(q.grad).all()
    still = torch.eye(3, dtype=DOUBLE).flatten().expand(3, 9).clone().requires_grad_()
    build(SO3, input_gain=None).position_residual(*still).sum().backward()
    assert still.grad is not None
    assert torch.isfinite(still.grad).all()


def test_refusals():
    flow = build(SO3)
    q = torch.eye(3, dtype=DOUBLE).flatten()
    with pytest.raises(ValueError, match=r"q2: expected poses of shape \(\.\.\., 9\), got \(12,\)"):
        flow.position_residual(q, q, torch.zeros(12, dtype=DOUBLE))
    with pytest.raises(ValueError, match=r"control: expected shape \(\.\.\., 6\)"):
        PositionForm(flow)(torch.cat((q, q)), torch.zeros(3, dtype=DOUBLE))


def test_poses_too_far_apart_have_no_next_one():
    flow = build(SO3, potential=lambda R: 40 * R[..., 0, 0], input_gain=None)
    q = torch.eye(3, dtype=DOUBLE).flatten()
    turned = SO3.exp(torch.tensor([0.0, 0.0, 1.5], dtype=DOUBLE)).flatten()
    strong = build(SO3, potential=lambda R: 4000 * R[..., 0, 0], input_gain=None)
    with pytest.raises(StepError, match="no admissible solution"):
        PositionForm(strong)(torch.cat((q, turned)))
    assert torch.isfinite(flow.position_residual(q, turned, turned)).all()
