"""The interface of flow maps, on a map small enough to be checked by hand."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from integrators import FlowMap, StateSpace, Status, vector


class Pair(NamedTuple):
    q: Tensor
    extra: Tensor | None = None


class Drift(FlowMap):
    """``x -> rate * x + h u``, with a carry of named parts."""

    order = 1
    control_size = 1

    def __init__(self, h: float = 0.5) -> None:
        super().__init__()
        self.space, self.h = StateSpace(vector("x", 2)), h
        self.rate = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.built = 0

    def constants(self) -> Tensor:
        self.built += 1
        return self.rate * 1

    def start(self, x: Tensor, constants: Tensor) -> Pair:
        return Pair(x)

    def advance(self, carry: Pair, control: Tensor | None, constants: Tensor) -> Pair:
        q = constants * carry.q
        return Pair(q if control is None else q + self.h * control)

    def finish(self, carry: Pair, constants: Tensor) -> Tensor:
        return carry.q


class Bare(FlowMap):
    """A map with nothing but ``advance``."""

    def __init__(self) -> None:
        super().__init__()
        self.space, self.h = StateSpace(vector("x", 1)), 1.0

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        return carry.log()


X = torch.tensor([1.0, -3.0], dtype=torch.float64)
U = torch.tensor([[1.0], [0.0], [4.0]], dtype=torch.float64)


def test_one_step():
    assert torch.equal(Drift()(X), 2 * X)
    assert torch.equal(Drift()(X, U[0]), 2 * X + 0.5)


def test_unroll_gives_the_states_after_each_step_and_builds_constants_once():
    flow = Drift()
    path = flow.unroll(X, controls=U)
    assert torch.equal(path, torch.stack((2 * X + 0.5, 4 * X + 1.0, 8 * X + 4.0)))
    assert flow.built == 1
    assert torch.equal(flow.unroll(X, steps=2), torch.stack((2 * X, 4 * X)))
    assert flow.unroll(X.expand(5, 4, 2), controls=U[:, None, None]).shape == (3, 5, 4, 2)


def test_unroll_keeps_the_graph():
    flow = Drift()
    flow.unroll(X, steps=3)[-1].sum().backward()
    assert flow.rate.grad == 3 * 4 * X.sum()


def test_unroll_refuses_an_unclear_number_of_steps():
    with pytest.raises(ValueError, match="steps: expected at least 1 step, or controls"):
        Drift().unroll(X)
    with pytest.raises(ValueError, match="at least 1 step"):
        Drift().unroll(X, steps=0)
    with pytest.raises(ValueError, match=r"controls: expected shape \(2, \.\.\., 1\), got \(3, 1\)"):
        Drift().unroll(X, controls=U, steps=2)


def test_status_of_a_map_that_knows_of_no_failure():
    carry, status = Bare().try_advance(torch.tensor([[1.0], [-1.0]]), None, None)
    assert status.tolist() == [Status.OK, Status.NON_FINITE]
    assert carry[0] == 0


def test_inputs_that_do_not_fit():
    flow = Drift()
    with pytest.raises(ValueError, match=r"x: expected shape \(\.\.\., 2\)"):
        flow(torch.zeros(3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"x: expected shape"):
        flow(torch.tensor(1.0, dtype=torch.float64))
    with pytest.raises(TypeError, match=r"x\.to\(torch\.float64\)"):
        flow(X.float())
    with pytest.raises(ValueError, match=r"control: expected shape \(\.\.\., 1\), got \(2,\)"):
        flow(X, X)
    with pytest.raises(TypeError, match="control: expected the dtype of x"):
        flow(X, U[0].float())


def test_defaults():
    flow = Bare()
    assert flow.dtype is None
    assert (flow.order, flow.symplectic, flow.reversible, flow.control_size) == (None, False, False, 0)
    with pytest.raises(NotImplementedError, match="Bare has no inverse"):
        flow.inverse(torch.ones(1))


def test_with_step_is_a_copy_that_shares_parameters():
    flow = Drift()
    other = flow.with_step(0.25)
    assert (flow.h, other.h) == (0.5, 0.25)
    assert other.rate is flow.rate
    other.extra = nn.Linear(1, 1)
    assert len(list(flow.parameters())) == 1
    for h in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="h: expected a finite step"):
            flow.with_step(h)


def test_every_status_says_what_to_do():
    for status in Status:
        assert status.explanation
        assert status.failed == (status >= Status.NOT_CONVERGED)
