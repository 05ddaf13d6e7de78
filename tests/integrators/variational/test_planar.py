"""The planar map against the spatial one about a fixed axis, and against its own closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from integrators import LargeStepWarning, PlanarIntegrator, RigidBodyIntegrator, Status, StepError, rollout
from lie import SE3, SO3

from ._bodies import DOUBLE, draws

SCHEMES = [(0.5, 0.5), (0.0, 1.0), (0.3, 0.2)]
schemes = pytest.mark.parametrize(("alpha", "split"), SCHEMES)


def about_z(phi: Tensor) -> Tensor:
    zero = torch.zeros_like(phi)
    return SO3.exp(torch.cat((zero, zero, phi), dim=-1))


def wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


@schemes
def test_a_pendulum_is_the_rotation_about_an_axis(alpha, split):
    moments = torch.diag(torch.tensor([0.4, 0.5, 1 / 3], dtype=DOUBLE))
    gain, drag = draws(1, 2), 0.1
    planar = PlanarIntegrator(
        0.05, 1 / 3, lambda phi: 5 * (1 - phi.cos()), gain, [[drag]], alpha=alpha, force_split=split
    )
    zeros = torch.zeros(2, 2, dtype=DOUBLE)
    spatial = RigidBodyIntegrator(
        SO3,
        0.05,
        moments,
        lambda R: 5 * (1 - R[..., 0, 0]),
        torch.cat((zeros, gain)),
        torch.diag(torch.tensor([0.0, 0.0, drag], dtype=DOUBLE)),
        alpha=alpha,
        force_split=split,
    )
    x, u = draws(200, 2, seed=1) * torch.tensor([2.0, 3.0]), draws(200, 2, seed=2)
    embedded = torch.cat((about_z(x[:, :1]).flatten(-2), 0 * x, x[:, 1:]), dim=-1)
    flat, deep = planar(x, u), spatial(embedded, u)
    angle = torch.atan2(deep[:, 3], deep[:, 0])
    assert wrapped(flat[:, 0] - angle).abs().max() <= 1e-15
    assert (flat[:, 1] - deep[:, 11]).abs().max() <= 2e-15
    assert (planar.energy(x) - spatial.energy(embedded)).abs().max() <= 1e-14


@schemes
def test_a_body_in_the_plane_is_a_body_in_space(alpha, split):
    moments = torch.diag(torch.tensor([0.4, 0.5, 0.7], dtype=DOUBLE))
    gain = draws(3, 2, seed=3)
    root = 0.4 * draws(3, 3, seed=4)
    drag = root @ root.mT

    def place(x: Tensor, c: Tensor, s: Tensor) -> Tensor:
        return c * (1 + x[..., 0]) + s * x[..., 1] + x[..., :2].square().sum(-1)

    planar = PlanarIntegrator(
        0.05,
        0.7,
        lambda x, phi: place(x, phi.cos(), phi.sin()),
        gain,
        drag,
        mass=1.3,
        alpha=alpha,
        force_split=split,
    )
    rows = [0, 1, 5]
    deep_gain, deep_drag = torch.zeros(6, 2, dtype=DOUBLE), torch.zeros(6, 6, dtype=DOUBLE)
    deep_gain[rows] = gain
    deep_drag[torch.tensor(rows)[:, None], torch.tensor(rows)] = drag
    spatial = RigidBodyIntegrator(
        SE3,
        0.05,
        moments,
        lambda x, R: place(x, R[..., 0, 0], R[..., 1, 0]),
        deep_gain,
        deep_drag,
        mass=1.3,
        alpha=alpha,
        force_split=split,
    )
    x, u = draws(100, 6, seed=1), draws(100, 2, seed=2)
    part = planar.space.view(x)
    zero = torch.zeros(100, 1, dtype=DOUBLE)
    embedded = spatial.space.pack(
        x=torch.cat((part["x"], zero), dim=-1),
        R=about_z(part["phi"]),
        v=torch.cat((part["v"], zero), dim=-1),
        omega=torch.cat((zero, zero, part["phi_dot"]), dim=-1),
    )
    flat, deep = planar.space.view(planar(x, u)), spatial.space.view(spatial(embedded, u))
    angle = torch.atan2(deep["R"][:, 1, 0], deep["R"][:, 0, 0])
    assert wrapped(flat["phi"][:, 0] - angle).abs().max() <= 1e-15
    for name, size in (("x", 2), ("v", 2)):
        assert (flat[name] - deep[name][:, :size]).abs().max() <= 4e-15
    assert (flat["phi_dot"][:, 0] - deep["omega"][:, 2]).abs().max() <= 4e-15
    momentum = spatial.momentum(embedded)[:, rows]
    assert (planar.momentum(x) - momentum).abs().max() <= 1e-14
    assert (planar.energy(x) - spatial.energy(embedded)).abs().max() <= 1e-14
    assert (planar.inverse(planar(x, u), u) - x).abs().max() <= 1e-13


def test_golden_pendulum():
    flow = PlanarIntegrator(0.02, 1 / 3, lambda phi: 5 * (1 - phi.cos()))
    x = flow.unroll(torch.tensor([math.pi / 2, 0.0], dtype=DOUBLE), steps=100)[-1]
    assert abs(float(x[0]) - 1.5143386061693447) <= 1e-13
    assert abs(float(x[1]) + 1.3010076229622178) <= 1e-13


def test_one_step_by_hand():
    """``a = h p - (1 - alpha) h^2 U' + h f_minus``, with gain 2 and input 0.5."""
    h, j, alpha, split = 0.1, 0.7, 0.25, 0.75
    flow = PlanarIntegrator(h, j, lambda phi: phi**3, [[2.0]], alpha=alpha, force_split=split)
    phi, rate, early, late = 0.4, 1.1, split * h, (1 - split) * h
    a = h * (j * rate - (1 - alpha) * h * 3 * phi**2 + early)
    new = phi + math.asin(a / j)
    p = a / h - alpha * h * 3 * new**2 + late
    y = flow(torch.tensor([phi, rate], dtype=DOUBLE), torch.tensor([0.5], dtype=DOUBLE))
    assert (y - torch.tensor([new, p / j], dtype=DOUBLE)).abs().max() <= 2e-16


def test_angles_are_not_wrapped():
    flow = PlanarIntegrator(0.1, 1.0)
    y = flow.unroll(torch.tensor([0.0, 5.0], dtype=DOUBLE), steps=100)[-1]
    assert (y - torch.tensor([100 * math.asin(0.5), 5.0], dtype=DOUBLE)).abs().max() <= 1e-13


def test_domain():
    flow = PlanarIntegrator(0.1, 2.0)

    def at(rate: float) -> Tensor:
        return torch.tensor([[0.3, 1.0], [0.3, rate]], dtype=DOUBLE)

    assert torch.isfinite(flow(at(-7.9))).all()
    with pytest.warns(LargeStepWarning, match="smaller h"):
        flow(at(-8.1))
    with pytest.raises(StepError, match=r"1 of 2 .* index \(1,\).*no admissible solution.*smaller h"):
        flow(at(-10.1))
    with pytest.raises(StepError, match="NaN"):
        flow(at(float("nan")))
    constants = flow.constants()
    for rate, status in ((-7.9, Status.OK), (8.1, Status.LARGE_STEP), (10.0, Status.UNSOLVABLE)):
        assert flow.try_advance(flow.start(at(rate), constants), None, constants)[1].tolist() == [0, status]


def test_a_rollout_says_why_a_trajectory_stopped():
    start = torch.tensor([[0.3, 1.0], [0.3, 10.5], [0.3, 9.0]], dtype=DOUBLE)
    run = rollout(PlanarIntegrator(0.1, 2.0), start, 5, backend="torch")
    assert run.status.tolist() == [Status.OK, Status.UNSOLVABLE, Status.LARGE_STEP]
    assert run.failed_at.tolist() == [-1, 1, -1]
    assert torch.equal(run.states[:, 1], start[1].expand(6, 2))


def test_a_module_as_moment():
    class Moment(torch.nn.Module):
        def forward(self) -> Tensor:
            return torch.full((1, 1), 0.7, dtype=DOUBLE)

    x = draws(3, 2)
    assert torch.equal(PlanarIntegrator(0.1, Moment())(x), PlanarIntegrator(0.1, 0.7)(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inertia": -1.0}, "inertia: expected positive"),
        ({"inertia": [1.0, 2.0]}, r"inertia: expected shape \(1, 1\)"),
        ({"mass": 0.0}, "mass: expected a positive mass"),
        ({"h": 0.0}, "h: expected a positive step"),
        ({"input_gain": torch.zeros(3, 1)}, r"input_gain: expected shape \(1, 'any'\)"),
        ({"dissipation": [[-1.0]]}, "dissipation: expected a positive semidefinite"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        PlanarIntegrator(**{"h": 0.1, "inertia": 1.0, **arguments})
