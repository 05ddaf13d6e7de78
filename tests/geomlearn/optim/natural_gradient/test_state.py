"""Saving, loading, copying and converting, at any time."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.optim.swa_utils import AveragedModel

from geomlearn.optim import StructuredNaturalGradient

from ._networks import factors, off, optimizer_of, perceptron, step, train, weights

STRUCTURES = ["dense", "diagonal", "block-3", "triangular", "hierarchical-2-2", "toeplitz", "rank-2"]


class Mixed(nn.Module):
    """Layers of several kinds, and a parameter without curvature."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale = nn.Parameter(torch.ones(5))
        self.first, self.norm, self.last = nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3)
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.norm(self.first(self.scale * x))))


def through_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("variant", ["ikfac", "ingd"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_loaded_state_goes_on_bit_for_bit(structure: str, variant: str, dtype: torch.dtype) -> None:
    """Also in the middle of an interval, by torch.load as it is by default."""
    model = Mixed(dtype)
    options = {"structure": structure, "variant": variant, "interval": 3}
    optimizer = optimizer_of(model, **options)
    train(model, optimizer, range(5))
    other = Mixed(dtype)
    other.load_state_dict(model.state_dict())
    twin = optimizer_of(other, **options)
    twin.load_state_dict(through_file(optimizer.state_dict()))
    for pair in ((model, optimizer), (other, twin)):
        train(*pair, range(5, 9))
    assert torch.equal(weights(model), weights(other))
    assert torch.equal(factors(optimizer), factors(twin))
    assert twin.steps == 9


def test_a_state_is_a_copy_and_loads_twice() -> None:
    model = Mixed()
    optimizer = optimizer_of(model)
    train(model, optimizer, range(3))
    state = optimizer.state_dict()
    held = copy.deepcopy(state)
    train(model, optimizer, range(3, 6))
    twins = []
    for _ in range(2):
        other = Mixed()
        twin = optimizer_of(other)
        twin.load_state_dict(state)
        train(other, twin, range(2))
        twins.append(weights(other))
    assert torch.equal(*twins)
    tensors: list[tuple[Any, Any]] = [
        (held["state"][i][key], value) for i, s in state["state"].items() for key, value in s.items()
    ]
    assert all(torch.equal(a, b) for a, b in tensors)
    assert state["natural_gradient"] == held["natural_gradient"]
    assert state["param_groups"] == held["param_groups"]


def test_the_state_keeps_the_precision_of_factors() -> None:
    """A bfloat16 weight has float32 factors, also after loading."""
    model = perceptron(dtype=torch.bfloat16)
    optimizer = optimizer_of(model)
    train(model, optimizer, range(3))
    twin = optimizer_of(model)
    twin.load_state_dict(through_file(optimizer.state_dict()))
    first: Any = model[0]
    state = twin.state[first.weight]
    assert state["K"].dtype == state["C"].dtype == torch.float32
    assert state["momentum_buffer"].dtype == torch.bfloat16
    assert torch.equal(factors(twin), factors(optimizer))


def test_the_rule_is_saved_and_a_function_of_the_step_stays_ours() -> None:
    model = perceptron()
    optimizer = optimizer_of(model, factor_rate=lambda steps: 0.2 / (1 + steps), damping=0.3, interval=2)
    train(model, optimizer, range(3))
    assert optimizer.rule.rate == pytest.approx(0.2 / 3)
    twin = optimizer_of(model, factor_rate=lambda steps: 0.4, damping=0.1)
    twin.load_state_dict(through_file(optimizer.state_dict()))
    assert twin.rule == optimizer.rule
    assert twin.interval == 2
    train(model, twin, range(3, 5))
    assert twin.rule.rate == 0.4


def test_tools_that_know_only_states_and_groups_lose_nothing_but_the_phase() -> None:
    model = Mixed()
    optimizer = optimizer_of(model)
    train(model, optimizer, range(2))
    state = {key: optimizer.state_dict()[key] for key in ("state", "param_groups")}
    twin = optimizer_of(model)
    twin.load_state_dict(state)
    assert torch.equal(factors(twin), factors(optimizer))


def test_torch_distributed_checkpoints_take_and_give_the_state() -> None:
    """By names of parameters, into an optimizer that torch starts with a step of zeros."""
    model, other = perceptron(), perceptron()
    optimizer, twin = optimizer_of(model), optimizer_of(other)
    train(model, optimizer, range(4))
    state = get_optimizer_state_dict(model, optimizer)
    assert set(state["state"]) == {name for name, _ in model.named_parameters()}
    other.load_state_dict(model.state_dict())
    set_optimizer_state_dict(other, twin, state)
    for pair in ((model, optimizer), (other, twin)):
        train(*pair, range(4, 7))
    assert torch.equal(weights(model), weights(other))


def changed(state: Any, what: str) -> Any:
    state = copy.deepcopy(state)
    first = min(state["state"])
    if what == "version":
        state["natural_gradient"]["version"] = 99
    elif what == "momentum":
        state["state"][first]["momentum_buffer"] = torch.zeros(2, 2)
    elif what == "factors":
        del state["natural_gradient"]["structures"]
        state["state"][first]["K"] = torch.zeros(4)
    return state


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("version", {}, "its version is 99"),
        ("momentum", {}, r"momentum_buffer of parameter 0 has shape \(2, 2\)"),
        ("factors", {}, r"the factors of layer '0' have 4 and 49 numbers"),
        ("variant", {"variant": "ingd"}, 'it is of variant="ikfac"'),
        ("structure", {"structure": "diagonal"}, r"layer '0' has the factors full\(6\)"),
    ],
)
def test_a_state_of_something_else_is_refused_and_changes_nothing(
    what: str, options: dict[str, Any], message: str
) -> None:
    model = perceptron()
    optimizer = optimizer_of(model)
    train(model, optimizer, range(2))
    twin = optimizer_of(model, **options)
    before = twin.state_dict()
    with pytest.raises(ValueError, match=message):
        twin.load_state_dict(changed(optimizer.state_dict(), what))
    after = twin.state_dict()
    assert after == before
    assert twin.steps == 0


def test_a_state_loads_into_a_model_that_was_wrapped() -> None:
    model, inner = perceptron(), perceptron()
    optimizer = optimizer_of(model)
    train(model, optimizer, range(3))
    inner.load_state_dict(model.state_dict())
    other = nn.Sequential(inner)
    twin = optimizer_of(other)
    twin.load_state_dict(optimizer.state_dict())
    train(model, optimizer, range(3, 6))
    train(other, twin, range(3, 6))
    assert torch.equal(weights(model), weights(other))


def test_a_state_of_another_model_is_refused() -> None:
    torch.manual_seed(0)
    model, wider = perceptron(), nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    optimizer = optimizer_of(model)
    train(model, optimizer, range(2))
    with pytest.raises(
        ValueError,
        match=r"layer '0' has the factors full\(6\) x full\(7\) there, and '0' full\(6\) x full\(8\)",
    ):
        optimizer_of(wider).load_state_dict(optimizer.state_dict())
    with pytest.raises(ValueError, match="its groups, by method and number of parameters"):
        optimizer_of(Mixed()).load_state_dict(optimizer.state_dict())
    with pytest.raises(ValueError, match="another optimizer"):
        optimizer.load_state_dict(torch.optim.SGD(model.parameters()).state_dict())


def test_models_are_copied_after_the_optimizer_was_made() -> None:
    """Copies know nothing of the optimizer, and the average of weights is that of plain training."""
    model = perceptron()
    optimizer = optimizer_of(model)
    train(model, optimizer, range(1))
    copied, averaged = copy.deepcopy(model), AveragedModel(model)
    seen = []
    for number in range(1, 4):
        train(model, optimizer, range(number, number + 1))
        averaged.update_parameters(model)
        seen.append(weights(model))
    x = torch.randn(3, 5, dtype=torch.float64)
    with optimizer.curvature():
        copied(x).sum().backward()
        averaged(x).sum().backward()
    assert all(sums.K is None for sums in optimizer._curvature.sums.values())
    assert off(weights(averaged.module), torch.stack(seen).mean(0)) < 1e-14
    train(copied, optimizer_of(copied), range(2))


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_optimizers_are_copied_with_their_models(way: str) -> None:
    model = Mixed()
    optimizer = optimizer_of(model, interval=3)
    train(model, optimizer, range(2))
    pair = (model, optimizer)
    other, twin = copy.deepcopy(pair) if way == "deepcopy" else pickle.loads(pickle.dumps(pair))
    assert repr(twin) == repr(optimizer)
    train(model, optimizer, range(2, 5))
    train(other, twin, range(2, 5))
    assert torch.equal(weights(model), weights(other))
    assert torch.equal(factors(optimizer), factors(twin))


def test_a_model_may_be_converted_after_the_optimizer_was_made() -> None:
    """From float32 to float64 after two steps, as if the optimizer had been loaded into that model."""
    model = Mixed(torch.float32)
    optimizer = optimizer_of(model, interval=1)
    train(model, optimizer, range(2))
    other = Mixed(torch.float64)
    other.load_state_dict(model.state_dict())
    twin = optimizer_of(other, interval=1)
    twin.load_state_dict(optimizer.state_dict())
    model.double()
    train(model, optimizer, range(2, 5))
    train(other, twin, range(2, 5))
    assert torch.equal(weights(model), weights(other))
    state = optimizer.state[model.first.weight]
    assert {v.dtype for v in state.values() if isinstance(v, Tensor)} == {torch.float64}
    model.to(torch.bfloat16)
    step(model, optimizer, 5)
    assert state["K"].dtype == torch.float32
    assert bool(weights(model).isfinite().all())


def test_a_new_optimizer_has_a_state_that_loads() -> None:
    model = perceptron()
    state = through_file(optimizer_of(model).state_dict())
    twin: StructuredNaturalGradient = optimizer_of(model)
    twin.load_state_dict(state)
    train(model, twin, range(2))
    other = perceptron()
    train(other, optimizer_of(other), range(2))
    assert torch.equal(weights(model), weights(other))
