from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import integrators
from geomlearn.nn import MLP, ProjectedField
from geomlearn.training import load, save

X = torch.tensor([[0.6, -0.8, 0.4, 0.3], [1.0, 0.2, -0.2, 1.0]], dtype=torch.float64)
CASES: dict[str, dict[str, Any]] = {
    "gauss": {
        "constraints": {"rod": "q1**2 + q2**2 - r**2"},
        "accelerations": True,
        "mass": [1.0, 2.0],
        "level": "zero",
        "parameters": {"r": 1.0},
    },
    "stabilised": {
        "constraints": ["x1**2 + x2**2", "x1*x3 + x2*x4"],
        "mode": "stabilise",
        "gamma": 8.0,
        "level": "zero",
        "activation": "silu",
    },
    "trained constraint": {
        "constraints": "x1 + c*x4",
        "parameters": {"c": nn.Parameter(torch.tensor(0.5, dtype=torch.float64))},
    },
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_fields_are_written_and_read(case: str, tmp_path: Path) -> None:
    field = ProjectedField((5, 6), size=4, generator=torch.Generator().manual_seed(1), **CASES[case])
    path = tmp_path / "field.safetensors"
    save(field, path)
    again = load(path)
    assert isinstance(again, ProjectedField)
    assert torch.equal(again.field(X), field.field(X))
    assert [n for n, _ in again.named_parameters()] == [n for n, _ in field.named_parameters()]
    assert again.config() == field.config()


def test_widths_are_those_of_a_perceptron() -> None:
    field = ProjectedField((5,), ["x1*x2"], size=4, generator=torch.Generator().manual_seed(1))
    net = MLP([4, 5, 4], generator=torch.Generator().manual_seed(1))
    same = integrators.ProjectedField(net, ["x1*x2"], size=4)
    assert torch.equal(field.field(X), same.field(X))


def test_networks_of_ones_own_are_not_described() -> None:
    field = ProjectedField(MLP([4, 5, 4]), ["x1"], size=4)
    with pytest.raises(TypeError, match="state_dict"):
        field.config()
    with pytest.raises(TypeError, match="state_dict"):
        ProjectedField((5,), lambda x: x[..., :1], size=4).config()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="size"):
        ProjectedField((5,), ["x1"])
    with pytest.raises(ValueError, match="size"):
        ProjectedField((5,), ["x1"], size=3, accelerations=True)
    with pytest.raises(ValueError, match="accelerations"):
        ProjectedField(MLP([4, 5, 2]), ["q1"], size=4, accelerations=True)
    with pytest.raises(TypeError, match="options"):
        ProjectedField((5,), ["x1"], size=4, metrik="gauss")
