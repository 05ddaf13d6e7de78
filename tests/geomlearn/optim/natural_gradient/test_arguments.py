"""Arguments and gradients that are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import lie
from geomlearn.optim import ManifoldParameter, StructuredNaturalGradient

from ._networks import optimizer_of, perceptron, weights


def test_bad_arguments_are_refused() -> None:
    model = perceptron()
    manifold = nn.ParameterDict(
        {"spd": ManifoldParameter(lie.SPD(3), torch.eye(3)), "flat": nn.Parameter(torch.ones(2))}
    )
    wrong: list[tuple[Any, dict[str, Any], Any, str]] = [
        ([1.0], {}, TypeError, "model: expected a torch.nn.Module"),
        (nn.ReLU(), {}, ValueError, "empty parameter list"),
        (manifold, {}, ValueError, r"of shape \(3, 3\) is on"),
        (model, {"structure": "arrow"}, ValueError, "structure must be"),
        (
            model,
            {"structure": {"conv*": "dense"}},
            ValueError,
            "has a name like .conv",
        ),
        (
            nn.GRU(3, 2),
            {"structure": {"": "dense"}},
            ValueError,
            "no layer with curvature has a name like ''",
        ),
        (model, {"variant": "kfac"}, ValueError, "variant must be one of"),
        (model, {"lr": -1.0}, ValueError, "lr: expected a number >= 0, got -1.0"),
        (model, {"momentum": 1.0}, ValueError, "momentum: expected a number < 1"),
        (model, {"damping": -1.0}, ValueError, "damping"),
        (model, {"factor_rate": 0.0}, ValueError, "rate must be above 0"),
        (model, {"factor_rate": lambda steps: 3.0}, ValueError, "rate must be above 0"),
        (model, {"interval": 0}, ValueError, "interval: expected a whole number >= 1"),
        (model, {"h": "h3"}, ValueError, "h must be one of"),
        (model, {"h": "h1", "step_bound": None}, ValueError, "without a step_bound"),
        (model, {"start": "zero"}, ValueError, "start must be one of"),
        (model, {"trust": 0.0}, ValueError, "trust: expected a number > 0"),
        (model, {"approximation": "mean"}, ValueError, "approximation"),
        (model, {"loss_reduction": "none"}, ValueError, "loss_reduction"),
        (
            model,
            {"fallback": {"rate": 1.0}},
            ValueError,
            r"fallback: expected options",
        ),
        (model, {"fallback": {"betas": (0.9, 1.0)}, "params": [torch.ones(2)]}, ValueError, "betas"),
        (model, {"process_group": "all"}, ValueError, "process_group"),
    ]
    for made_of, options, error, message in wrong:
        with pytest.raises(error, match=message):
            StructuredNaturalGradient(made_of, **options)


def test_sparse_gradients_are_refused() -> None:
    model = nn.Embedding(5, 3, sparse=True)
    optimizer = optimizer_of(model)
    with optimizer.curvature():
        model(torch.tensor([1, 2])).sum().backward()
    before = weights(model)
    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step()
    assert torch.equal(weights(model), before)
