"""The natural gradient in torch's own database of optimizers: its configurations, schedulers and errors."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geomlearn.optim import StructuredNaturalGradient

pytest.importorskip("expecttest", reason="torch's database of optimizers needs expecttest")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_optimizers import (
        get_error_inputs_for_all_optims,
        optim_db,
    )

OPTIONS: list[dict[str, Any]] = [
    {},
    {"lr": 0.01},
    {"lr": torch.tensor(0.01)},
    {"weight_decay": 0.1},
    {"foreach": False},
    {"foreach": True},
    {"weight_decay": 0.01, "maximize": True},
    {"momentum": 0.0, "variant": "ingd"},
    {"structure": "hierarchical", "interval": 1},
    {"h": "h1", "step_bound": 0.3, "variant": "ingd", "factor_momentum": 0.8},
]
CASES = [pytest.param(options, id=str(number)) for number, options in enumerate(OPTIONS)]
SCHEDULES = {len(info.scheduler_inputs): info.scheduler_inputs for info in optim_db}[
    max(len(info.scheduler_inputs) for info in optim_db)
]
"""Those of the entry that has most."""


def layer(seed: int = 0, dtype: torch.dtype = torch.float64, strided: bool = False) -> nn.Linear:
    """A linear layer, by default of the shape that torch's tests have."""
    torch.manual_seed(seed)
    made = nn.Linear(10, 5, dtype=dtype)
    if strided:
        made.weight = nn.Parameter(torch.randn(5, 10, 2, dtype=dtype)[..., 0])
    return made


def loss(model: nn.Linear) -> Tensor:
    fixed = torch.linspace(-1, 1, 10, dtype=torch.float64).to(model.weight.dtype)
    return model(fixed).abs().square().sum()


def train(model: nn.Linear, optimizer: StructuredNaturalGradient, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        with optimizer.curvature():
            loss(model).backward()
        optimizer.step()


def test_errors_of_every_optimizer_of_torch() -> None:
    for case in get_error_inputs_for_all_optims("cpu", torch.float64):
        given = case.optimizer_error_input
        if issubclass(case.error_type, Warning):
            with pytest.warns(case.error_type, match=case.error_regex):
                StructuredNaturalGradient(layer(), params=given.params, **given.kwargs)
        else:
            with pytest.raises(case.error_type, match=case.error_regex):
                StructuredNaturalGradient(layer(), params=given.params, **given.kwargs)


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("options", CASES)
def test_goes_the_right_way_with_every_scheduler(options: dict[str, Any], strided: bool) -> None:
    for makers in (*SCHEDULES, []):
        model = layer(strided=strided)
        optimizer = StructuredNaturalGradient(model, **copy.deepcopy(options))
        schedulers = [make(optimizer) for make in makers]
        start = float(loss(model).detach())
        for _ in range(15):
            train(model, optimizer, 1)
            value = loss(model).detach()
            for scheduler in schedulers:
                if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                    scheduler.step(float(value))
                else:
                    scheduler.step()
        end = float(loss(model).detach())
        assert end > start if options.get("maximize") else end < start


@pytest.mark.parametrize("options", CASES)
def test_states_load_into_equals_and_continue(options: dict[str, Any]) -> None:
    model = layer()
    optimizer = StructuredNaturalGradient(model, **copy.deepcopy(options))
    train(model, optimizer, 4)
    other = copy.deepcopy(model)
    twin = StructuredNaturalGradient(other, **copy.deepcopy(options))
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(model, optimizer, 9)
    train(other, twin, 9)
    assert all(torch.equal(x, y) for x, y in zip(model.parameters(), other.parameters()))
    copied = copy.deepcopy(optimizer)
    public = [{name for name in vars(x) if not name.startswith("_")} for x in (copied, optimizer)]
    assert public[0] == public[1]
    assert repr(copied) == repr(optimizer)


@pytest.mark.parametrize("options", CASES)
def test_without_gradients_nothing_happens(options: dict[str, Any]) -> None:
    model = layer()
    before = [x.detach().clone() for x in model.parameters()]
    StructuredNaturalGradient(model, **copy.deepcopy(options)).step()
    assert all(torch.equal(x, y) for x, y in zip(model.parameters(), before))


@pytest.mark.parametrize("options", CASES)
def test_complex_parameters_are_taken(options: dict[str, Any]) -> None:
    model = layer(dtype=torch.complex128)
    start = float(loss(model).detach())
    optimizer = StructuredNaturalGradient(model, **copy.deepcopy(options))
    assert "weight: its dtype is torch.complex128" in repr(optimizer)
    train(model, optimizer, 10)
    end = float(loss(model).detach())
    assert end > start if options.get("maximize") else end < start


def test_states_without_later_options_load() -> None:
    model = layer()
    optimizer = StructuredNaturalGradient(model)
    train(model, optimizer, 2)
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        for flag in ("foreach", "maximize"):
            group.pop(flag)
    optimizer.load_state_dict(state)
    train(model, optimizer, 2)


def test_named_parameters_and_closures() -> None:
    model = layer()
    optimizer = StructuredNaturalGradient(model, lr=0.01, params=model.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(model)
        value.backward()
        return value

    given: Any = closure
    values = [float(torch.as_tensor(optimizer.step(given)).detach()) for _ in range(12)]
    assert values[-1] < values[0]
