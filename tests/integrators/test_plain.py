"""When hand-written derivatives may stand in for torch operations."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from integrators import runs_plainly


class Passing(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class Marked(torch.Tensor):
    pass


def test_tensors_and_parameters_run_plainly_with_and_without_autograd():
    tensors = torch.zeros(2), torch.nn.Parameter(torch.zeros(3)), torch.zeros(2, dtype=torch.float16)
    assert runs_plainly(*tensors)
    with torch.no_grad():
        assert runs_plainly(*tensors)


@pytest.mark.parametrize("other", [torch.zeros(2).as_subclass(Marked), torch.empty(2).numpy(), None])
def test_one_other_operand_is_enough(other):
    assert not runs_plainly(torch.zeros(2), other)


@pytest.mark.parametrize(
    "context",
    [Passing, forward_ad.dual_level, lambda: torch.autocast("cpu", dtype=torch.bfloat16)],
    ids=["dispatch mode", "forward mode", "autocast"],
)
def test_a_surrounding_mode_is_noticed(context):
    x = torch.zeros(2)
    with context():
        assert not runs_plainly(x)
    assert runs_plainly(x)


@pytest.mark.parametrize("transform", [torch.func.vmap, torch.func.grad, torch.func.jacfwd])
def test_transforms_are_noticed_for_captured_tensors_too(transform):
    captured = torch.zeros(2)
    seen: list[bool] = []

    def function(x: torch.Tensor) -> torch.Tensor:
        seen.extend((runs_plainly(x), runs_plainly(captured)))
        return x.sum()

    transform(function)(torch.ones(3))
    assert seen == [False, False]


def test_compilation_is_noticed():
    @torch.compile(backend="eager", fullgraph=True)
    def function(x: torch.Tensor) -> torch.Tensor:
        return x + 1 if runs_plainly(x) else x - 1

    assert function(torch.zeros(())) == -1
