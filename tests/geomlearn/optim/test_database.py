"""The optimizers in torch's own database of optimizers: its configurations, its schedulers, its errors."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from geomlearn.optim import BrAVO, BregmanHTVI, BregmanSLC, RiemannianAdam, RiemannianSGD, SPDMomentum

pytest.importorskip("expecttest", reason="torch's database of optimizers needs expecttest")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_optimizers import (
        OptimizerInfo,
        OptimizerInput,
        _get_optim_inputs_including_global_cliquey_kwargs,
        get_error_inputs_for_all_optims,
    )


def configurations(*special: dict[str, Any]) -> Any:
    """The function by which an entry of the database lists options."""
    common: list[dict[str, Any]] = [
        {},
        {"lr": 0.01},
        {"lr": torch.tensor(0.01)},
        {"weight_decay": 0.1},
        {"foreach": False},
        {"foreach": True},
        {"weight_decay": 0.1, "maximize": True},
    ]

    nothing: Any = None

    def listed(device: Any, dtype: Any = None) -> list[Any]:
        return [
            OptimizerInput(params=nothing, kwargs=kwargs, desc=str(kwargs)) for kwargs in (*common, *special)
        ]

    return listed


BREGMAN = (
    {"family": "polynomial"},
    {"family": "exponential"},
    {"restart": "speed"},
    {"restart": None, "temporal_looping": "continuous"},
    {"temporal_looping": False, "beta": 0.5},
    {"capturable": True},
)


def entry(kind: Any, *special: dict[str, Any], **facts: Any) -> OptimizerInfo:
    return OptimizerInfo(
        kind,
        optim_inputs_func=configurations(*special),
        optim_error_inputs_func=get_error_inputs_for_all_optims,
        **facts,
    )


DATABASE = [
    entry(BregmanSLC, *BREGMAN, has_capturable_arg=True),
    entry(BrAVO, *BREGMAN, has_capturable_arg=True),
    entry(BregmanHTVI, *BREGMAN, {"adaptive": 2.0}, has_capturable_arg=True),
    entry(
        RiemannianSGD, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, supported_impls=("foreach",)
    ),
    entry(RiemannianAdam, {"betas": (0.8, 0.9), "eps": 1e-6}, supported_impls=("foreach",)),
    entry(SPDMomentum, {"momentum": 0.0}, {"lr": 3e-3, "restart": True}, supported_impls=("foreach",)),
]
CASES = [
    pytest.param(info, given, id=f"{info.name}-{number}")
    for info in DATABASE
    for number, given in enumerate(
        _get_optim_inputs_including_global_cliquey_kwargs(
            "cpu", torch.float64, info, skip=("differentiable",)
        )
    )
]


def affine(seed: int = 0, dtype: torch.dtype = torch.float64, strided: bool = False) -> list[Tensor]:
    """A matrix and a vector."""
    generator = torch.Generator().manual_seed(seed)
    shape = (5, 10, 2) if strided else (5, 10)
    matrix = torch.randn(*shape, generator=generator, dtype=dtype)
    matrix = matrix[..., 0] if strided else matrix
    return [
        matrix.detach().requires_grad_(),
        torch.randn(5, generator=generator, dtype=dtype).requires_grad_(),
    ]


def loss(parameters: list[Tensor]) -> Tensor:
    fixed = torch.linspace(-1, 1, 10, dtype=parameters[0].dtype)
    return (parameters[0] @ fixed + parameters[1]).abs().square().sum()


def train(optimizer: Any, parameters: list[Tensor], steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss(parameters).backward()
        optimizer.step()


@pytest.mark.parametrize("info", DATABASE, ids=lambda info: info.name)
def test_errors_of_every_optimizer_of_torch(info: Any) -> None:
    for case in info.optim_error_inputs_func("cpu", torch.float64):
        given = case.optimizer_error_input
        parameters = affine() if given.params is None else given.params
        if issubclass(case.error_type, Warning):
            with pytest.warns(case.error_type, match=case.error_regex):
                info.optim_cls(parameters, **given.kwargs)
        else:
            with pytest.raises(case.error_type, match=case.error_regex):
                info.optim_cls(parameters, **given.kwargs)


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize(("info", "given"), CASES)
def test_goes_the_right_way_with_every_scheduler(info: Any, given: Any, strided: bool) -> None:
    for makers in (*info.scheduler_inputs, []):
        parameters = affine(strided=strided)
        optimizer = info.optim_cls(parameters, **copy.deepcopy(given.kwargs))
        schedulers = [make(optimizer) for make in makers]
        start = float(loss(parameters).detach())
        for _ in range(15):
            train(optimizer, parameters, 1)
            value = loss(parameters).detach()
            for scheduler in schedulers:
                if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                    scheduler.step(float(value))
                else:
                    scheduler.step()
        end = float(loss(parameters).detach())
        assert end > start if given.kwargs.get("maximize") else end < start


@pytest.mark.parametrize(("info", "given"), CASES)
def test_states_load_into_equals_and_continue(info: Any, given: Any) -> None:
    parameters = affine()
    optimizer = info.optim_cls(parameters, **copy.deepcopy(given.kwargs))
    train(optimizer, parameters, 4)
    others = [x.detach().clone().requires_grad_() for x in parameters]
    twin = info.optim_cls(others, **copy.deepcopy(given.kwargs))
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for pair in ((optimizer, parameters), (twin, others)):
        train(*pair, 3)
    assert all(torch.equal(x, y) for x, y in zip(parameters, others))
    copied = copy.deepcopy(optimizer)
    public = [{name for name in vars(x) if not name.startswith("_")} for x in (copied, optimizer)]
    assert public[0] == public[1]
    assert repr(copied) == repr(optimizer)


@pytest.mark.parametrize(("info", "given"), CASES)
def test_without_gradients_nothing_happens(info: Any, given: Any) -> None:
    parameters = affine()
    before = [x.detach().clone() for x in parameters]
    info.optim_cls(parameters, **copy.deepcopy(given.kwargs)).step()
    assert all(torch.equal(x, y) for x, y in zip(parameters, before))


@pytest.mark.parametrize(("info", "given"), CASES)
def test_complex_parameters_are_taken(info: Any, given: Any) -> None:
    assert info.supports_complex
    parameters = affine(dtype=torch.complex128)
    start = float(loss(parameters).detach())
    train(info.optim_cls(parameters, **copy.deepcopy(given.kwargs)), parameters, 10)
    end = float(loss(parameters).detach())
    assert end > start if given.kwargs.get("maximize") else end < start


@pytest.mark.parametrize("info", DATABASE, ids=lambda info: info.name)
def test_states_without_later_flags_load(info: Any) -> None:
    parameters = affine()
    optimizer = info.optim_cls(parameters)
    train(optimizer, parameters, 2)
    state = copy.deepcopy(optimizer.state_dict())
    for flag in info.not_og_supported_flags:
        for group in state["param_groups"]:
            group.pop(flag, None)
    optimizer.load_state_dict(state)
    train(optimizer, parameters, 2)


@pytest.mark.parametrize("info", DATABASE, ids=lambda info: info.name)
def test_named_parameters_and_closures(info: Any) -> None:
    parameters = affine()
    optimizer = info.optim_cls(zip(("matrix", "vector"), parameters))
    assert optimizer.param_groups[0]["param_names"] == ["matrix", "vector"]

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(parameters)
        value.backward()
        return value

    values = [float(optimizer.step(closure).detach()) for _ in range(12)]
    assert values[-1] < values[0]
