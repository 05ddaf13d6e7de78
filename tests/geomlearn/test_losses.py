from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from geomlearn.losses import (
    PositionOnlyLoss,
    VelocityPositionLoss,
    geodesic_loss,
    loss_terms,
    noise_weights,
    position_only_loss,
    velocity_position_loss,
)
from integrators import FlowMap, Part, StateSpace, vector
from lie import SO3


def rotation(axis: list[float], angle: float) -> Tensor:
    n = np.array(axis) / np.linalg.norm(axis)
    k = np.array([[0, -n[2], n[1]], [n[2], 0, -n[0]], [-n[1], n[0], 0]])
    return torch.from_numpy(np.eye(3) + np.sin(angle) * k + 2 * np.sin(angle / 2) ** 2 * k @ k)


def planar(angle: Tensor) -> Tensor:
    c, s, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    rows = [torch.stack(row, -1) for row in ((c, -s, zero), (s, c, zero), (zero, zero, zero + 1))]
    return torch.stack(rows, -2)


def space() -> StateSpace:
    return StateSpace(Part("R", SO3), vector("omega", 3, unit="rad/s", frame="body"))


def windows(seed: int, steps: int = 4, batch: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    angles = torch.randn(steps, batch, generator=generator, dtype=torch.float64)
    omega = torch.randn(steps, batch, 3, generator=generator, dtype=torch.float64)
    return torch.cat([planar(angles).flatten(-2), omega], -1)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.06, 0.0632, 0.0633, 0.07, 0.5, 1.5, 3.0, 3.14, math.pi])
def test_geodesic_loss_of_a_known_rotation(angle: float) -> None:
    base = rotation([1.0, -2.0, 0.5], 0.7)
    turned = base @ rotation([0.3, 0.4, -1.0], angle)
    assert abs(float(geodesic_loss(base, turned)) - angle**2) <= 1e-14 * (1 + angle)


@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-3, 0.06, 0.0633, 0.5, 2.0, 3.1])
def test_first_and_second_derivative_along_a_rotation(angle: float) -> None:
    theta = torch.tensor(angle, dtype=torch.float64, requires_grad=True)
    value = geodesic_loss(planar(theta), torch.eye(3, dtype=torch.float64))
    (slope,) = torch.autograd.grad(value, theta, create_graph=True)
    (bend,) = torch.autograd.grad(slope, theta)
    assert abs(float(slope.detach()) - 2 * angle) < 1e-11
    assert abs(float(bend) - 2) < 1e-8


def test_hessian_at_equal_rotations_is_twice_the_identity() -> None:
    base = rotation([0.2, 1.0, 0.4], 2.0)

    def loss(xi: Tensor) -> Tensor:
        x, y, z = xi
        zero = torch.zeros_like(x)
        hat = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
        return geodesic_loss(base @ (torch.eye(3, dtype=xi.dtype) + hat + hat @ hat / 2), base)

    zero = torch.zeros(3, dtype=torch.float64)
    assert torch.allclose(torch.func.grad(loss)(zero), zero, atol=1e-15)
    assert torch.allclose(
        torch.func.jacrev(torch.func.grad(loss))(zero), 2 * torch.eye(3, dtype=torch.float64), atol=1e-12
    )


def test_gradient_is_finite_at_half_a_turn_and_in_float32() -> None:
    for dtype in (torch.float32, torch.float64):
        a = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=dtype)).requires_grad_()
        geodesic_loss(a, torch.eye(3, dtype=dtype)).backward()
        assert a.grad is not None
        assert a.grad.dtype == dtype
        assert torch.isfinite(a.grad).all()


def test_geodesic_loss_is_the_mean_over_a_batch() -> None:
    angles = torch.tensor([0.1, 0.5, -2.0], dtype=torch.float64)
    loss = geodesic_loss(planar(angles), torch.eye(3, dtype=torch.float64))
    assert abs(float(loss) - float((angles**2).mean())) < 1e-14


def test_pendulum_loss_of_the_paper() -> None:
    predicted, target = windows(0), windows(1)
    omega = (predicted[..., 9:] - target[..., 9:]).numpy()
    copied_input = np.zeros((*omega.shape[:-1], 1))
    mean_square = np.mean(np.concatenate([omega, copied_input], -1) ** 2)
    r, s = (x[..., :9].reshape(-1, 3, 3).numpy() for x in (predicted, target))
    theta = np.arccos((np.trace(r @ s.transpose(0, 2, 1), axis1=1, axis2=2) - 1) / 2)
    loss = velocity_position_loss(predicted, target, space(), weights={"omega": 0.75})
    assert abs(float(loss) - (mean_square + np.mean(theta**2))) < 1e-13


def test_noise_weights_are_per_channel() -> None:
    predicted, target = windows(0), windows(1)
    sigma = [0.1, 2.0, 5.0]
    terms = loss_terms(predicted, target, space(), noise_weights({"omega": sigma, "R": 0.01}))
    scaled = (predicted[..., 9:] - target[..., 9:]).numpy() / np.array(sigma)
    plain = loss_terms(predicted, target, space())
    assert abs(float(terms["omega"]) / np.mean(scaled**2) - 1) < 1e-14
    assert abs(float(terms["R"]) / (1e4 * float(plain["R"])) - 1) < 1e-13


def test_step_weights_average_the_steps() -> None:
    predicted, target = windows(0), windows(1)
    single = [
        float(velocity_position_loss(predicted[k : k + 1], target[k : k + 1], space())) for k in range(4)
    ]
    weighted = velocity_position_loss(
        predicted, target, space(), step_weights=torch.tensor([1.0, 0.0, 3.0, 0.0])
    )
    assert abs(float(weighted) - (single[0] + 3 * single[2]) / 4) < 1e-13
    even = velocity_position_loss(predicted, target, space(), step_weights=torch.full((4,), 7.0))
    assert abs(float(even) - float(velocity_position_loss(predicted, target, space()))) < 1e-13


def test_wrong_arguments_are_named() -> None:
    predicted, target = windows(0), windows(1)
    with pytest.raises(ValueError, match="predicted: expected the shape of target"):
        velocity_position_loss(predicted[1:], target, space())
    with pytest.raises(ValueError, match="weights: expected names among"):
        velocity_position_loss(predicted, target, space(), weights={"w": 1.0})
    with pytest.raises(ValueError, match=r"weights\['omega'\]: expected a number or 3"):
        velocity_position_loss(predicted, target, space(), weights={"omega": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"step_weights: expected shape \(4,\)"):
        velocity_position_loss(predicted, target, space(), step_weights=torch.ones(3))
    with pytest.raises(ValueError, match=r"sigma\['R'\]: expected positive"):
        noise_weights({"R": 0.0})


class Turntable(FlowMap):
    """Constant rate about the z axis: the flow is known in closed form."""

    h = 0.1
    control_size = 1

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.space = space()
        self.rate = torch.nn.Parameter(torch.tensor(rate, dtype=torch.float64))

    def advance(self, carry: Tensor, control: Tensor | None, constants: Any = None) -> Tensor:
        turned = carry[..., :9].unflatten(-1, (3, 3)) @ planar(self.h * self.rate)
        push = 0.0 if control is None else control
        return torch.cat([turned.flatten(-2), carry[..., 9:] + push], -1)

    def position_residual(
        self, q0: Tensor, q1: Tensor, q2: Tensor, u0: Tensor | None, u1: Tensor | None
    ) -> Tensor:
        pull = 0.0 if u0 is None or u1 is None else u0 + 10 * u1
        return q2 - 2 * q1 + q0 + self.rate * pull


def test_velocity_position_loss_unrolls_each_window_with_its_inputs() -> None:
    start = windows(3, steps=1, batch=2)[0]
    controls = torch.tensor([[[0.1], [0.2]], [[0.3], [0.5]]], dtype=torch.float64)
    states = torch.stack([start, start, start], dim=1)
    loss = VelocityPositionLoss()(Turntable(2.0), states, controls)
    angles = np.array([0.2, 0.4])
    pushes = np.array([[0.1, 0.3], [0.3, 0.8]])
    assert abs(float(loss.detach()) - (np.mean(angles**2) + np.mean(pushes**2))) < 1e-14


def test_position_only_loss_pairs_poses_with_their_inputs() -> None:
    q = torch.tensor([[[0.0], [1.0], [4.0], [9.0]]], dtype=torch.float64)
    u = torch.tensor([[[1.0], [2.0], [3.0]]], dtype=torch.float64)
    loss = position_only_loss(Turntable(1.0), q, u)
    assert float(loss.detach()) == ((2 + 21) ** 2 + (2 + 32) ** 2) / 2


def test_position_only_loss_selects_parts_of_the_states() -> None:
    states = windows(4, steps=3, batch=2).transpose(0, 1)
    r = states[..., :9].numpy()
    loss = PositionOnlyLoss(("R",))(Turntable(1.0), states)
    assert abs(float(loss.detach()) - np.mean((r[:, 2] - 2 * r[:, 1] + r[:, 0]) ** 2)) < 1e-14


def test_position_only_loss_refuses_what_it_cannot_use() -> None:
    q = torch.zeros(1, 2, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="at least 3 poses"):
        position_only_loss(Turntable(1.0), q)
    with pytest.raises(ValueError, match=r"controls: expected one input per step"):
        position_only_loss(Turntable(1.0), torch.zeros(1, 3, 1), torch.zeros(1, 3, 1))
    with pytest.raises(TypeError, match="position_residual"):
        position_only_loss(torch.nn.Linear(1, 1), q)  # type: ignore[arg-type]
