from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch

from geomlearn.training import (
    Batches,
    EarlyStopping,
    LearningRate,
    TrainingProgress,
    constant,
    cosine,
    make_optimizer,
)
from geomlearn.training._tree import decode, encode

from ._double import Leapfrog, data


def test_cosine_follows_the_closed_form() -> None:
    assert cosine(0, 100) == 1.0
    assert abs(cosine(50, 100) - 0.5) < 1e-15
    assert abs(cosine(25, 100) - (2 + math.sqrt(2)) / 4) < 1e-15
    assert abs(cosine(100, 100)) < 1e-15
    assert [cosine(k, 20, warmup=3) for k in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert abs(cosine(60, 110, warmup=10, floor=0.2) - 0.6) < 1e-15


def test_cosine_agrees_with_torch() -> None:
    model = Leapfrog()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
    for k in range(40):
        assert abs(optimizer.param_groups[0]["lr"] - 0.3 * cosine(k, 40)) < 1e-15
        optimizer.step()
        scheduler.step()


def test_learning_rate_scales_every_group_from_its_own_base() -> None:
    model = Leapfrog()
    groups: list[dict[str, Any]] = [{"params": [model.stiffness], "lr": 1.0}, {"params": [model.gain]}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    rate = LearningRate(optimizer, lambda step, total: step / total, 4)
    assert rate.set(1) == 0.25
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.1 * 0.25]
    LearningRate(optimizer, None, 4).set(3)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.1]
    assert constant(3, 4) == 1.0


def test_each_epoch_visits_every_window_once() -> None:
    windows = data(windows=11)
    batches = Batches(windows, 4, seed=5)
    assert len(batches) == 3
    orders = []
    for epoch in range(2):
        drawn = [batches.next() for _ in range(3)]
        assert [len(b.indices) for b in drawn] == [4, 4, 3]
        assert {b.epoch for b in drawn} == {epoch}
        order = torch.cat([b.indices for b in drawn])
        assert sorted(order.tolist()) == list(range(11))
        orders.append(order.tolist())
        for b in drawn:
            assert torch.equal(b.states, windows.states[b.indices])
            assert b.controls is not None
            assert windows.controls is not None
            assert torch.equal(b.controls, windows.controls[b.indices])
    assert orders[0] != orders[1]


@pytest.mark.parametrize("taken", [0, 1, 3, 5])
def test_batches_continue_from_their_state(taken: int) -> None:
    first, second = (Batches(data(windows=11), 4, seed=5) for _ in range(2))
    for _ in range(taken):
        first.next()
    second.load_state_dict(first.state_dict())
    for _ in range(7):
        a, b = first.next(), second.next()
        assert torch.equal(a.indices, b.indices)
        assert a.epoch == b.epoch


def test_batches_refuse_a_foreign_state() -> None:
    state = Batches(data(windows=11), 4).state_dict()
    with pytest.raises(ValueError, match="11 windows in batches of 4, these are 11 windows in batches of 5"):
        Batches(data(windows=11), 5).load_state_dict(state)
    with pytest.raises(ValueError, match="'generator'"):
        Batches(data(windows=11), 4).load_state_dict({"place": state["place"]})


def test_early_stopping_counts_losses_without_improvement() -> None:
    stopping = EarlyStopping(patience=2, min_delta=0.1)
    improved = [stopping.update(x) for x in (1.0, 0.95, 0.8, math.nan)]
    assert improved == [True, False, True, False]
    assert not stopping.exhausted
    assert not stopping.update(math.inf)
    assert stopping.exhausted
    assert stopping.best == 0.8
    with pytest.raises(ValueError, match="patience"):
        EarlyStopping(patience=0)


def test_named_optimizers_and_frozen_models() -> None:
    model = Leapfrog()
    assert isinstance(make_optimizer("adamw", model), torch.optim.AdamW)
    assert make_optimizer("adamw", model).param_groups[0]["weight_decay"] == 0.0
    model.gain.requires_grad_(False)
    assert len(make_optimizer("sgd", model, lr=0.5).param_groups[0]["params"]) == 1
    model.stiffness.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter with requires_grad"):
        make_optimizer("adam", model)


def test_nested_values_keep_every_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    floats = torch.rand(50, generator=generator, dtype=torch.float64).mul(1e-300).tolist()
    value = {0: {"a": (1, 2.5, None, True), "b": [torch.arange(3), -0.0, math.inf]}, "x": floats, "y": "text"}
    tensors: dict[str, torch.Tensor] = {}
    import json

    again = decode(json.loads(json.dumps(encode(value, tensors, "s"), allow_nan=False)), tensors)
    assert again["x"] == floats
    assert again[0]["a"] == (1, 2.5, None, True)
    assert type(again[0]["a"]) is tuple
    assert torch.equal(again[0]["b"][0], torch.arange(3))
    assert math.copysign(1, again[0]["b"][1]) == -1
    assert again[0]["b"][2] == math.inf
    with pytest.raises(TypeError, match="got set"):
        encode({"a": {1}}, {}, "s")
    with pytest.raises(ValueError, match=r"'s\.7', which is missing"):
        decode({"tensor": "s.7"}, {})


def test_progress_without_a_terminal_is_a_line_now_and_then() -> None:
    now = [0.0]
    stream = io.StringIO()
    with TrainingProgress(100, interval=10.0, stream=stream, clock=lambda: now[0]) as bar:
        for step in range(1, 51):
            now[0] = 0.5 * step
            bar.update(step, loss=1 / step, lr=0.1, validation=0.25)
    lines = stream.getvalue().splitlines()
    assert lines == [
        "step 20/100  loss 5.000e-02  validation 2.500e-01  lr 1.00e-01  2.0 step/s  0:40 left",
        "step 40/100  loss 2.500e-02  validation 2.500e-01  lr 1.00e-01  2.0 step/s  0:30 left",
        "step 50/100  loss 2.000e-02  validation 2.500e-01  lr 1.00e-01  2.0 step/s  0:25 left",
    ]


def test_progress_on_a_terminal_is_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with TrainingProgress(4, stream=stream) as bar:
        for step in range(1, 5):
            bar.update(step, loss=0.5, lr=0.1)
    assert "4/4" in stream.getvalue()
    assert "loss 5.000e-01" in stream.getvalue()


def test_progress_can_be_silent() -> None:
    stream = io.StringIO()
    with TrainingProgress(2, stream=stream, enabled=False) as bar:
        bar.update(2, loss=0.5, lr=0.1)
    assert stream.getvalue() == ""
