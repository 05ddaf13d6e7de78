"""Errors relative to the change of the state."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from geomlearn.data import Windows
from geomlearn.losses import VelocityPositionLoss, increment_weights, relative_increment_error
from integrators import FlowMap, Part, StateSpace, vector
from lie import SO3

F64 = torch.float64


class Drift(FlowMap):
    """Adds a constant to every vector channel and turns the rotation about the third axis."""

    def __init__(self, rate: tuple[float, float], turn: float) -> None:
        super().__init__()
        self.space = StateSpace(vector("x", 2), Part("R", SO3))
        self.h = 0.5
        self.register_buffer("rate", torch.tensor(rate, dtype=F64))
        self.register_buffer("turn", SO3.exp(torch.tensor([0.0, 0.0, turn], dtype=F64)))

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        x, R = carry[..., :2], carry[..., 2:].unflatten(-1, (3, 3))
        return torch.cat((x + self.get_buffer("rate"), (R @ self.get_buffer("turn")).flatten(-2)), -1)


def windows(steps: int) -> Windows:
    true = Drift((1.0, 0.001), 0.2)
    g = torch.Generator().manual_seed(0)
    start = true.space.pack(
        x=torch.randn(6, 2, generator=g, dtype=F64), R=SO3.random(6, generator=g, dtype=F64)
    )
    states = torch.cat((start[None], true.unroll(start, steps=steps)))
    return Windows(states.transpose(0, 1).contiguous(), None, 0.5, true.space)


def test_every_channel_has_its_own_share() -> None:
    error = relative_increment_error(Drift((1.01, 0.0015), 0.19), windows(3))
    torch.testing.assert_close(error["x"], torch.tensor([[0.01, 0.5]] * 3, dtype=F64), rtol=1e-9, atol=0)
    torch.testing.assert_close(error["R"], torch.full((3, 1), 0.05, dtype=F64), rtol=1e-7, atol=0)


def test_weights_make_the_loss_relative() -> None:
    weights = increment_weights(windows(3))
    torch.testing.assert_close(weights["x"], torch.tensor([1.0, 1e6], dtype=F64), rtol=1e-9, atol=0)
    torch.testing.assert_close(weights["R"], torch.tensor([25.0], dtype=F64), rtol=1e-9, atol=0)
    model, pairs = Drift((1.01, 0.0015), 0.19), windows(1)
    loss = VelocityPositionLoss(weights)
    value = float(loss(model, pairs.states))
    assert math.isclose(value, (0.01**2 + 0.5**2) / 2 + 0.05**2, rel_tol=1e-7)
    residual = loss.residual(model, pairs.states)
    assert math.isclose(float(residual.square().sum(-1).mean()), value, rel_tol=1e-12)


def test_what_never_moves_has_no_relative_error() -> None:
    still = Drift((1.0, 0.0), 0.2)
    start = windows(1).states[:, 0]
    pairs = Windows.from_pairs(start, still(start), 0.5, still.space)
    with pytest.raises(ValueError, match="x has a channel that never moves"):
        increment_weights(pairs)
    with pytest.raises(ValueError, match="x has a channel that never moves"):
        relative_increment_error(still, pairs)
    other = Windows.from_pairs(start[:, :2], start[:, :2] + 1, 0.5, StateSpace(vector("x", 2)))
    with pytest.raises(ValueError, match="windows: its states are"):
        relative_increment_error(still, other)
